"""Look-ups by key that come together are asked together.

A round trip to PostgreSQL changes the process that runs, there and here, however little it reads, and that costs more
than the row. So a look-up that comes while others are under way waits until one of them is back, and goes out with all
that came meanwhile (docs/decisions/gathered-reads.md). Nothing is remembered: a row is read by a statement that began
after the row was asked for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar, cast

from svoykrug_server.kit.errors import DomainError

MOST_KEYS = 100
"""How many keys one round trip asks for."""
PATIENCE_SECONDS = 0.02
"""How long a round trip may be under way before another begins beside it: its connection may be dead."""
MOST_TRIPS = 4
"""How many round trips may be under way then."""
LONGEST_SECONDS = 10.0
"""How long a round trip may take, whoever still waits for it: as long as a call without a deadline of its own."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class Gathering(Generic[Key, Value]):
    """Answers look-ups by key, some in one round trip. Lives on one event loop, so it needs no lock.

    Args:
        read: Asks for the values of some keys in one round trip; keys without a value are left out.
    """

    def __init__(self, read: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self._read = read
        self._waiting: list[tuple[Key, asyncio.Future[Value | None]]] = []
        # Makes the next round trip; those that are overdue have no successor of their own.
        self._leader: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, key: Key) -> Value | None:
        """Returns the value of a key, or None.

        Raises:
            DomainError: DEADLINE_EXCEEDED, or whatever `read` raises.
        """
        answer: asyncio.Future[Value | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, answer))
        if self._leader is None:
            self._lead()
        return await answer

    def _lead(self) -> None:
        if len(self._tasks) < MOST_TRIPS:
            # The work is everybody's; what is logged of it names the call that began it.
            self._leader = asyncio.get_running_loop().create_task(self._run())
            self._tasks.add(self._leader)

    async def _run(self) -> None:
        loop, myself = asyncio.get_running_loop(), asyncio.current_task()
        while self._waiting and self._leader is myself:
            asked, self._waiting = self._waiting[:MOST_KEYS], self._waiting[MOST_KEYS:]
            overdue = loop.call_later(PATIENCE_SECONDS, self._go_beside)
            await self._answer([(key, answer) for key, answer in asked if not answer.done()])
            overdue.cancel()
        # Not when the loop sees that this has ended: whoever asks in between would wait for nobody.
        self._tasks.discard(cast("asyncio.Task[None]", myself))
        if self._leader is myself:
            self._leader = None
        if self._leader is None and self._waiting:
            self._lead()

    def _go_beside(self) -> None:
        self._leader = None
        if self._waiting:
            self._lead()

    async def _answer(self, asked: Sequence[tuple[Key, "asyncio.Future[Value | None]"]]) -> None:
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                found = await self._read([key for key, _ in asked])
        except TimeoutError:
            _refuse(asked, DomainError("DEADLINE_EXCEEDED"))
        except Exception as error:  # noqa: BLE001 (it is raised where it is waited for)
            _refuse(asked, error)
        else:
            for key, answer in asked:
                if not answer.done():
                    answer.set_result(found.get(key))


def _refuse(asked: "Sequence[tuple[object, asyncio.Future[Value | None]]]", error: Exception) -> None:
    for _, answer in asked:
        if not answer.done():
            answer.set_exception(error)
