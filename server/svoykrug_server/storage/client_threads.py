"""The threads in which the warehouse's driver works: its clients are synchronous and serve one statement at a time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any, TypeVar

import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.httpclient import HttpClient

from svoykrug_server.storage.hanging_up import Line

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")
EngineSettings = dict[str, str | int | float]
Work = Callable[[Client, EngineSettings], Answer]

CLOSE_SECONDS = 5.0
"""How long statements may take to end at the close before their connections are broken."""
HEAVY_SECONDS = 0.2
"""From then on a statement in process is heavy: what giving its memory back costs, some 15 ms, is little beside it."""


class ClientThreads:
    """A few threads, each with a client of its own, made when the thread is first used and again after it was lost."""

    def __init__(self, name: str, count: int, open_client: Callable[[], Client]) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._open_client = open_client
        self._local = threading.local()
        self._clients: set[Client] = set()
        self._running: dict[Future[Any], str] = {}
        self._lines: dict[str, Line] = {}

    def submit(self, work: Work[Answer], settings: EngineSettings, comment: str) -> "Future[Answer]":
        """Queues work for the next free thread."""
        future = self._executor.submit(self._work, work, settings, comment)
        self._running[future] = comment
        future.add_done_callback(lambda done: self._running.pop(done, None))
        return future

    def running(self) -> list[tuple["Future[Any]", str]]:
        """Returns what is queued or runs now, with the comment each statement carries."""
        return list(self._running.items())

    def hang_up(self, comment: str) -> None:
        """Breaks the connection of the statement that carries a comment, if it still runs, on a server."""
        line = self._lines.get(comment)
        if line is not None:
            log.warning("statement_hung_up_on")
            line.hang_up()

    def close(self) -> None:
        """Drops what is queued, waits a while for what runs, and closes the clients."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        wait_for(list(self._running), timeout=CLOSE_SECONDS)
        for comment in list(self._lines):
            self.hang_up(comment)
        self._executor.shutdown(wait=True)
        for client in self._clients:
            client.close()
        self._clients.clear()

    def _work(self, work: Work[Answer], settings: EngineSettings, comment: str) -> Answer:
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._open_client()
            self._clients.add(client)
            self._local.line = Line(client) if isinstance(client, HttpClient) else None
        line: Line | None = self._local.line
        if line is None:
            return _in_process(work, client, settings)
        line.begin()
        self._lines[comment] = line
        try:
            return work(client, settings)
        finally:
            del self._lines[comment]


def _in_process(work: Work[Answer], client: Client, settings: EngineSettings) -> Answer:
    """Runs a statement inside this process, and lets the engine give the memory of a heavy one back.

    An engine in process has no threads that do so: freed pages would stay, and those of all statements add up.
    """
    begun = time.monotonic()
    try:
        return work(client, settings)
    finally:
        if time.monotonic() - begun > HEAVY_SECONDS:
            # Which pages does nobody use any more?
            client.command("SYSTEM JEMALLOC PURGE")
