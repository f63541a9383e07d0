"""Refusals that leave slowly: who calls again at once, whatever she is told, calls only as often as she is refused."""

import asyncio
from asyncio import Future
from collections.abc import Hashable

from svoykrug_server.rpc.turns import Turns

A_SECOND = 100
"""How many refusals of one caller leave in a second."""
MOST_SECONDS = 10.0
"""How long a refusal waits for its turn at most."""
MOST_WAITING, MOST_BYTES = 5_000, 64 * 1024 * 1024
"""How many refusals may wait, and how large their requests may be in all; what comes beyond leaves at once."""
SHARE_OF_DEADLINE = 0.9
"""A refusal leaves before the call's deadline passes, so that its caller is told when to call again."""


class Refusals:
    """Lets the refusals of each caller leave one after another. Lives on one event loop."""

    __slots__ = ("_bytes", "_released", "_turns", "_waiting")

    def __init__(self) -> None:
        self._turns = Turns(A_SECOND, MOST_SECONDS)
        self._waiting: set[Future[None]] = set()
        self._bytes = 0
        self._released = False

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    async def wait(self, caller: Hashable, now: float, remaining_seconds: float | None, size: int) -> None:
        """Waits until a refusal may leave: not at all where the caller has none before it.

        Args:
            caller: Who is refused.
            now: Seconds of a clock that only goes forward.
            remaining_seconds: The time until the call's deadline; None where it has none.
            size: The bytes of the request, which are kept meanwhile.
        """
        seconds = self.seconds_until_turn(caller, now, remaining_seconds)
        if seconds <= 0 or self._released or len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_BYTES:
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        timer = loop.call_later(seconds, _let_go, turn)
        self._waiting.add(turn)
        self._bytes += size
        try:
            await turn
        finally:
            timer.cancel()
            self._waiting.discard(turn)
            self._bytes -= size

    def seconds_until_turn(self, caller: Hashable, now: float, remaining_seconds: float | None) -> float:
        """Gives a refusal its turn, and returns when it comes; where there is a deadline, before that."""
        seconds = min(self._turns.take(caller, now), MOST_SECONDS)
        return seconds if remaining_seconds is None else min(seconds, remaining_seconds * SHARE_OF_DEADLINE)

    def release(self) -> None:
        """Lets all of them leave at once, and later ones too: the server stops."""
        self._released = True
        for turn in self._waiting:
            _let_go(turn)


def _let_go(turn: "Future[None]") -> None:
    if not turn.done():
        turn.set_result(None)
