"""The real process in a folder of its own: what a person does in the first five minutes, with the tools she has."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from svoykrug.users.v1.user_pb2 import CONSENT_KIND_PERSONAL_DATA, CONSENT_KIND_TERMS, ConsentGrant
from svoykrug.users.v1.users_service_pb2 import GetMeRequest

from svoykrug_client import Client
from tests.conftest import reachable_folder
from tests.waiting import until

PHONE = "+79991234567"
CONSENTS = [
    ConsentGrant(kind=kind, version="2026-11", granted=True)
    for kind in (CONSENT_KIND_TERMS, CONSENT_KIND_PERSONAL_DATA)
]
BUF = Path(sys.executable).with_name("buf")


@dataclass(frozen=True, slots=True)
class Service:
    """A running `svoykrug serve`.

    Attributes:
        process: The process.
        facts: What its ready file says.
        output: Everything it wrote to its console: log lines and SMS.
    """

    process: "asyncio.subprocess.Process"
    facts: dict[str, Any]
    output: Path

    @property
    def address(self) -> str:
        """Where it takes calls."""
        return str(self.facts["addresses"][0])

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log lines; SMS, which are shown in frames, left out."""
        return [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]

    def code(self) -> str:
        """Returns the last code it showed, from the line that phones fill codes in from."""
        return str(re.findall(r"@\S+ #(\d{6})", self.output.read_text())[-1])

    async def buf_curl(self, *arguments: str) -> tuple[int, str]:
        """Calls it as an engineer does, and returns the exit code and everything printed."""
        *options, target = arguments
        process = await asyncio.create_subprocess_exec(
            BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *options, f"http://{self.address}{target}",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        printed, _ = await process.communicate()
        return process.returncode or 0, printed.decode()


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """The real process, on free ports; at the end it is asked to stop, and does."""
    folder = reachable_folder("svoykrug-process-")
    ready_file, output = folder / "ready.json", folder / "console.txt"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SVOYKRUG_")}
    environment |= {
        "SVOYKRUG_DATA_DIR": str(folder / "data"),
        "SVOYKRUG_LISTEN": '["127.0.0.1:0"]',
        "SVOYKRUG_HTTP_PORT": "0",
        "SVOYKRUG_DRAIN_SECONDS": "0",
        "SVOYKRUG_READY_FILE": str(ready_file),
        "COLUMNS": "120",
    }
    with output.open("wb") as console:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "svoykrug_server", "serve", env=environment, cwd="/", stdout=console, stderr=console
        )
    try:
        await until(lambda: ready_file.exists() or process.returncode is not None, seconds=60)
        assert process.returncode is None, output.read_text()
        yield Service(process, json.loads(ready_file.read_text()), output)
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
        shutil.rmtree(folder)


async def test_a_person_signs_in_with_the_code_on_the_console_and_the_log_knows_nobody(service: Service) -> None:
    async with Client(service.address, insecure=True) as client:
        challenge = await client.start_sign_in("8 999 123-45-67")
        await until(lambda: "#" in service.output.read_text())
        await client.complete_sign_in(challenge, service.code(), consents=CONSENTS)
        me = (await client.users.GetMe(GetMeRequest())).user
    assert me.phone == PHONE
    get_me = "/svoykrug.users.v1.UsersService/GetMe"
    await until(lambda: get_me in {event.get("method") for event in service.log})  # lines are written together
    (seen,) = [event for event in service.log if event.get("method") == get_me]
    assert (seen["code"], seen["caller"]) == ("OK", me.id)
    assert PHONE[1:] not in json.dumps(service.log)
    assert service.code() not in json.dumps(service.log)


async def test_an_engineer_finds_every_method_by_reflection_and_reads_which_field_is_wrong(service: Service) -> None:
    code, methods = await service.buf_curl("--list-methods", "")
    assert code == 0
    for method in ("auth.v1.AuthService/StartSignIn", "users.v1.UsersService/GetMe"):
        assert f"svoykrug.{method}" in methods
    code, answer = await service.buf_curl("-d", '{"phone": "+7999"}', "/svoykrug.auth.v1.AuthService/StartSignIn")
    assert code != 0
    assert "phone: " in json.loads(answer)["message"]
    assert "7999" not in answer


async def test_operators_see_metrics_readiness_and_health(service: Service) -> None:
    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{service.facts['http_port']}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    await service.buf_curl("-d", "{}", "/svoykrug.users.v1.UsersService/GetMe")
    assert await asyncio.to_thread(get, "/readyz") == "ready\n"
    metrics = await asyncio.to_thread(get, "/metrics")
    assert 'rpc_server_errors_total{reason="TOKEN_MISSING",rpc_method="GetMe"' in metrics
    assert "process_resident_memory_bytes" in metrics
    report = json.loads(await asyncio.to_thread(get, "/doctor"))
    assert report["addresses"] == [service.address]
    assert all(job["running"] and not job["failures"] for job in report["jobs"].values())
