"""The one module that owns connections to PostgreSQL.

Two pools over one database:

- `Postgres.transaction()` gives a `Transaction`: a SQLAlchemy connection inside one BEGIN..COMMIT, for every write.
- `Postgres.read()` gives a `ReadConnection`: an asyncpg connection of the hot pool. It is read-only and autocommits,
  keeps its prepared statements, and is *not* reset between callers: no SET, LISTEN, advisory lock or explicit
  transaction on it.

A query ends with the asyncio task that awaits it: cancelling the task (deadline passed, caller gone) cancels the
statement in the database. A lost database becomes `StoreUnavailable`; both pools reconnect with the next call.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

import asyncpg
import structlog
from sqlalchemy import URL, CursorResult, Executable, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from svoykrug_server.kit.errors import DomainError, StoreUnavailable

log = structlog.get_logger(__name__)

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Values bound to one statement, or to each of many executions of it."""

UndefinedTable = asyncpg.UndefinedTableError
"""What a read raises when a table does not exist (yet)."""

_LOST = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,
)
"""What asyncpg raises when the database went away, is stopping, starting, or full.

InternalClientError is what a statement meets on a connection whose last word was the server's good-bye, not yet read.
"""

CANCEL_SECONDS = 5.0
"""How long the cancellation of a statement may take before its connection is dropped."""

_UNREACHABLE = (*_LOST, OSError, PoolTimeoutError)
"""What getting a connection raises; the built-in TimeoutError is an OSError."""


@dataclass(frozen=True, slots=True)
class PostgresOptions:
    """How to reach the database and how many connections to keep.

    Attributes:
        url: `postgresql://user:password@host:port/database`.
        transaction_connections: The size of the pool for transactions.
        read_connections: The size of the pool for hot reads.
        connect_timeout_seconds: How long one attempt to connect may take.
        statement_timeout_seconds: The longest any statement may run; a call's own deadline is usually shorter.
    """

    url: str
    transaction_connections: int = 10
    read_connections: int = 10
    connect_timeout_seconds: float = 5.0
    statement_timeout_seconds: float = 60.0


class Transaction:
    """Work inside one BEGIN..COMMIT, made by `Postgres.transaction()`.

    Args:
        connection: The connection whose transaction has begun.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def execute(self, statement: Executable, parameters: Parameters | None = None) -> CursorResult[Any]:
        """Executes one statement, once or for each of a list of parameters, and returns its buffered result."""
        return await self._connection.execute(statement, parameters)

    async def driver(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Returns the asyncpg connection below, for COPY; it is inside the same transaction."""
        raw = await self._connection.get_raw_connection()
        return cast("asyncpg.Connection[asyncpg.Record]", raw.driver_connection)


class ReadConnection:
    """Reads of committed rows on the hot pool; placeholders are `$1`, `$2`, ...

    Args:
        connection: A connection borrowed from the pool.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def fetch(self, query: str, *parameters: object) -> "Coroutine[Any, Any, list[asyncpg.Record]]":
        """Returns all rows."""
        rows: Coroutine[Any, Any, list[asyncpg.Record]] = self._connection.fetch(query, *parameters)
        return rows

    def fetchrow(self, query: str, *parameters: object) -> "Coroutine[Any, Any, asyncpg.Record | None]":
        """Returns the first row, or None."""
        row: Coroutine[Any, Any, asyncpg.Record | None] = self._connection.fetchrow(query, *parameters)
        return row

    def fetchval(self, query: str, *parameters: object) -> Coroutine[Any, Any, Any]:
        """Returns the first column of the first row, or None."""
        value: Coroutine[Any, Any, Any] = self._connection.fetchval(query, *parameters)
        return value


class _Reading:
    """Borrows a connection of the hot pool for one `async with` block."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def __aenter__(self) -> ReadConnection:
        try:
            self._connection = await self._pool.acquire()
        except _UNREACHABLE as error:
            raise StoreUnavailable from error
        return ReadConnection(self._connection)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        closed = error is not None and _is_closed(self._connection)
        lost = isinstance(error, _LOST) or (isinstance(error, asyncpg.InterfaceError) and closed)
        if lost and not closed:
            self._connection.terminate()
        if isinstance(error, asyncio.CancelledError):
            self._release_later()
            return
        await self._pool.release(self._connection)
        if lost:
            raise StoreUnavailable from error
        if isinstance(error, asyncpg.QueryCanceledError):
            raise DomainError("DEADLINE_EXCEEDED") from error


    def _release_later(self) -> None:
        """Gives the connection back once its statement is cancelled; whoever was cancelled does not wait for that."""
        releasing = asyncio.ensure_future(self._pool.release(self._connection, timeout=CANCEL_SECONDS))
        _RELEASING.add(releasing)
        releasing.add_done_callback(_released)


_RELEASING: set["asyncio.Future[None]"] = set()
"""Connections on their way back; the event loop itself would not keep them alive."""


def _released(releasing: "asyncio.Future[None]") -> None:
    _RELEASING.discard(releasing)
    if not releasing.cancelled() and (error := releasing.exception()) is not None:
        log.warning("connection_dropped", reason=type(error).__name__)


class Postgres:
    """The system of record. Made by `Postgres.connect`, ended by `close`."""

    def __init__(self, options: PostgresOptions, engine: AsyncEngine, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.url = options.url
        """Where the database is; holds the password."""
        self._options = options
        self._engine = engine
        self._pool = pool

    @classmethod
    async def connect(cls, options: PostgresOptions) -> "Postgres":
        """Opens both pools, each with one connection, so that a wrong URL or password shows at once.

        Raises:
            ValueError: The URL is not one of a PostgreSQL database.
            StoreUnavailable: The database cannot be reached.
            asyncpg.PostgresError: The database refuses user, password or database name.
        """
        postgres = cls(options, _transaction_engine(options), _read_pool(options))
        try:
            async with asyncio.TaskGroup() as opening:
                opening.create_task(postgres._open_reads())
                opening.create_task(postgres._open_transactions())
        except* Exception as errors:  # noqa: BLE001  only taken out of its group, and raised
            await postgres.close()
            raise errors.exceptions[0] from None
        return postgres

    async def _open_reads(self) -> None:
        try:
            await self._pool
            async with self._pool.acquire():
                """Connected: that was the question."""
        except _UNREACHABLE as error:
            raise StoreUnavailable from error

    async def _open_transactions(self) -> None:
        async with self.transaction():
            """Connected: that was the question."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Gives one transaction: committed when the block ends, rolled back when it raises.

        Raises:
            StoreUnavailable: The database is away, or all connections stayed busy.
        """
        connection = self._engine.connect()
        try:
            await connection.start()
        except (*_UNREACHABLE, DBAPIError) as error:
            raise _store_error(error) from error
        try:
            async with connection.begin():
                yield Transaction(connection)
        except (*_LOST, DBAPIError) as error:
            translated = _store_error(error)
            if isinstance(translated, StoreUnavailable):
                await connection.invalidate()
            raise translated from error
        finally:
            await connection.close()

    def read(self) -> _Reading:
        """Gives a connection of the hot pool for one `async with` block.

        Raises:
            StoreUnavailable: The database is away.
        """
        return _Reading(self._pool)

    async def dedicated(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Opens a connection outside both pools, for LISTEN and advisory locks; the caller closes it.

        Raises:
            StoreUnavailable: The database is away.
        """
        try:
            return await asyncpg.connect(
                parse_url(self._options.url),
                timeout=self._options.connect_timeout_seconds,
                server_settings={"application_name": "svoykrug-dedicated", "timezone": "UTC"},
            )
        except _UNREACHABLE as error:
            raise StoreUnavailable from error

    async def close(self) -> None:
        """Closes every connection; open transactions are rolled back."""
        self._pool.terminate()
        await self._engine.dispose()


def driver_error(error: BaseException) -> BaseException | None:
    """Returns asyncpg's error below one of SQLAlchemy's, for instance to ask which constraint refused.

    Args:
        error: What `Transaction.execute` raised.
    """
    original = getattr(error, "orig", None)
    return getattr(original, "__cause__", None)


def parse_url(url: str) -> str:
    """Returns the URL in the form asyncpg takes.

    Raises:
        ValueError: It is not the URL of a PostgreSQL database. The message does not repeat it: it holds a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ValueError("the database URL is not of the form postgresql://user:password@host:port/database") from error
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ValueError("the database URL does not begin with postgresql://")
    return parsed.set(drivername="postgresql").render_as_string(hide_password=False)


def sqlalchemy_url(url: str) -> URL:
    """Returns the URL in the form SQLAlchemy takes.

    Raises:
        ValueError: It is not the URL of a PostgreSQL database.
    """
    return make_url(parse_url(url)).set(drivername="postgresql+asyncpg")


def _is_closed(connection: Any) -> bool:
    """Tells whether a connection of the hot pool has ended; the pool takes such a one back at once."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


def _store_error(error: BaseException) -> BaseException:
    """Returns StoreUnavailable when the error says that the database is away, else the error itself."""
    if isinstance(error, DBAPIError) and not error.connection_invalidated:
        cause = driver_error(error)
        if isinstance(cause, asyncpg.QueryCanceledError):
            return DomainError("DEADLINE_EXCEEDED")
        return StoreUnavailable() if isinstance(cause, _LOST) else error
    return StoreUnavailable()


def _session(options: PostgresOptions, name: str) -> dict[str, str]:
    timeout_ms = str(int(options.statement_timeout_seconds * 1000))
    return {
        "application_name": name,
        "timezone": "UTC",
        "statement_timeout": timeout_ms,
        "idle_in_transaction_session_timeout": timeout_ms,
        "jit": "off",
    }


def _transaction_engine(options: PostgresOptions) -> AsyncEngine:
    engine = create_async_engine(
        sqlalchemy_url(options.url),
        pool_size=options.transaction_connections,
        max_overflow=0,
        hide_parameters=True,
        pool_timeout=options.connect_timeout_seconds,
        connect_args={
            "timeout": options.connect_timeout_seconds,
            "server_settings": _session(options, "svoykrug-transaction"),
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_dead_connection)
    return engine


def _refuse_dead_connection(connection: Any, _record: object, _proxy: object) -> None:
    """Makes SQLAlchemy's pool start afresh when the connection it would hand out has died; costs no round trip."""
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


def _read_pool(options: PostgresOptions) -> "asyncpg.Pool[asyncpg.Record]":
    return asyncpg.create_pool(
        parse_url(options.url),
        min_size=0,
        max_size=options.read_connections,
        init=_read_json,
        reset=_keep_session,
        max_inactive_connection_lifetime=0,
        max_cached_statement_lifetime=0,
        timeout=options.connect_timeout_seconds,
        server_settings={**_session(options, "svoykrug-read"), "default_transaction_read_only": "on"},
    )


async def _read_json(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Makes the hot pool answer jsonb as Python values, as SQLAlchemy does."""
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


async def _keep_session(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Does nothing when a connection returns to the hot pool: nobody may change its session, so nothing is undone."""
