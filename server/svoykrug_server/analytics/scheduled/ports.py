"""What the jobs of analytics need of the schedule, wired in `app.py`."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from svoykrug_server.analytics.ports import Operation


class Period(Protocol):
    """The day, week or month for which a job is done."""

    @property
    def begin_time(self) -> datetime:
        """Its first instant."""
        ...


class Ended(Protocol):
    """How an operation ended."""

    @property
    def result(self) -> Mapping[str, str] | None:
        """The ids of what it made; None when it failed or was cancelled."""
        ...

    @property
    def reason(self) -> str:
        """Why it failed; empty when it did not, or somebody cancelled it."""
        ...


class Round(Protocol):
    """One attempt at a job for one period."""

    @property
    def period(self) -> Period:
        """The period."""
        ...

    async def complete(self, scope: UUID | None, start: Callable[[UUID], Awaitable[Operation]]) -> Ended:
        """Starts an operation, or goes on with the one that an earlier attempt has started, and waits for its end.

        Args:
            scope: The business; None for the circle.
            start: Starts it under a request id; the same id again returns the same operation.
        """
        ...
