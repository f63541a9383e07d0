"""The one module that owns connections to ClickHouse, in process (chDB) or a server: the same code and the same driver.

The driver's clients are synchronous and serve one statement at a time, so `Warehouse` keeps two small pools of threads,
each thread with its own client: one for answering calls, one for background work (snapshots, features), which runs with
few threads inside the engine so that serving stays quick beside it.

A statement ends with the asyncio task that awaits it: cancelling the task kills the statement in the engine. A lost
server becomes `WarehouseUnavailable`; the next statement connects again. The tables are migrated before the first
statement; when the server is away at start, that happens as soon as it is back.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import clickhouse_connect
import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError
from clickhouse_connect.driver.httpclient import HttpClient
from clickhouse_connect.driver.query import QueryResult
from urllib3 import Timeout

from svoykrug_server.kit.errors import DomainError, WarehouseUnavailable
from svoykrug_server.storage.client_threads import Answer, ClientThreads, EngineSettings, Work
from svoykrug_server.storage.long_values import in_pieces

if TYPE_CHECKING:
    import pyarrow as pa

log = structlog.get_logger(__name__)

Parameters = Mapping[str, Any]
"""Values bound to `{name:Type}` in a statement."""

TIMEOUT_EXCEEDED = 159
AWAY = frozenset({202, 209, 210, 236, 242, 243, 279, 439})
"""Codes of a server that is overloaded, stopping, read-only, or cannot be reached."""
LOST = frozenset({60, 81})
"""Codes of a table or a database that is not there: somebody dropped it, and a rebuild brings it back."""
KILL_INTERVAL_SECONDS = 0.1
CONNECT_SECONDS = 5
"""How long a server may be silent when we connect."""
KILL_SECONDS = 5.0
"""How long a server may take for the order to kill a statement before its connection is broken."""
PREPARE_INTERVAL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WarehouseOptions:
    """How to reach the warehouse and how much of it to use.

    Attributes:
        location: The folder of the embedded engine, or `http://user:password@host:port` of a server.
        database: The database that holds our tables; made when missing.
        connections: How many statements may run at once for calls.
        background_connections: How many statements may run at once for background work.
        background_threads: How many threads of the engine one background statement may use.
        timeout_seconds: The longest any statement may run.
    """

    location: str
    database: str = "svoykrug"
    connections: int = 4
    background_connections: int = 2
    background_threads: int = 1
    timeout_seconds: float = 300.0

    @property
    def is_server(self) -> bool:
        """Whether the location is a server and not a folder."""
        return self.location.startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class LossCheck:
    """How a warehouse that was lost is told from a new one, and what is made in it then.

    Attributes:
        is_new: Whether nothing was ever made in the database that a client uses.
        was_filled: Asked of a new one: whether rows were shipped to it, of which a rebuild is wanted now.
        migrate_lost: What brings its tables up to date if so, all but what the rebuild brings back.
    """

    is_new: Callable[[Client], bool]
    was_filled: Callable[[], Awaitable[bool]]
    migrate_lost: Callable[[Client], None]


class Warehouse:
    """The analytics copy.

    Args:
        options: How to reach it.
        migrate: What brings its tables up to date; gets a client that uses our database.
        loss: How a loss is noticed; None takes an empty database for a new one.
    """

    def __init__(
        self, options: WarehouseOptions, migrate: Callable[[Client], None], loss: LossCheck | None = None
    ) -> None:
        self.options = options
        self._migrate = migrate
        self._loss = loss
        opening = partial(self._open, options.timeout_seconds + 10)
        self._calls = ClientThreads("warehouse", options.connections, opening)
        self._background = ClientThreads("warehouse-background", options.background_connections, opening)
        self._killer = ClientThreads("warehouse-killer", 1, partial(self._open, KILL_SECONDS))
        self._preparing = asyncio.Lock()
        self._prepared = False
        self._prepare_not_before = 0.0

    @property
    def database(self) -> str:
        """The database that holds our tables."""
        return self.options.database

    async def prepare(self) -> None:
        """Makes the database and brings its tables up to date, once; every statement does so first.

        Raises:
            WarehouseUnavailable: It cannot be reached; another try is made a second later at the earliest.
            StoreUnavailable: PostgreSQL cannot be asked whether an empty one was lost.
        """
        if self._is_prepared():
            return
        async with self._preparing:
            if self._is_prepared():
                return
            if time.monotonic() < self._prepare_not_before:
                raise WarehouseUnavailable
            self._prepare_not_before = time.monotonic() + PREPARE_INTERVAL_SECONDS
            migrate = self._migrate
            if self._loss is not None and await self._is_lost(self._loss):
                log.error("warehouse_lost", hint="analytics answers UNAVAILABLE until its purchases are rebuilt")
                migrate = self._loss.migrate_lost
            await self._submit(self._calls, lambda client, _: migrate(client), {})
            self._prepared = True

    async def _is_lost(self, loss: LossCheck) -> bool:
        return await self._submit(self._calls, lambda client, _: loss.is_new(client), {}) and await loss.was_filled()

    def _is_prepared(self) -> bool:
        return self._prepared

    async def query(
        self, sql: str, parameters: Parameters | None = None, *, background: bool = False
    ) -> list[tuple[Any, ...]]:
        """Returns the rows of a SELECT; for aggregates and pages, not for bulk (see `query_arrow`).

        Args:
            sql: One SELECT; values only as `{name:Type}`.
            parameters: The values. Instants are aware.
            background: Whether it is background work, which leaves room for calls.

        Raises:
            WarehouseUnavailable: The warehouse is away.
            DomainError: DEADLINE_EXCEEDED, the statement took longer than any may.
        """
        sql, values = in_pieces(sql, parameters)
        return await self._run(lambda client, settings: _rows(client.query(sql, values, settings)), background)

    async def query_arrow(
        self, sql: str, parameters: Parameters | None = None, *, background: bool = False
    ) -> "pa.Table":
        """Returns the rows of a SELECT as an Arrow table: the way for anything over a few thousand rows.

        Args:
            sql: One SELECT without FORMAT; values only as `{name:Type}`.
            parameters: The values.
            background: Whether it is background work, which leaves room for calls.

        Raises:
            WarehouseUnavailable: The warehouse is away.
            DomainError: DEADLINE_EXCEEDED, the statement took longer than any may.
        """
        sql, values = in_pieces(sql, parameters)
        return await self._run(lambda client, settings: client.query_arrow(sql, values, settings=settings), background)

    async def insert_arrow(self, table: str, rows: "pa.Table", deduplication_token: str) -> None:
        """Inserts rows as one block: once, however often the same token comes within the table's window.

        The table must set `non_replicated_deduplication_window`. The same token with other rows drops them, so the
        token holds a hash of the rows.

        Args:
            table: The table's name in our database.
            rows: Columns named and typed as the table's.
            deduplication_token: What names this insert.

        Raises:
            WarehouseUnavailable: It is away; whether the rows arrived is unknown, so repeat with the same token.
        """
        block: EngineSettings = {
            "insert_deduplicate": 1,
            "insert_deduplication_token": deduplication_token,
            "max_insert_block_size": max(rows.num_rows, 1_048_576),
            "min_insert_block_size_rows": max(rows.num_rows, 1_048_576),
            "min_insert_block_size_bytes": 0,
        }
        whole = rows.combine_chunks()
        await self._run(
            lambda client, settings: client.insert_arrow(table, whole, settings={**settings, **block}), False
        )

    async def command(self, sql: str, parameters: Parameters | None = None, *, background: bool = False) -> None:
        """Runs a statement that returns no rows: INSERT SELECT, ALTER, DROP, OPTIMIZE.

        Raises:
            WarehouseUnavailable: The warehouse is away.
            DomainError: DEADLINE_EXCEEDED, the statement took longer than any may.
        """
        sql, values = in_pieces(sql, parameters)
        # The driver's `command` would send the values in the address, which may be shorter than they are.
        await self._run(lambda client, settings: client.raw_query(sql, values, settings), background)

    async def make_database(self) -> None:
        """Makes our database when somebody dropped it; its tables are for whoever asks to make.

        Raises:
            WarehouseUnavailable: The warehouse is away.
        """
        statement = _create_database(self.options.database)
        await self._run(lambda client, _: client.command(statement, use_database=False), False)

    async def migrate(self, migrate: Callable[[Client], None]) -> None:
        """Makes tables by a function that gets a client that uses our database.

        Raises:
            WarehouseUnavailable: The warehouse is away.
        """
        await self._run(lambda client, _: migrate(client), False)

    async def version(self) -> str:
        """Returns the engine's version."""
        # Which version is this engine?
        return str((await self.query("SELECT version()"))[0][0])

    async def close(self) -> None:
        """Kills what still runs, and closes every client; a silent server is not waited for."""
        working = (self._calls, self._background)
        for threads in working:
            for future, comment in threads.running():
                self._kill(threads, future, comment)
        await asyncio.gather(*(asyncio.to_thread(threads.close) for threads in working))
        await asyncio.to_thread(self._killer.close)

    async def _run(self, work: Work[Answer], background: bool) -> Answer:
        await self.prepare()
        settings: EngineSettings = {"max_execution_time": self.options.timeout_seconds}
        if background:
            settings["max_threads"] = self.options.background_threads
        return await self._submit(self._background if background else self._calls, work, settings)

    async def _submit(self, threads: "ClientThreads", work: Work[Answer], settings: EngineSettings) -> Answer:
        comment = f"svoykrug-{uuid4().hex}"
        future = threads.submit(work, {**settings, "log_comment": comment}, comment)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancel():
                self._kill(threads, future, comment)
            raise
        except (ClickHouseError, OSError) as error:
            raise _warehouse_error(error) from error

    def _kill(self, threads: "ClientThreads", future: "Future[Any]", comment: str) -> None:
        killing = self._killer.submit(partial(_kill_until_done, future, comment), {}, f"kill {comment}")
        # A server that does not even take this order is not waited for.
        killing.add_done_callback(lambda _: threads.hang_up(comment))

    def _open(self, silence_seconds: float) -> Client:
        options = self.options
        settings = {"session_timezone": "UTC"}
        if not options.is_server:
            bare = clickhouse_connect.get_client(
                interface="chdb", path=options.location, tz_mode="aware", settings=settings
            )
        else:
            bare = clickhouse_connect.get_client(
                dsn=options.location,
                interface=urlsplit(options.location).scheme,
                database="default",
                settings=settings,
                tz_mode="aware",
                connect_timeout=CONNECT_SECONDS,
                send_receive_timeout=CONNECT_SECONDS,
                dedicated_pool=True,
                autogenerate_session_id=False,
                query_retries=1,
                compress="lz4",
            )
        # Where do our tables live?
        bare.command(_create_database(options.database))
        bare.database = options.database
        if isinstance(bare, HttpClient):
            bare.timeout = Timeout(connect=CONNECT_SECONDS, read=silence_seconds)
        return bare


def _kill_until_done(future: "Future[Any]", comment: str, client: Client, settings: EngineSettings) -> None:
    """Kills the statement that carries a comment, again and again until it has ended: it may not have begun yet.

    A server that cannot be told ends it.
    """
    while not future.done():
        try:
            # Which statement does nobody wait for any more?
            client.command(
                "KILL QUERY WHERE Settings['log_comment'] = {comment:String} ASYNC",
                {"comment": comment},
                settings=settings,
                use_database=False,
            )
        except (ClickHouseError, OSError) as error:
            log.warning("statement_not_killed", reason=str(error))
            if isinstance(client, HttpClient):
                return
        wait_for([future], timeout=KILL_INTERVAL_SECONDS)


def _create_database(name: str) -> str:
    return f"CREATE DATABASE IF NOT EXISTS `{name}`"


def _rows(result: QueryResult) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in result.result_rows]


def _warehouse_error(error: Exception) -> Exception:
    code = error.code if isinstance(error, DatabaseError) else None
    if code == TIMEOUT_EXCEEDED:
        return DomainError("DEADLINE_EXCEEDED")
    if code in LOST:
        # Its text would hold the values of the statement.
        log.error("warehouse_table_lost", code=code)
    if code in AWAY | LOST or isinstance(error, OSError) or (isinstance(error, OperationalError) and code is None):
        return WarehouseUnavailable()
    return error
