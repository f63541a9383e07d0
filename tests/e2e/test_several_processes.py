"""`svoykrug serve --processes 2`: one port, two servers, kept alive by their parent and ended with it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest
from svoykrug.users.v1.users_service_pb2 import GetMeRequest

from svoykrug_server.auth.codes import Codes
from svoykrug_server.kit.startup import ExitCode
from svoykrug_server.storage.secrets import SecretName, Secrets
from svoykrug_server.storage.warehouse import Warehouse
from tests.e2e.circle import Circle, Person
from tests.storage.clickhouse_http import clickhouse_server
from tests.waiting import until

INLINE = {f"{name}.1": b64encode(os.urandom(32)).decode() for name in SecretName}
CHANNELS = 24
"""So many connections that all of them end at one of two processes once in eight million times."""
START_SECONDS, END_SECONDS = 120.0, 120.0


@dataclass(frozen=True, slots=True)
class Several:
    """Processes that run.

    Attributes:
        parent: The one that was started.
        target: Where all of them take calls.
        log: What they wrote.
    """

    parent: psutil.Process
    target: str
    log: Path

    def servers(self) -> list[psutil.Process]:
        """Returns the processes that take calls."""
        port = int(self.target.rpartition(":")[2])
        return [child for child in self.parent.children() if _listens(child, port)]

    def connections(self) -> list[int]:
        """Returns how many connections each of them serves."""
        port = int(self.target.rpartition(":")[2])
        return [
            sum(each.laddr.port == port and bool(each.raddr) for each in server.net_connections("tcp"))
            for server in self.servers()
        ]


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        return any(each.laddr.port == port and each.status == "LISTEN" for each in process.net_connections("tcp"))
    except psutil.NoSuchProcess:
        return False


def told(file: Path) -> str:
    """Returns what stands in a file; nothing where there is none."""
    return file.read_text() if file.exists() else ""


def command(settings: Mapping[str, str], log: Path) -> psutil.Popen:
    """Starts `svoykrug serve --processes 2`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SVOYKRUG_")}
    ours = {f"SVOYKRUG_{name}": value for name, value in settings.items()}
    with log.open("wb") as output:
        arguments = [sys.executable, "-m", "svoykrug_server", "serve", "--processes", "2"]
        return psutil.Popen(arguments, env=clean | ours, stdout=output, stderr=subprocess.STDOUT)


@pytest.fixture
async def settings(
    postgres_url: str, warehouse_folder: Path, warehouse: Warehouse, data_dir: Path
) -> AsyncIterator[dict[str, str]]:
    """What the processes are started with: both stores outside."""
    async with clickhouse_server(str(warehouse_folder)) as clickhouse:
        yield {
            "DATA_DIR": str(data_dir),
            "DATABASE_URL": postgres_url,
            "CLICKHOUSE_URL": clickhouse.url,
            "CLICKHOUSE_DATABASE": warehouse.database,
            "SECRETS": json.dumps(INLINE),
            "LISTEN": '["127.0.0.1:0"]',
            "MAX_CALLS_PER_SECOND_PER_CALLER": "1000000",  # tests call faster than people do
            "HTTP_PORT": "0",
            "READY_FILE": str(data_dir.parent / "ready.json"),
            "DRAIN_SECONDS": "0",
            "GRACE_SECONDS": "1",
            "MINIMUM_FREE_DISK_MB": "0",
        }


@asynccontextmanager
async def several(settings: Mapping[str, str]) -> AsyncIterator[Several]:
    """Runs the processes for the length of the block; the parent may have ended before its end."""
    ready, log = Path(settings["READY_FILE"]), Path(settings["READY_FILE"]).with_name("log.txt")
    parent = command(settings, log)
    try:
        await until(lambda: told(ready) != "" or parent.poll() is not None, START_SECONDS)
        assert parent.poll() is None, told(log)
        yield Several(parent, json.loads(told(ready))["addresses"][0], log)
    finally:
        if parent.poll() is None:
            parent.terminate()
        await asyncio.to_thread(parent.wait, END_SECONDS)


@asynccontextmanager
async def connections(target: str) -> AsyncIterator[list[Circle]]:
    """Opens channels, each with a connection of its own."""
    codes = Codes(Secrets.load(generated=None, inline=INLINE))  # type: ignore[arg-type]  # no folder is read
    async with AsyncExitStack() as closing:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(target, options) for _ in range(CHANNELS)]
        yield [Circle(await closing.enter_async_context(channel), codes, target) for channel in channels]


async def all_know(circles: list[Circle], person: Person) -> bool:
    """Asks for her profile on every connection, whichever process is behind it."""
    calls = (circle.users.GetMe(GetMeRequest(), metadata=person.metadata, wait_for_ready=True) for circle in circles)
    return {answer.user.id for answer in await asyncio.gather(*calls)} == {person.user_id}


async def test_processes_share_the_calls_and_one_that_is_killed_is_started_again(settings: dict[str, str]) -> None:
    async with several(settings) as running, connections(running.target) as circles:
        person = await circles[0].sign_in("+79161234567")
        assert await all_know(circles, person)
        assert len(running.connections()) == 2
        assert all(running.connections())

        killed = running.servers()[0]
        killed.kill()
        await until(lambda: len(running.servers()) == 2 and killed not in running.servers(), START_SECONDS)
        assert await all_know(circles, person)
        assert '"server_process_ended"' in told(running.log)

        servers = running.servers()
        running.parent.terminate()
        assert await asyncio.to_thread(running.parent.wait, END_SECONDS) == 0
        assert not any(server.is_running() for server in servers)


async def test_processes_whose_parent_was_killed_end_by_themselves(settings: dict[str, str]) -> None:
    async with several(settings) as running:
        servers = running.servers()
        assert len(servers) == 2
        running.parent.send_signal(signal.SIGKILL)
        await until(lambda: not any(server.is_running() for server in servers), END_SECONDS)


async def test_stores_that_belong_to_one_process_are_refused_in_one_line(
    settings: dict[str, str], data_dir: Path
) -> None:
    log = data_dir.parent / "log.txt"
    refused = command({**settings, "CLICKHOUSE_URL": ""}, log)
    assert await asyncio.to_thread(refused.wait, START_SECONDS) == ExitCode.SETTINGS
    assert "embedded stores belong to one process" in " ".join(told(log).split())
