"""The one module that owns connections to PostgreSQL.

Two pools over one database:

- `Postgres.transaction()` gives a `Transaction`: a SQLAlchemy connection inside one BEGIN..COMMIT, for every write.
  One that others must begin and end within has a connection of its own: `Postgres.long_transaction()`.
- `Postgres.read()` gives a `ReadConnection`: an asyncpg connection of the hot pool. It is read-only and autocommits,
  keeps its prepared statements, and is *not* reset between callers: no SET, LISTEN, advisory lock or explicit
  transaction on it.

A query ends with the asyncio task that awaits it: cancelling the task (deadline passed, caller gone) cancels the
statement in the database. A lost database becomes `StoreUnavailable`; both pools reconnect with the next call.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, cast
from weakref import WeakSet

import asyncpg
from sqlalchemy import CursorResult, Executable, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from svoykrug_server.kit.errors import DomainError, StoreUnavailable
from svoykrug_server.storage.hot_pool import LOST, UNREACHABLE, HotPool
from svoykrug_server.storage.hot_reads import ReadConnection, Reading, read_pool

__all__ = [
    "Parameters",
    "Postgres",
    "PostgresOptions",
    "ReadConnection",
    "Transaction",
    "UndefinedTable",
    "driver_error",
    "open_engine",
    "parse_url",
]

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Values bound to one statement, or to each of many executions of it."""

_Opened = WeakSet["asyncpg.Connection[asyncpg.Record]"]
NOTHING: Mapping[str, Any] = MappingProxyType({})
HIGHEST_PORT = 65_535
UndefinedTable = asyncpg.UndefinedTableError
"""What a read raises when a table does not exist (yet)."""


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

    __slots__ = ("_connection", "_driver")

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._driver: asyncpg.Connection[asyncpg.Record] | None = None

    async def execute(self, statement: Executable, parameters: Parameters | None = None) -> CursorResult[Any]:
        """Executes one statement, once or for each of a list of parameters, and returns its buffered result."""
        return await self._connection.execute(statement, parameters)

    async def driver(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Returns the asyncpg connection below, for COPY; it is inside the same transaction."""
        raw = await self._connection.get_raw_connection()
        self._driver = cast("asyncpg.Connection[asyncpg.Record]", raw.driver_connection)
        return self._driver

    async def give_up(self) -> None:
        """Ends a cancelled transaction that may have copied, by ending its connection.

        A COPY that is cancelled at the moment it ends leaves asyncpg waiting for ever for the end of its cancellation,
        and the rollback behind it.
        """
        if self._driver is not None:
            self._driver.terminate()
            await self._connection.invalidate()


class Postgres:
    """The system of record. Made by `Postgres.connect`, ended by `close`."""

    def __init__(
        self,
        options: PostgresOptions,
        engine: AsyncEngine,
        opened: "_Opened",
        pool: HotPool,
    ) -> None:
        self.url = options.url
        """Where the database is; holds the password."""
        self._options = options
        self._engine = engine
        self._opened = opened
        self._pool = pool

    @classmethod
    async def connect(cls, options: PostgresOptions) -> "Postgres":
        """Opens both pools, each with one connection, so that a wrong URL or password shows at once.

        Raises:
            ValueError: The URL is not one of a PostgreSQL database.
            StoreUnavailable: The database cannot be reached.
            asyncpg.PostgresError: The database refuses user, password or database name.
        """
        opened: _Opened = WeakSet()
        postgres = cls(options, _transaction_engine(options, opened), opened, _open_pool(options))
        # Both come to their own end: a look-up of the host that is cancelled complains in the log of the event loop.
        tried = await asyncio.gather(postgres._open_reads(), postgres._open_transactions(), return_exceptions=True)
        for error in filter(None, tried):
            await postgres.close()
            raise error
        return postgres

    async def _open_reads(self) -> None:
        async with self.read():
            """Connected: that was the question."""

    async def _open_transactions(self) -> None:
        try:
            async with self.transaction():
                """Connected: that was the question."""
        except DBAPIError as error:
            raise driver_error(error) or error from error

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Gives one transaction: committed when the block ends, rolled back when it raises.

        Raises:
            StoreUnavailable: The database is away, or all connections stayed busy.
        """
        return _transaction_of(self._engine)

    @asynccontextmanager
    async def long_transaction(self) -> AsyncIterator[Transaction]:
        """Gives one transaction on a connection of its own, outside both pools.

        For work that needs other transactions before this one ends: were it to hold a connection of the pool meanwhile,
        some of its kind would take all of them and wait for one another.

        Raises:
            StoreUnavailable: The database is away.
        """
        engine = _transaction_engine(replace(self._options, transaction_connections=1), self._opened)
        try:
            async with _transaction_of(engine) as transaction:
                yield transaction
        finally:
            await engine.dispose()

    def read(self) -> Reading:
        """Gives a connection of the hot pool for one `async with` block.

        Raises:
            StoreUnavailable: The database is away.
        """
        return Reading(self._pool)

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
        except UNREACHABLE as error:
            raise StoreUnavailable from error

    async def close(self) -> None:
        """Closes every connection; open transactions are rolled back. A database that hangs does not hold it up."""
        self._pool.close()
        for connection in list(self._opened):
            connection.terminate()
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
    if parsed.port is not None and not 0 < parsed.port <= HIGHEST_PORT:
        raise ValueError(f"the database URL names a port that is not between 1 and {HIGHEST_PORT}")
    return parsed.set(drivername="postgresql").render_as_string(hide_password=False)


def open_engine(
    url: str, *, connect: Mapping[str, Any] = NOTHING, opened: _Opened | None = None, **options: Any
) -> AsyncEngine:
    """Returns a SQLAlchemy engine whose connections asyncpg opens from the URL as it stands.

    So everything in it, `?sslmode=require` for instance, means the same here and in the hot pool.

    Args:
        url: `postgresql://user:password@host:port/database`.
        connect: What else `asyncpg.connect` is given.
        opened: Is told of every connection, so that whoever closes can end them without the database's help.
        options: What `create_async_engine` is given.

    Raises:
        ValueError: It is not the URL of a PostgreSQL database.
    """
    given = parse_url(url)

    async def connecting() -> "asyncpg.Connection[asyncpg.Record]":
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(given, **connect)
        if opened is not None:
            opened.add(connection)
        return connection

    return create_async_engine("postgresql+asyncpg://", async_creator=connecting, **options)


@asynccontextmanager
async def _transaction_of(engine: AsyncEngine) -> AsyncIterator[Transaction]:
    connection = engine.connect()
    try:
        await connection.start()
    except (*UNREACHABLE, DBAPIError) as error:
        raise _store_error(error) from error
    try:
        async with connection.begin():
            transaction = Transaction(connection)
            try:
                yield transaction
            except asyncio.CancelledError:
                await transaction.give_up()
                raise
    except (*LOST, DBAPIError) as error:
        translated = _store_error(error)
        if isinstance(translated, StoreUnavailable):
            await connection.invalidate()
        raise translated from error
    finally:
        await connection.close()


def _store_error(error: BaseException) -> BaseException:
    """Returns StoreUnavailable when the error says that the database is away, else the error itself."""
    if isinstance(error, DBAPIError) and not error.connection_invalidated:
        cause = driver_error(error)
        if isinstance(cause, asyncpg.QueryCanceledError):
            return DomainError("DEADLINE_EXCEEDED")
        return StoreUnavailable() if isinstance(cause, LOST) else error
    return StoreUnavailable()


def _session(options: PostgresOptions, name: str) -> dict[str, str]:
    timeout_ms = str(int(options.statement_timeout_seconds * 1000))
    return {
        "application_name": name,
        "timezone": "UTC",
        "statement_timeout": timeout_ms,
        "idle_in_transaction_session_timeout": timeout_ms,
        "client_connection_check_interval": "2s",
        "jit": "off",
    }


def _transaction_engine(options: PostgresOptions, opened: _Opened) -> AsyncEngine:
    engine = open_engine(
        options.url,
        opened=opened,
        pool_size=options.transaction_connections,
        max_overflow=0,
        hide_parameters=True,
        pool_timeout=options.connect_timeout_seconds,
        connect={
            "timeout": options.connect_timeout_seconds,
            "server_settings": _session(options, "svoykrug-transaction"),
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_dead_connection)
    return engine


def _open_pool(options: PostgresOptions) -> HotPool:
    return read_pool(
        parse_url(options.url),
        options.read_connections,
        options.connect_timeout_seconds,
        _session(options, "svoykrug-read"),
    )


def _refuse_dead_connection(connection: Any, _record: object, _proxy: object) -> None:
    """Makes SQLAlchemy's pool start afresh when the connection it would hand out has died; costs no round trip."""
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError
