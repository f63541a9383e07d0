"""Queues long work of churn: idempotent by request id, and only up to what the warehouse is proven to hold."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from svoykrug_server.analytics.churn.statements import LOOK_BACK_DAYS
from svoykrug_server.analytics.ports import Operation, Operations, Watermarks
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import FailedPrecondition
from svoykrug_server.storage import idempotency
from svoykrug_server.storage.idempotency import RequestKey, hash_of
from svoykrug_server.storage.postgres import Postgres

_SERVICE = "/svoykrug.analytics.v1.AnalyticsService"


class OperationStarts:
    """Queues operations.

    Args:
        postgres: The system of record.
        operations: Starts long work.
        watermarks: How far the warehouse is.
        clock: Tells the time.
    """

    def __init__(self, postgres: Postgres, operations: Operations, watermarks: Watermarks, clock: Clock) -> None:
        self._postgres = postgres
        self._operations = operations
        self._watermarks = watermarks
        self._clock = clock

    async def start(
        self,
        caller: Caller,
        method: str,
        request_id: UUID,
        kind: str,
        asked: dict[str, Any],
        fixed: dict[str, Any],
    ) -> Operation:
        """Queues an operation; the same request id again returns the operation of the first time.

        Args:
            caller: Who asks.
            method: The method that was called, such as `TrainChurnModel`.
            request_id: Makes the call repeatable.
            kind: Which work function runs it.
            asked: What the caller asked for: JSON values. Another body under the same request id is refused.
            fixed: What is settled now, so that every attempt does the same: JSON values.

        Raises:
            InvalidFields: REQUEST_ID_REUSED.
        """
        key = RequestKey(str(caller.subject_id), f"{_SERVICE}/{method}", request_id, hash_of(asked))
        async with self._postgres.transaction() as tx:
            first_answer = await idempotency.claim(tx, key, self._clock.now())
            if first_answer is not None:
                return await self._operations.find(tx, UUID(first_answer["operation_id"]))
            operation = await self._operations.start(tx, kind, asked | fixed, caller.subject_id)
            await idempotency.remember(tx, key, {"operation_id": str(operation.id)})
        return operation

    async def watermark(self) -> datetime:
        """Returns up to when everything is known.

        Raises:
            FailedPrecondition: CUTOFF_AHEAD_OF_WATERMARK, nothing has been proven yet.
        """
        watermark = await self._watermarks.watermark()
        if watermark is None:
            raise FailedPrecondition("CUTOFF_AHEAD_OF_WATERMARK")
        return watermark


def look_back_start(cutoff: datetime) -> datetime:
    """Returns an instant from which on everything is needed to describe members at a cutoff: no later day is."""
    return cutoff - timedelta(days=LOOK_BACK_DAYS + 1)


def refuse_ahead(needed: datetime, watermark: datetime) -> None:
    """Refuses what needs more than is known.

    Raises:
        FailedPrecondition: CUTOFF_AHEAD_OF_WATERMARK.
    """
    if needed > watermark:
        raise FailedPrecondition("CUTOFF_AHEAD_OF_WATERMARK", metadata={"watermark": watermark.isoformat()})
