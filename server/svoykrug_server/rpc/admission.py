"""Step: a bound on the calls in progress, so that an overloaded server refuses quickly instead of failing slowly."""

import random
from collections.abc import Hashable
from datetime import timedelta

from svoykrug_server.kit.errors import Limited


class Admission:
    """Counts the calls in progress in this process. Lives on one event loop, so it needs no lock.

    Args:
        limit: The most calls in progress at once.
        limit_per_caller: The most calls of one caller, or of one address when the method is public.
    """

    __slots__ = ("_by_caller", "_count", "_limit", "_limit_per_caller")

    def __init__(self, limit: int, limit_per_caller: int) -> None:
        self._limit = limit
        self._limit_per_caller = limit_per_caller
        self._count = 0
        self._by_caller: dict[Hashable, int] = {}

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

    def enter_caller(self, caller: Hashable) -> None:
        """Admits one more call of one caller; `leave_caller` follows.

        Raises:
            Limited: OVERLOADED; nothing was counted.
        """
        count = self._by_caller.get(caller, 0)
        if count >= self._limit_per_caller:
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
