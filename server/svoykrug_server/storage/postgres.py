"""The one module that owns connections to PostgreSQL.

Two pools over one database:

- `Postgres.transaction()` gives a `Transaction`: one BEGIN..COMMIT, for every write. It executes SQLAlchemy's
  statements, and hot ones by asyncpg itself. One that others must begin and end within has a connection of its own:
  `Postgres.long_transaction()`.
- `Postgres.read()` gives a `ReadConnection`: an asyncpg connection of the hot pool. It is read-only and autocommits,
  keeps its prepared statements, and is *not* reset between callers: no SET, LISTEN, advisory lock or explicit
  transaction on it.

A query ends with the asyncio task that awaits it: cancelling the task (deadline passed, caller gone) cancels the
statement in the database. A lost database becomes `StoreUnavailable`; both pools reconnect with the next call.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from weakref import WeakSet

import asyncpg
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.storage.hot_pool import UNREACHABLE, HotPool
from svoykrug_server.storage.hot_reads import ReadConnection, Reading, read_pool
from svoykrug_server.storage.transactions import Parameters, Transacting, Transaction, TransactionPool, driver_error

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
        self._transactions = TransactionPool(engine, options.transaction_connections, options.connect_timeout_seconds)

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
        async with self.transaction():
            """Connected: that was the question."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Gives one transaction: committed when the block ends, rolled back when it raises.

        Raises:
            StoreUnavailable: The database is away, or all connections stayed busy.
        """
        return Transacting(self._transactions)

    @asynccontextmanager
    async def long_transaction(self) -> AsyncIterator[Transaction]:
        """Gives one transaction on a connection of its own, outside both pools.

        For work that needs other transactions before this one ends: were it to hold a connection of the pool meanwhile,
        some of its kind would take all of them and wait for one another.

        Raises:
            StoreUnavailable: The database is away.
        """
        alone = TransactionPool(self._engine, 1, self._options.connect_timeout_seconds)
        try:
            async with Transacting(alone) as transaction:
                yield transaction
        finally:
            alone.hot.close()

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
        self._transactions.hot.close()
        for connection in list(self._opened):
            connection.terminate()
        await self._engine.dispose()


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
    return open_engine(
        options.url,
        opened=opened,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        connect={
            "timeout": options.connect_timeout_seconds,
            "max_cached_statement_lifetime": 0,
            "server_settings": _session(options, "svoykrug-transaction"),
        },
    )


def _open_pool(options: PostgresOptions) -> HotPool:
    return read_pool(
        parse_url(options.url),
        options.read_connections,
        options.connect_timeout_seconds,
        _session(options, "svoykrug-read"),
    )
