"""Hot reads: asyncpg connections that keep their prepared statements and are never reset between callers."""

import json
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError

from svoykrug_server.kit.errors import DomainError, StoreUnavailable
from svoykrug_server.storage.hot_pool import LOST, Connection, HotPool, Place

T = TypeVar("T")


class BorrowedConnection:
    """Asks on a connection of a pool by asyncpg alone; placeholders are `$1`, `$2`, ...

    Args:
        connection: A connection borrowed from the pool.
    """

    __slots__ = ("_connection", "is_answered")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.is_answered = True
        """Whether whatever was asked was answered: no statement runs."""

    def fetch(self, query: str, *parameters: object) -> "Coroutine[Any, Any, list[asyncpg.Record]]":
        """Returns all rows."""
        return self._answer(self._connection.fetch(query, *parameters))

    def fetchrow(self, query: str, *parameters: object) -> "Coroutine[Any, Any, asyncpg.Record | None]":
        """Returns the first row, or None."""
        return self._answer(self._connection.fetchrow(query, *parameters))

    def fetchval(self, query: str, *parameters: object) -> Coroutine[Any, Any, Any]:
        """Returns the first column of the first row, or None."""
        return self._answer(self._connection.fetchval(query, *parameters))

    def end(self) -> None:
        """Ends the loan: whoever asks after it would ask on somebody else's connection, and fails instead."""
        del self._connection

    async def _answer(self, asked: Coroutine[Any, Any, T]) -> T:
        self.is_answered = False
        try:
            answer = await asked
        except (asyncpg.PostgresError, DBAPIError):
            self.is_answered = True
            raise
        self.is_answered = True
        return answer


class ReadConnection(BorrowedConnection):
    """Reads of committed rows on the hot pool."""

    __slots__ = ()


class Reading:
    """Borrows a connection of the hot pool for one `async with` block.

    Args:
        pool: The hot pool.
    """

    __slots__ = ("_borrowed", "_connection", "_place", "_pool")
    _place: Place
    _connection: Connection
    _borrowed: ReadConnection

    def __init__(self, pool: HotPool) -> None:
        self._pool = pool

    async def __aenter__(self) -> ReadConnection:
        self._place, self._connection = await self._pool.borrow()
        self._borrowed = ReadConnection(self._connection)
        return self._borrowed

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        borrowed = self._borrowed
        borrowed.end()
        if error is None and borrowed.is_answered:
            self._pool.give_back(self._place)
            return
        connection = self._connection
        lost = isinstance(error, LOST) or (isinstance(error, asyncpg.InterfaceError) and connection.is_closed())
        if lost:
            connection.terminate()
        if lost or borrowed.is_answered:
            self._pool.give_back(self._place)
        else:
            self._pool.settle(self._place, connection, lambda: connection.fetchval("SELECT 1"))
        if lost:
            raise StoreUnavailable from error
        if isinstance(error, asyncpg.QueryCanceledError):
            raise DomainError("DEADLINE_EXCEEDED") from error


def read_pool(url: str, most_connections: int, connect_timeout_seconds: float, session: dict[str, str]) -> HotPool:
    """Returns the hot pool, not yet connected.

    Args:
        url: Where the database is, in the form asyncpg takes.
        most_connections: Its size.
        connect_timeout_seconds: How long one attempt to connect may take.
        session: The server's settings for each connection.
    """
    settings = {**session, "default_transaction_read_only": "on"}

    async def connect() -> Connection:
        connection: Connection = await asyncpg.connect(
            url, timeout=connect_timeout_seconds, max_cached_statement_lifetime=0, server_settings=settings
        )
        try:
            # jsonb as Python values, as SQLAlchemy answers it.
            await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        except BaseException:
            connection.terminate()
            raise
        return connection

    return HotPool(connect, most_connections)
