"""An operator's day with `svoykrug-cli`, against the whole server."""

import asyncio
import re
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from string import Template
from uuid import uuid4

import pytest
from svoykrug.businesses.v1.business_pb2 import CATEGORY_BEAUTY
from svoykrug.businesses.v1.businesses_service_pb2 import CreateBusinessRequest

from svoykrug_client import Client, FileTokenStore
from svoykrug_server.storage.postgres import Postgres
from tests.e2e.circle import Circle
from tests.e2e.python_client import ADMIN_PHONE, grant_superadmin, sign_in
from tests.e2e.test_python_client_readme import newest_challenge

ANNA_PHONE = "+79991234567"
README = Path(__file__).parents[2] / "clients" / "python" / "README.md"
COMMANDS = re.findall(r"^svoykrug-cli (?!sign-in)(.*)$", README.read_text("utf-8"), re.MULTILINE)
Run = Callable[..., Awaitable[tuple[int | None, str, str]]]
FILE = "Телефон;Чек;Сумма;Дата\n{phone};A-1;1 234,56;01.05.2026 15:00\n{phone};A-2;10;31.02.2026\n"


@pytest.fixture
def run(circle: Circle, tmp_path: Path) -> Run:
    """Runs the program, and says yes; gives its exit code, its results and what it said."""

    async def started(*arguments: str) -> tuple[int | None, str, str]:
        process = await begun(circle, tmp_path / "session.json", *arguments)
        async with asyncio.timeout(30):
            results, said = await process.communicate(b"yes\n")
        return process.returncode, results.decode(), said.decode()

    return started


async def begun(circle: Circle, session: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Starts the program."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "svoykrug_client.cli",
        "--insecure", "--target", circle.target, "--session", str(session), "--language", "en", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def sign_the_operator_in(circle: Circle, postgres: Postgres, session: Path) -> None:
    """Signs the first superadmin in with the program, as she does it herself."""
    process = await begun(circle, session, "sign-in", ADMIN_PHONE, "--accept-terms", "2026-11")
    assert process.stdin is not None
    assert process.stderr is not None
    async with asyncio.timeout(30):
        assert await process.stderr.readexactly(len("Code: ")) == b"Code: "
        challenge_id = await newest_challenge(postgres)
        assert challenge_id is not None
        process.stdin.write(f"{circle.code_of(challenge_id)}\n".encode())
        await process.communicate()
    assert process.returncode == 0


async def new_business(circle: Circle, session: Path) -> str:
    """Makes a business as the operator, with the session of the program."""
    async with Client(circle.target, insecure=True, token_store=FileTokenStore(session)) as client:
        creation = CreateBusinessRequest(name="Салон", category=CATEGORY_BEAUTY, request_id=str(uuid4()))
        return (await client.businesses.CreateBusiness(creation)).business.id


async def test_an_operator_signs_in_finds_a_person_ends_her_sessions_and_imports_a_file(
    circle: Circle, postgres: Postgres, run: Run, tmp_path: Path
) -> None:
    await grant_superadmin(postgres)
    await sign_the_operator_in(circle, postgres, tmp_path / "session.json")
    async with Client(circle.target, insecure=True) as anna:
        await sign_in(anna, circle, ANNA_PHONE)

    code, found, said = await run("find-user", ANNA_PHONE[-4:])
    anna_row = next(line for line in found.splitlines() if ANNA_PHONE in line)
    assert (code, said) == (0, "")
    anna_id = anna_row.split()[0]
    assert await run("find-user", anna_id) == (0, "\n".join([found.splitlines()[0], anna_row, ""]), "")
    assert await run("revoke-sessions", anna_id, "--yes") == (0, "sessions ended: 1\n", "")
    assert await run("revoke-sessions", anna_id, "--yes") == (0, "sessions ended: 0\n", "")

    business_id = await new_business(circle, tmp_path / "session.json")
    file = tmp_path / "purchases.csv"
    await asyncio.to_thread(file.write_text, FILE.format(phone=ANNA_PHONE), "utf-8")
    code, tried, said = await run("import-csv", business_id, str(file), "--dry-run")
    assert (code, said) == (0, "")
    assert tried.startswith("2 rows: 1 would be recorded, 0 known already, 1 would be rejected\n")
    assert re.search(r"^ 3 +A-2 +INVALID_FIELDS +Дата *$", tried, re.MULTILINE)
    assert (await run("import-csv", business_id, str(file)))[1].startswith("2 rows: 1 recorded, 0 known already")
    assert (await run("import-csv", business_id, str(file)))[1].startswith("2 rows: 0 recorded, 1 known already")

    code, results, said = await run("import-csv", business_id, str(file), "--phone-column", "Кто")
    assert (code, results, said.count("\n")) == (1, "", 1)
    assert "Кто" in said
    code, results, said = await run("at-risk", "--business", business_id)
    assert (code, results) == (1, "")
    assert said.startswith("svoykrug-cli: NOT_SCORED_YET: ")


async def test_the_commands_of_the_readme_run_as_they_stand(
    circle: Circle, postgres: Postgres, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await grant_superadmin(postgres)
    await sign_the_operator_in(circle, postgres, tmp_path / "session.json")
    async with Client(circle.target, insecure=True) as anna:
        user_id = (await sign_in(anna, circle, ANNA_PHONE)).user_id
    business_id = await new_business(circle, tmp_path / "session.json")
    await asyncio.to_thread(Path("purchases.csv").write_text, FILE.format(phone=ANNA_PHONE), "utf-8")
    results = {}
    for command in COMMANDS:
        arguments = Template(command).substitute(USER_ID=user_id, BUSINESS_ID=business_id)
        results[command.split()[0]] = await run(*shlex.split(arguments, comments=True))
    assert {name: code for name, (code, _, _) in results.items()} == {
        "find-user": 0,
        "revoke-sessions": 0,
        "import-csv": 0,
        "at-risk": 1,
        "sign-out": 0,
    }
    assert user_id in results["find-user"][1]
    assert "NOT_SCORED_YET" in results["at-risk"][2]
