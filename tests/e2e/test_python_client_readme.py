"""Every block of Python in the client's README is run as it stands, against the whole server."""

import ast
import asyncio
import inspect
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from svoykrug.analytics.v1.analytics_service_pb2 import CreateSnapshotRequest
from svoykrug.businesses.v1.business_pb2 import CATEGORY_BEAUTY
from svoykrug.businesses.v1.businesses_service_pb2 import CreateBusinessRequest
from svoykrug.users.v1.users_service_pb2 import GetMeRequest

from svoykrug_client import Client
from svoykrug_server.auth.convert import challenge_id_from_text
from svoykrug_server.storage.postgres import Postgres
from tests.e2e.circle import CONSENTS, Circle
from tests.e2e.python_client import ADMIN_PHONE, ANNA_PHONE, create_service_account, grant_superadmin, sign_in

README = Path(__file__).parents[2] / "clients" / "python" / "README.md"
TARGET = "127.0.0.1:50051"
BORIS_PHONE = "+79990000003"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ASYNCHRONOUS, SYNCHRONOUS = README.read_text("utf-8").split("\n## Without asyncio\n")
PROGRAM, *SNIPPETS = BLOCK.findall(ASYNCHRONOUS)
BLOCKING_SNIPPETS = BLOCK.findall(SYNCHRONOUS)


@pytest.fixture
async def admin(circle: Circle, postgres: Postgres) -> AsyncIterator[Client]:
    """A client of the first superadmin."""
    await grant_superadmin(postgres)
    async with Client(circle.target, insecure=True) as client:
        await sign_in(client, circle, ADMIN_PHONE)
        yield client


async def run(source: str, names: dict[str, Any]) -> None:
    """Runs a snippet as if it stood inside an `async def`; the names it makes are there for the next."""
    code = compile(source, str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = eval(code, names)  # noqa: S307  # our own documentation
    if inspect.isawaitable(outcome):
        await outcome


async def newest_challenge(postgres: Postgres) -> UUID | None:
    """Returns the challenge that was started last."""
    async with postgres.read() as connection:
        found: UUID | None = await connection.fetchval(
            "SELECT challenge_id FROM auth_challenges ORDER BY create_time DESC LIMIT 1"
        )
    return found


async def test_the_first_program_signs_a_stranger_in_and_prints_who_she_is(circle: Circle, postgres: Postgres) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM.replace(TARGET, circle.target),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readexactly(len("code: ")) == b"code: "
        challenge_id = await newest_challenge(postgres)
        assert challenge_id is not None
        process.stdin.write(f"{circle.code_of(challenge_id)}\n".encode())
        printed, _ = await process.communicate()
    assert process.returncode == 0
    assert 'phone: "+79991234567"' in printed.decode()


async def test_every_other_block_runs_as_it_stands(
    circle: Circle,
    admin: Client,
    postgres: Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    await create_service_account(
        postgres, Path("service-key.json"), "purchases.write", "analytics.write", "operations.read"
    )
    creation = CreateBusinessRequest(name="Салон", category=CATEGORY_BEAUTY, request_id=str(uuid4()))
    business = (await admin.businesses.CreateBusiness(creation)).business
    started = await admin.analytics.CreateSnapshot(CreateSnapshotRequest(request_id=str(uuid4())))
    names: dict[str, Any] = {
        "CONSENTS": CONSENTS,
        "GetMeRequest": GetMeRequest,
        "business_id": business.id,
        "operation": started.operation,
        "phone": ANNA_PHONE,
        "input": lambda _: circle.code_of(challenge_id_from_text(names["challenge"].challenge_id)),
    }
    for source in SNIPPETS:
        names["client"] = admin
        await run(source.replace(TARGET, circle.target), names)
    await names["service"].close()
    assert "5000 new, 0 known, 0 rejected" in capsys.readouterr().out
    names["phone"] = BORIS_PHONE
    for source in BLOCKING_SNIPPETS:
        # In a thread, for the server runs in this one.
        await asyncio.to_thread(exec, source.replace(TARGET, circle.target), names)
    printed = capsys.readouterr().out
    assert BORIS_PHONE in printed
    assert "5000 received" in printed


def test_the_readme_shows_what_a_newcomer_looks_for() -> None:
    whole = "\n".join([PROGRAM, *SNIPPETS])
    for name in ("FileTokenStore", "service_client", "errors.", "items(", "import_purchases(", "wait_for("):
        assert name in whole
