"""One attempt at a job for one period, as the job sees it: the period, and how operations are started and awaited.

An operation is started under a request id made from job, period, scope and try, so whoever takes a job over finds the
operations of the one before it: none is started twice, and one that succeeded is not done again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID, uuid5

from svoykrug_server.kit.failpoints import failpoint
from svoykrug_server.operations.model import Operation, OperationState
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.schedule.calendar import Period
from svoykrug_server.operations.schedule.model import Claim

_NAMESPACE = UUID("6c9a1f0e-52c1-4b6e-9a64-1d7a0b0f7c11")


class Started(Protocol):
    """An operation, of which only the id is of interest here."""

    @property
    def id(self) -> UUID:
        """Its id."""
        ...


Start = Callable[[UUID], Awaitable[Started]]
"""Starts an operation under a request id; the same id again returns the same operation."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an operation ended.

    Attributes:
        result: The ids of what it made; None when it failed or was cancelled.
        reason: Why it failed; empty when it did not, or somebody cancelled it.
    """

    result: Mapping[str, str] | None
    reason: str = ""


class Round:
    """One attempt at a job for one period.

    Args:
        claim: The worker's hold on it.
        period: The period.
        operations: Where operations are looked up.
        poll_seconds: How often an operation is looked at.
    """

    def __init__(self, claim: Claim, period: Period, operations: OperationsRepository, poll_seconds: float) -> None:
        self._claim = claim
        self.period = period
        self._operations = operations
        self._poll_seconds = poll_seconds

    async def complete(self, scope: UUID | None, start: Start) -> Ended:
        """Starts an operation and waits for its end; goes on with the one that an earlier attempt has started.

        Each attempt at the job starts an operation that failed once more. One that somebody cancelled stays so.

        Args:
            scope: The business; None for the circle.
            start: Starts it.
        """
        ended = Ended(None)
        for number in range(1, self._claim.attempt_count + 1):
            operation = await start(self._request_id(scope, number))
            failpoint("schedule.started")
            ended = await self._end_of(operation.id)
            if not ended.reason:
                break
        return ended

    async def _end_of(self, operation_id: UUID) -> Ended:
        while True:
            operation = await self._operations.find(operation_id)
            if operation is None:
                raise LookupError("an operation that was started is not there")
            if operation.state.is_end:
                return _ended(operation)
            await asyncio.sleep(self._poll_seconds)

    def _request_id(self, scope: UUID | None, number: int) -> UUID:
        return uuid5(_NAMESPACE, f"{self._claim.kind.value} {self._claim.period} {scope} {number}")


def _ended(operation: Operation) -> Ended:
    if operation.state is OperationState.SUCCEEDED:
        return Ended(operation.result)
    return Ended(None, "" if operation.failure is None else operation.failure.reason)
