"""Step: bounds on the calls in progress and on how often one caller calls, so that an overloaded server refuses."""

import math
import random
from collections.abc import Hashable
from datetime import timedelta

from svoykrug_server.kit.errors import Limited
from svoykrug_server.rpc.turns import Turns

BURST_SECONDS = 2.0
"""A caller who was silent for so long may make the calls of all that time at once."""


class Admission:
    """Bounds the calls of this process. Lives on one event loop, so it needs no lock.

    Args:
        limit: The most calls in progress at once.
        limit_per_caller: The most of them of one caller, or of one address when the method is public.
        rate_per_caller: How many calls one of these may begin in a second, in the long run.
    """

    __slots__ = ("_by_caller", "_count", "_limit", "_limit_per_caller", "_turns")

    def __init__(self, limit: int, limit_per_caller: int, rate_per_caller: float = math.inf) -> None:
        self._limit = limit
        self._limit_per_caller = limit_per_caller
        self._count = 0
        self._by_caller: dict[Hashable, int] = {}
        self._turns = Turns(rate_per_caller, BURST_SECONDS)

    @property
    def in_progress(self) -> int:
        """The calls in progress now."""
        return self._count

    def enter(self) -> None:
        """Admits one more call; `leave` follows.

        Raises:
            Limited: OVERLOADED; nothing was counted.
        """
        if self._count >= self._limit:
            raise overloaded()
        self._count += 1

    def leave(self) -> None:
        """Forgets a call that `enter` admitted."""
        self._count -= 1

    def enter_caller(self, caller: Hashable, now: float, turns: int = 1) -> None:
        """Admits one more call of one caller; `leave_caller` follows.

        Args:
            caller: Who calls.
            now: Seconds of a clock that only goes forward.
            turns: How many calls it counts as.

        Raises:
            Limited: OVERLOADED; nothing was counted.
        """
        count = self._by_caller.get(caller, 0)
        if count >= self._limit_per_caller or self._turns.take(caller, now, turns) > BURST_SECONDS:
            raise overloaded()
        self._by_caller[caller] = count + 1

    def leave_caller(self, caller: Hashable) -> None:
        """Forgets a call that `enter_caller` admitted."""
        count = self._by_caller[caller]
        if count == 1:
            del self._by_caller[caller]
        else:
            self._by_caller[caller] = count - 1


def overloaded() -> Limited:
    """Returns the refusal, with a wait that is spread so that the refused do not come back all at once."""
    return Limited("OVERLOADED", retry_after=timedelta(seconds=random.uniform(0.5, 1.5)))  # noqa: S311 (no secret)
