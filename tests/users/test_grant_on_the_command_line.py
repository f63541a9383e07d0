import asyncio
import os
import sys
from pathlib import Path

import pytest

from svoykrug_server.storage.postgres import Postgres
from tests.users.people import new_phone


async def grant(url: str, data_dir: Path, *arguments: str) -> tuple[int, str]:
    """Runs `svoykrug admin grant` as a process and returns its exit code and what it said."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SVOYKRUG_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "svoykrug_server", "admin", "grant", *arguments),
        env={**inherited, "SVOYKRUG_DATABASE_URL": url, "SVOYKRUG_DATA_DIR": str(data_dir)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), timeout=60)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_the_first_superadmin_is_made_on_the_command_line_and_making_her_twice_says_so(
    postgres: Postgres, postgres_url: str, data_dir: Path
) -> None:
    phone = new_phone()
    first = await grant(postgres_url, data_dir, phone, "superadmin")
    again = await grant(postgres_url, data_dir, f"8{phone[2:]}", "superadmin")
    assert (first[0], again[0]) == (0, 0)
    assert "is superadmin now: a new user, who claims it by signing in" in first[1]
    assert "is superadmin already" in again[1]
    async with postgres.read() as connection:
        roles = await connection.fetchval("SELECT roles FROM users WHERE phone = $1", phone)
    assert roles == ["member", "superadmin"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("12", "admin"), "phone must be a phone number"),
        (("+79990000000", "member"), "role must be admin or superadmin"),
        (("+79990000000", "king"), "Invalid value"),
    ],
)
async def test_what_cannot_be_granted_is_said_in_plain_words(
    postgres_url: str, data_dir: Path, arguments: tuple[str, str], said: str
) -> None:
    code, output = await grant(postgres_url, data_dir, *arguments)
    assert code != 0
    assert said in output
    assert "Traceback" not in output
