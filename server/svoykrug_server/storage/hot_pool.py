"""Pools of connections, lent as they are: nothing is undone between two who borrow the same one.

asyncpg's own pool takes a connection back in a task of its own, for which its borrower waits, and wraps it anew for the
next: together twice as much work as looking up a row by its key (docs/performance.md).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import asyncpg
import structlog
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from svoykrug_server.kit.errors import StoreUnavailable

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

UNREACHABLE = (*LOST, OSError, PoolTimeoutError)
"""What getting a connection raises; the built-in TimeoutError is an OSError."""

CANCEL_SECONDS = 5.0
"""How long the cancellation of a statement may take before its connection is dropped."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Place:
    """Room for one connection of the pool. Whoever borrowed it has its connection for herself.

    Attributes:
        connection: Its connection; None before it is first borrowed.
    """

    __slots__ = ("connection",)

    def __init__(self) -> None:
        self.connection: Connection | None = None


class HotPool:
    """At most so many connections, each made when it is first needed, and again after it broke.

    Who came first is served first, and gets the connection that came back last. Lives on one event loop, so it needs no
    lock.

    Args:
        connect: Opens a connection.
        size: How many there may be.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int) -> None:
        self._connect = connect
        self._places = [Place() for _ in range(size)]
        # Nobody waits while one is free.
        self._free = list(self._places)
        self._waiting: OrderedDict[asyncio.Future[Place], None] = OrderedDict()
        # The event loop itself would not keep them alive.
        self._settling: set[asyncio.Task[None]] = set()
        self._closed = False

    async def borrow(self) -> tuple[Place, Connection]:
        """Returns a place and its open connection, for `give_back` or `settle` afterwards.

        Raises:
            StoreUnavailable: The database is away, or the pool is closed.
        """
        place = self._free.pop() if self._free else await self._turn()
        connection = place.connection
        if connection is None or connection.is_closed():
            connection = await self._open(place)
        return place, connection

    def give_back(self, place: Place) -> None:
        """Takes a place back, and lends it to whoever waits longest. No statement runs on its connection."""
        while self._waiting:
            turn, _ = self._waiting.popitem(last=False)
            if not turn.done():
                turn.set_result(place)
                return
        self._free.append(place)

    def settle(self, place: Place, connection: Connection, asking: Callable[[], Awaitable[object]]) -> None:
        """Takes a place back as soon as no statement runs on its connection; the borrower does not wait for that.

        Args:
            place: What was borrowed.
            connection: Its connection.
            asking: Asks something of it that is answered at once, after whatever was asked before was cancelled.
        """
        task = asyncio.ensure_future(self._settle(place, connection, asking))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def close(self) -> None:
        """Ends every connection, whoever uses it, without the database's help. Who waits for one gets none."""
        self._closed = True
        for place in self._places:
            if place.connection is not None:
                place.connection.terminate()
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(Place())

    async def _turn(self) -> Place:
        turn: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        try:
            return await turn
        except asyncio.CancelledError:
            self._waiting.pop(turn, None)
            if not turn.cancelled():  # Her turn came in the same moment.
                self.give_back(turn.result())
            raise

    async def _open(self, place: Place) -> Connection:
        try:
            self._refuse_when_closed()
            place.connection = connection = await self._connect()
            self._refuse_when_closed()
        except BaseException as error:
            if place.connection is not None:
                place.connection.terminate()
            self.give_back(place)
            if isinstance(error, UNREACHABLE):
                raise StoreUnavailable from error
            raise
        return connection

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable

    async def _settle(self, place: Place, connection: Connection, asking: Callable[[], Awaitable[object]]) -> None:
        settled = False
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await asking()
            settled = True
        except (asyncpg.PostgresError, asyncpg.InterfaceError, *UNREACHABLE) as error:
            if not self._closed:
                log.warning("connection_dropped", reason=type(error).__name__)
        finally:
            if not settled:
                connection.terminate()
            self.give_back(place)
