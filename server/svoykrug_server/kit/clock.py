"""Where the time comes from, so that a test can say what time it is."""

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Returns the present instant, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Returns the present instant, aware, in UTC."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that moves only when told to, for tests.

    Args:
        start: The first instant it tells; aware.
    """

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """Returns the instant it was last set to, aware, in UTC."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Moves on by a span of time."""
        self._now += by

    def set(self, instant: datetime) -> None:
        """Jumps to an instant; aware."""
        self._now = instant.astimezone(UTC)
