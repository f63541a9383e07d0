"""Transactions: asyncpg connections that begin and commit by themselves and lend SQLAlchemy what it executes.

SQLAlchemy sees each connection in its AUTOCOMMIT mode and so sends neither BEGIN nor COMMIT: they, the loan of the
connection and the statements of `fetch`, `fetchrow` and `fetchval` cost no change of greenlets.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast

import asyncpg
from sqlalchemy import CursorResult, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from svoykrug_server.kit.errors import DomainError, StoreUnavailable
from svoykrug_server.storage.hot_pool import LOST, Connection, HotPool, Place
from svoykrug_server.storage.hot_reads import BorrowedConnection

T = TypeVar("T")
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Values bound to one statement, or to each of many executions of it."""


class Transaction(BorrowedConnection):
    """Work inside one BEGIN..COMMIT, made by `Postgres.transaction()`.

    A statement that runs often goes by `fetch`, `fetchrow` or `fetchval`, with `$1`, `$2` as in a `ReadConnection`: it
    costs the event loop less than half of what `execute` takes. Both may be mixed; all is the same transaction.
    What the database refuses is asyncpg's own error there, and SQLAlchemy's from `execute`. A parameter of type jsonb
    is its JSON text in both; what is read is Python values.

    Args:
        connection: The connection whose transaction has begun.
        executing: SQLAlchemy's view of it.
    """

    __slots__ = ("_executing", "is_lent")

    def __init__(self, connection: Connection, executing: AsyncConnection) -> None:
        super().__init__(connection)
        self._executing = executing
        self.is_lent = False
        """Whether the connection was handed out, so that nobody knows what runs on it."""

    async def execute(self, statement: Executable, parameters: Parameters | None = None) -> CursorResult[Any]:
        """Executes one statement, once or for each of a list of parameters, and returns its buffered result."""
        return await self._answer(self._executing.execute(statement, parameters))

    async def driver(self) -> Connection:
        """Returns the asyncpg connection below, for COPY; it is inside the same transaction."""
        self.is_lent = True
        return self._connection

    def end(self) -> None:
        """Ends the transaction: whoever asks after it would ask on somebody else's connection, and fails instead."""
        super().end()
        del self._executing


class TransactionPool:
    """The connections of transactions.

    Args:
        engine: Opens them; in AUTOCOMMIT mode, without a pool of its own.
        size: How many there may be.
        patience_seconds: How long a transaction waits for one.
    """

    def __init__(self, engine: AsyncEngine, size: int, patience_seconds: float) -> None:
        self._engine = engine
        self._executing: dict[Connection, AsyncConnection] = {}
        self._patience_seconds = patience_seconds
        self.hot = HotPool(self._open, size)

    async def begin(self) -> tuple[Place, Connection, AsyncConnection]:
        """Borrows a connection and begins a transaction on it.

        Raises:
            StoreUnavailable: The database is away, or all connections stayed busy.
        """
        try:
            async with asyncio.timeout(self._patience_seconds):
                place, connection = await self.hot.borrow()
        except TimeoutError as error:
            raise StoreUnavailable from error
        try:
            await connection.execute("BEGIN")
            return place, connection, self._executing[connection]
        except BaseException as error:
            connection.terminate()
            self.hot.give_back(place)
            meaning = store_error(error, connection)
            if meaning is error:
                raise
            raise meaning from error

    async def _open(self) -> Connection:
        executing = self._engine.connect()
        try:
            await executing.start()
        except DBAPIError as error:
            raise driver_error(error) or error from error
        connection = cast("Connection", (await executing.get_raw_connection()).driver_connection)
        # From here on it is this pool's alone, and nothing of SQLAlchemy's is to undo when it ends.
        await executing.run_sync(lambda sync: sync.detach())
        self._executing[connection] = executing
        connection.add_termination_listener(self._forget)
        return connection

    def _forget(self, ended: object) -> None:
        self._executing.pop(cast("Connection", ended), None)


class Transacting:
    """Gives one transaction for one `async with` block: committed when it ends, rolled back when it raises.

    Args:
        pool: The connections of transactions.
    """

    __slots__ = ("_connection", "_executing", "_place", "_pool", "_transaction")
    _connection: Connection
    _executing: AsyncConnection
    _place: Place
    _transaction: Transaction

    def __init__(self, pool: TransactionPool) -> None:
        self._pool = pool

    async def __aenter__(self) -> Transaction:
        self._place, self._connection, self._executing = await self._pool.begin()
        self._transaction = Transaction(self._connection, self._executing)
        return self._transaction

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._transaction.end()
        if error is None and not self._transaction.is_answered:
            self._pool.hot.settle(self._place, self._connection, self._roll_back)
            raise RuntimeError("a statement of the transaction was given up, so nothing of it can be committed")
        if error is None:
            # PostgreSQL answers a COMMIT behind a statement that it refused by undoing everything.
            if await self._finish(self._connection.execute("COMMIT")) != "COMMIT":
                raise RuntimeError("a statement of the transaction was refused, so nothing of it was committed")
            return
        meaning = store_error(error, self._connection)
        if isinstance(meaning, StoreUnavailable) and meaning is not error:
            self._drop()
        elif not self._transaction.is_answered:
            self._pool.hot.settle(self._place, self._connection, self._roll_back)
        elif self._transaction.is_lent and (isinstance(error, TimeoutError) or not isinstance(error, Exception)):
            # A COPY that is cancelled (a timeout does so, too) at the moment it ends leaves asyncpg waiting for ever
            # for the end of its cancellation, and the rollback behind it.
            self._drop()
        else:
            await self._finish(self._roll_back())
        if meaning is not error:
            raise meaning from error

    async def _roll_back(self) -> None:
        await self._connection.execute("ROLLBACK")
        if self._executing.invalidated:  # SQLAlchemy never again executes where a statement of it was cancelled.
            self._connection.terminate()

    async def _finish(self, ending: Coroutine[Any, Any, T]) -> T:
        try:
            answer = await ending
        except BaseException as error:
            self._drop()
            meaning = store_error(error, self._connection)
            if meaning is error:
                raise
            raise meaning from error
        self._pool.hot.give_back(self._place)
        return answer

    def _drop(self) -> None:
        self._connection.terminate()
        self._pool.hot.give_back(self._place)


def driver_error(error: BaseException) -> BaseException | None:
    """Returns asyncpg's error below one of SQLAlchemy's, for instance to ask which constraint refused.

    Args:
        error: What `Transaction.execute` raised.
    """
    original = getattr(error, "orig", None)
    return getattr(original, "__cause__", None)


def store_error(error: BaseException, connection: Connection) -> BaseException:
    """Returns what the error means to whoever asked the database: StoreUnavailable when it is away, or the error."""
    cause = driver_error(error) if isinstance(error, DBAPIError) else error
    if isinstance(cause, asyncpg.QueryCanceledError):
        return DomainError("DEADLINE_EXCEEDED")
    lost = isinstance(cause, LOST) or (isinstance(error, DBAPIError) and error.connection_invalidated)
    if lost or (isinstance(cause, asyncpg.InterfaceError) and connection.is_closed()):
        return StoreUnavailable()
    return error
