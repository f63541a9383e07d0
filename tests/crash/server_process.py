"""The real server as a process of its own, killed and started again on one data folder."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from svoykrug_server.config import Settings
from tests.conftest import isolated_settings
from tests.waiting import until

START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that was started.

    Attributes:
        process: The process.
        ready_file: Where it says that it takes calls.
    """

    process: asyncio.subprocess.Process
    ready_file: Path

    @property
    def is_dead(self) -> bool:
        """Whether the process has ended."""
        return self.process.returncode is not None

    async def target(self) -> str:
        """Waits until the server takes calls and returns where."""
        await until(lambda: self.is_dead or self.ready_file.exists(), START_SECONDS)
        assert self.ready_file.exists(), "the server died before it took calls"
        target: str = json.loads(self.ready_file.read_text())["addresses"][0]
        return target


def settings_of(data_dir: Path) -> Settings:
    """Returns the settings by which the test opens the server's stores itself."""
    return isolated_settings(data_dir=data_dir)


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """Returns the environment of the server and of `svoykrug` commands, with further settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SVOYKRUG_")}
    own = {
        "DATA_DIR": str(data_dir),
        "LISTEN": '["127.0.0.1:0"]',
        "HTTP_PORT": "0",
        "DRAIN_SECONDS": "0",
        "MAX_CALLS_PER_SECOND_PER_CALLER": "1000000",  # tests call faster than people do
        "MINIMUM_FREE_DISK_MB": "0",
        "PROOF_INTERVAL_SECONDS": "0.5",
        "RELAY_POLL_SECONDS": "0.2",
        "RELAY_LEASE_SECONDS": "1",
        "RELAY_BATCH_ENTRIES": "500",
        "ERASURE_INTERVAL_SECONDS": "0.5",
    }
    return {**inherited, **{f"SVOYKRUG_{name}": value for name, value in {**own, **settings}.items()}}


@asynccontextmanager
async def started(data_dir: Path, failpoints: str = "", **settings: str) -> AsyncIterator[ServerProcess]:
    """Starts the server, with further settings; at the end it is stopped in order, unless it is dead by then."""
    ready_file, log_file = data_dir.parent / "ready.json", data_dir.parent / "server.log"
    ready_file.unlink(missing_ok=True)
    with log_file.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "svoykrug_server", "serve"),
            env=environment(data_dir, FAILPOINTS=failpoints, READY_FILE=str(ready_file), **settings),
            stdout=log,
            stderr=log,
        )
    try:
        yield ServerProcess(process, ready_file)
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(START_SECONDS):
            await process.wait()


async def command(data_dir: Path, *arguments: str) -> None:
    """Runs a `svoykrug` command to its good end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "svoykrug_server", *arguments),
        env=environment(data_dir),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
