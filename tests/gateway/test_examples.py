"""The examples of the documentation: all are right in their language, and a sample of every service and kind is run."""

import asyncio
import subprocess
from pathlib import Path
from uuid import UUID

import pytest
from api_examples import Examples
from api_languages import LANGUAGES
from contract import Contract, Method

from svoykrug_server.storage.postgres import Postgres
from tests.e2e.python_client import ADMIN_PHONE, create_service_account, grant_superadmin
from tests.gateway.commands import run_command
from tests.gateway.example_programs import RUN, Desk, Language, write_go
from tests.gateway.front import Front
from tests.gateway.typescript_package import CLIENT, build_package, install_package

CONTRACT = Contract()
EXAMPLES = {method.name: Examples(CONTRACT).of(method) for method in CONTRACT.methods}
SAMPLE = {
    "GetFreshness": "watermark",
    "WatchDashboard": "fromdate",
    "ListSigningKeys": "es256",
    "GetJwks": "keys",
    "ListSessions": "sessions",
    "GetBusiness": "flowers",
    "CreateBusiness": "createtime",
    "ListJobs": "jobs",
    "WatchOperation": "notfound",
    "StartCsvImport": "csvimport",
    "ImportPurchases": "receipt-1042",
    "GetMe": ADMIN_PHONE,
    "ExportMe": "auditevents",
}
"""Method -> what its answer holds, in every language, but for case, spaces and underscores."""


def kind(method: Method) -> tuple[str, bool, bool]:
    """Returns what the sample must have one of: a service, and which side of a call streams."""
    return method.service, method.client_streaming, method.server_streaming


def test_the_sample_has_every_kind_of_method_of_every_service() -> None:
    assert {kind(EXAMPLES[name].method) for name in SAMPLE} == {kind(method) for method in CONTRACT.methods}


def test_every_language_of_the_documentation_is_run() -> None:
    assert [language.name for language in RUN] == list(LANGUAGES)


@pytest.fixture
async def desk(front: Front, postgres: Postgres, tmp_path: Path) -> Desk:
    """A superadmin and a service account at their desk, in a circle with the business of the examples."""
    await grant_superadmin(postgres)
    await create_service_account(postgres, tmp_path / "service-key.json", "purchases.write")
    async with postgres.transaction() as tx:
        connection = await tx.driver()
        await connection.execute(
            "INSERT INTO businesses (id, name, category, sensitive, create_time, update_time)"
            " VALUES ($1, 'Flowers', 'floristry', false, now(), now())",
            UUID(EXAMPLES["GetBusiness"].request["business_id"]),
        )
    return Desk(tmp_path, front, await front.circle.sign_in(ADMIN_PHONE), EXAMPLES)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("language", RUN, ids=lambda language: language.name)
async def test_the_examples_of_a_language_are_answered(desk: Desk, language: Language) -> None:
    await language.prepare(desk)
    for name, fragment in SAMPLE.items():
        if LANGUAGES[language.name](EXAMPLES[name]):
            printed = await printed_until(fragment, desk.folder, language.command(desk, EXAMPLES[name]))
            assert fragment in plain(printed), f"{name}\n{printed}"


async def printed_until(fragment: str, folder: Path, command: tuple[str, ...]) -> str:
    """Runs a command until it ends or has printed a fragment: a stream that is watched does not end."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    printed = b""
    async with asyncio.timeout(60):
        while fragment not in plain(printed.decode(errors="replace")):
            part = await process.stdout.read(65536)
            if not part:
                break
            printed += part
    if process.returncode is None:
        process.terminate()
    await process.communicate()
    return printed.decode(errors="replace")


def plain(text: str) -> str:
    """Returns a text as every language prints it."""
    return "".join(text.lower().split()).replace("_", "")


def texts(language: str) -> dict[str, str]:
    """Returns the example of every method."""
    return {name: LANGUAGES[language](example) for name, example in EXAMPLES.items()}


async def test_every_example_in_go_is_formatted_and_accepted_by_its_compiler(tmp_path: Path) -> None:
    write_go(tmp_path, texts("Go"))
    assert await run_command(tmp_path, "gofmt", "-l", ".") == ""
    await run_command(tmp_path, "go", "vet", ".")


async def test_every_example_in_typescript_is_accepted_by_its_compiler(tmp_path: Path) -> None:
    await build_package()
    install_package(tmp_path)
    names = [f"{name}.ts" for name in EXAMPLES]
    for name, text in zip(names, texts("TypeScript").values(), strict=True):
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    options = (
        "--noEmit",
        "--strict",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--skipLibCheck",
        "--types",
        "node",
    )
    await run_command(tmp_path, str(CLIENT / "node_modules" / ".bin" / "tsc"), *options, *names)
