"""A bound on those who watch, so that an open page forgotten in every tab does not keep the server busy."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from svoykrug_server.kit.errors import Limited

RETRY_AFTER = timedelta(seconds=10)


class Watchers:
    """Counts the streams in progress in this process. Lives on one event loop, so it needs no lock.

    Args:
        most: How many there may be at once.
        most_per_caller: How many one caller may have.
    """

    def __init__(self, most: int = 500, most_per_caller: int = 10) -> None:
        self._most = most
        self._most_per_caller = most_per_caller
        self._by_caller: Counter[UUID] = Counter()

    @property
    def count(self) -> int:
        """How many there are now."""
        return self._by_caller.total()

    @contextmanager
    def admit(self, caller_id: UUID) -> Iterator[None]:
        """Counts a stream for as long as the block runs.

        Raises:
            Limited: OVERLOADED, there are too many.
        """
        if self.count >= self._most or self._by_caller[caller_id] >= self._most_per_caller:
            raise Limited(retry_after=RETRY_AFTER)
        self._by_caller[caller_id] += 1
        try:
            yield
        finally:
            self._by_caller[caller_id] -= 1
            self._by_caller += Counter()
