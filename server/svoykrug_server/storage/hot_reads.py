"""The hot pool: asyncpg connections for reads, each keeping its prepared statements and never reset between callers."""

import asyncio
import json
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

import asyncpg
import structlog
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from svoykrug_server.kit.errors import DomainError, StoreUnavailable

log = structlog.get_logger(__name__)

LOST = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InternalClientError,
)
"""What asyncpg raises when the database went away, is stopping, starting, or out of disk, memory or connections.

InternalClientError is what a statement meets on a connection whose last word was the server's good-bye, not yet read.
"""

CANCEL_SECONDS = 5.0
"""How long the cancellation of a statement may take before its connection is dropped."""

UNREACHABLE = (*LOST, OSError, PoolTimeoutError)
"""What getting a connection raises; the built-in TimeoutError is an OSError."""


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


class Reading:
    """Borrows a connection of the hot pool for one `async with` block."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def __aenter__(self) -> ReadConnection:
        try:
            self._connection = await self._pool.acquire()
        except UNREACHABLE as error:
            raise StoreUnavailable from error
        return ReadConnection(self._connection)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        closed = error is not None and _is_closed(self._connection)
        lost = isinstance(error, LOST) or (isinstance(error, asyncpg.InterfaceError) and closed)
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


def read_pool(
    url: str, most_connections: int, connect_timeout_seconds: float, session: dict[str, str]
) -> "asyncpg.Pool[asyncpg.Record]":
    """Returns the hot pool, not yet connected.

    Args:
        url: Where the database is, in the form asyncpg takes.
        most_connections: Its size.
        connect_timeout_seconds: How long one attempt to connect may take.
        session: The server's settings for each connection.
    """
    return asyncpg.create_pool(
        url,
        min_size=0,
        max_size=most_connections,
        init=_read_json,
        reset=_keep_session,
        max_inactive_connection_lifetime=0,
        max_cached_statement_lifetime=0,
        timeout=connect_timeout_seconds,
        server_settings={**session, "default_transaction_read_only": "on"},
    )


def _is_closed(connection: Any) -> bool:
    """Tells whether a connection of the hot pool has ended; the pool takes such a one back at once."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


async def _read_json(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Makes the hot pool answer jsonb as Python values, as SQLAlchemy does."""
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


async def _keep_session(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Does nothing when a connection returns to the hot pool: nobody may change its session, so nothing is undone."""
