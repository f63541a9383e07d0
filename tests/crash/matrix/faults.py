"""What can happen to a store under a server that lives: killed and started again, or its disk full for a while."""

import asyncio
import os
import random
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from svoykrug_client import Client
from tests.auth.sms_providers import free_port
from tests.crash.matrix.disk import Disk
from tests.crash.matrix.place import BOUND_SECONDS, Place
from tests.crash.matrix.work import Work
from tests.crash.server_process import ServerProcess
from tests.waiting import until

ROOT = Path(__file__).parents[3]


class Fault(ABC):
    """Something that happens to a store.

    Args:
        place: Where.
        disk: The disk below it.
        dice: Draws how long it lasts.
    """

    def __init__(self, place: Place, disk: Disk, dice: random.Random) -> None:
        self.place = place
        self.disk = disk
        self.dice = dice

    @asynccontextmanager
    async def server(self, work: Work) -> AsyncIterator[tuple[ServerProcess, Client]]:
        """Runs the server under which it happens."""
        async with self.place.server(**work.settings) as started:
            yield started

    @abstractmethod
    async def happen(self, work: Work) -> bool:
        """Lets it happen, and pass; returns whether the stores show that it fell into the work."""


class PostgresKilled(Fault):
    """PostgreSQL's main process is killed; the server starts it again."""

    async def happen(self, work: Work) -> bool:
        """Kills it and waits until another has recovered."""
        hit, log = await work.is_unfinished(), Log(self.place.data_dir)
        file = self.place.data_dir / "postgres" / "postmaster.pid"
        killed = int(file.read_text().splitlines()[0])
        os.kill(killed, signal.SIGKILL)

        def is_back() -> bool:
            lines = file.read_text().splitlines() if file.exists() else []
            return len(lines) > 7 and int(lines[0]) != killed and lines[7].strip() == "ready"

        await until(is_back, BOUND_SECONDS)
        return hit and log.tells("not properly shut down")


class ClickHouseKilled(Fault):
    """ClickHouse is a process of its own over the folder's warehouse; it is killed, and another takes its port."""

    def __init__(self, place: Place, disk: Disk, dice: random.Random) -> None:
        super().__init__(place, disk, dice)
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    @asynccontextmanager
    async def server(self, work: Work) -> AsyncIterator[tuple[ServerProcess, Client]]:
        """Runs ClickHouse, and a server that uses it."""
        async with AsyncExitStack() as closing:
            await self._start()
            closing.push_async_callback(self._kill)
            settings = {**work.settings, "CLICKHOUSE_URL": f"http://127.0.0.1:{self._port}"}
            yield await closing.enter_async_context(self.place.server(**settings))

    async def happen(self, work: Work) -> bool:
        """Kills it; another takes its place a moment later."""
        await self._kill()
        hit = await work.is_unfinished()
        await asyncio.sleep(self.dice.uniform(0.0, 0.6))
        await self._start()
        return hit

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.crash.matrix.clickhouse_process"),
            *(str(self.place.data_dir / "warehouse"), str(self._port)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(BOUND_SECONDS):
            assert await self._process.stdout.readline() == b"ready\n"

    async def _kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        assert await self._process.wait() == -signal.SIGKILL


class DiskFull(Fault):
    """The disk below both stores is full for a while."""

    async def happen(self, work: Work) -> bool:
        """Fills it until a store has refused something; a moment later there is room again."""
        hit, log = await work.is_unfinished(), Log(self.place.data_dir)
        with self.disk.full():
            await until(lambda: log.tells("No space left", "WAREHOUSE_UNAVAILABLE", "STORE_UNAVAILABLE"), BOUND_SECONDS)
            await asyncio.sleep(self.dice.uniform(0.0, 1.0))
        return hit


class Log:
    """What PostgreSQL and the server say from now on.

    Args:
        data_dir: Whose.
    """

    def __init__(self, data_dir: Path) -> None:
        self._files = (data_dir / "postgres.log", data_dir.parent / "server.log")
        self._from = [file.stat().st_size for file in self._files]

    def tells(self, *words: str) -> bool:
        """Returns whether any of these words was said."""
        for file, offset in zip(self._files, self._from, strict=True):
            with file.open("rb") as log:
                log.seek(offset)
                said = log.read().decode(errors="replace")
            if any(each in said for each in words):
                return True
        return False
