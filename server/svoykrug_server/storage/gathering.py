"""Look-ups by key, of which many at a time share a round trip.

A round trip to PostgreSQL changes the process that runs, there and here, however little it reads, and that costs more
than the row. So when many look-ups are in progress, those that come while a shared round trip is under way wait until
it is back, and go out together; a few go out alone (docs/decisions/gathered-reads.md). Nothing is remembered: a row is
read by a statement that began after the row was asked for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from svoykrug_server.kit.errors import DomainError

FEW = 4
"""How many look-ups may be in progress without sharing: so few cost less alone."""
MOST_KEYS = 100
"""How many keys one round trip asks for."""
PATIENCE_SECONDS = 0.02
"""How long a shared round trip may be under way before another begins beside it: its connection may be dead."""
MOST_TRIPS = 4
"""How many round trips may be under way then."""
LONGEST_SECONDS = 10.0
"""How long a shared round trip may take, whoever still waits for it: as long as a call that names no deadline."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class Gathering(Generic[Key, Value]):
    """Answers look-ups by key, some in one round trip. Lives on one event loop, so it needs no lock.

    Args:
        read_one: Asks for the value of one key, or None.
        read_each: Asks for the values of some keys in one round trip; keys without a value are left out.
    """

    def __init__(
        self,
        read_one: Callable[[Key], Awaitable[Value | None]],
        read_each: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]],
    ) -> None:
        self._read_one = read_one
        self._read_each = read_each
        self._in_progress = 0
        self._waiting: list[tuple[Key, asyncio.Future[Value | None]]] = []
        # Round trips that are shared, and the patience with the one that those who wait now wait for.
        self._trips = 0
        self._patience: asyncio.TimerHandle | None = None
        # The event loop itself would not keep them alive.
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, key: Key) -> Value | None:
        """Returns the value of a key, or None. Who goes alone has a statement that ends with her call.

        Raises:
            DomainError: DEADLINE_EXCEEDED, or whatever `read_one` or `read_each` raises.
        """
        self._in_progress += 1
        try:
            if self._in_progress <= FEW:
                return await self._read_one(key)
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[Value | None] = loop.create_future()
            self._waiting.append((key, answer))
            self._send(loop)
            return await answer
        finally:
            self._in_progress -= 1

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sends those who wait, unless they shall wait for others to come back.

        In a task, as the work is everybody's; what is logged of it names the call that began it.
        """
        if not self._waiting or self._patience is not None or self._trips == MOST_TRIPS:
            return
        asked, self._waiting = self._waiting[:MOST_KEYS], self._waiting[MOST_KEYS:]
        self._trips += 1
        patience = self._patience = loop.call_later(PATIENCE_SECONDS, self._go_beside, loop)
        task = loop.create_task(self._answer(asked, patience, loop))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _go_beside(self, loop: asyncio.AbstractEventLoop) -> None:
        self._patience = None
        self._send(loop)

    async def _answer(
        self,
        asked: "Sequence[tuple[Key, asyncio.Future[Value | None]]]",
        patience: asyncio.TimerHandle,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        still = [(key, answer) for key, answer in asked if not answer.done()]
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                found = await self._read_each([key for key, _ in still]) if still else {}
        except TimeoutError:
            _refuse(still, DomainError("DEADLINE_EXCEEDED"))
        except Exception as error:  # noqa: BLE001 (it is raised where it is waited for)
            _refuse(still, error)
        else:
            for key, answer in still:
                if not answer.done():
                    answer.set_result(found.get(key))
        finally:
            patience.cancel()
            self._trips -= 1
            if self._patience is patience:
                self._patience = None
            self._send(loop)


def _refuse(asked: "Sequence[tuple[object, asyncio.Future[Value | None]]]", error: Exception) -> None:
    for _, answer in asked:
        if not answer.done():
            answer.set_exception(error)
