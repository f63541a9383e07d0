"""All SQL of operations.

Leases and due times are told by the database's clock, which all workers share; the times that people see come from the
server's.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, case, func, insert, or_, select, update

from svoykrug_server.operations.model import (
    Lease,
    Operation,
    OperationFailure,
    OperationKind,
    OperationState,
    Standing,
)
from svoykrug_server.storage.postgres import Postgres, Transaction
from svoykrug_server.storage.schema.base import INSTANT
from svoykrug_server.storage.schema.operations import operations

_UNFINISHED = (OperationState.QUEUED.value, OperationState.RUNNING.value)
_RUNNING = OperationState.RUNNING.value


class OperationsRepository:
    """Operations in PostgreSQL.

    Args:
        postgres: The system of record.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def add(
        self,
        tx: Transaction,
        operation_id: UUID,
        kind: str,
        parameters: Mapping[str, Any],
        starter_id: UUID,
        now: datetime,
    ) -> Operation:
        """Queues an operation, in the transaction of whatever it belongs to."""
        # Queue one piece of work that may be taken at once.
        added = await tx.execute(
            insert(operations)
            .values(
                id=operation_id,
                kind=OperationKind(kind).value,
                parameters=dict(parameters),
                starter_id=starter_id,
                due_time=_clock_timestamp(),
                create_time=now,
            )
            .returning(operations)
        )
        return _operation(added.mappings().one())

    async def find_in(self, tx: Transaction, operation_id: UUID) -> Operation | None:
        """Returns an operation as a transaction sees it, or None."""
        # How does this operation stand?
        found = await tx.execute(select(operations).where(operations.c.id == operation_id))
        row = found.mappings().one_or_none()
        return None if row is None else _operation(row)

    async def find(self, operation_id: UUID) -> Operation | None:
        """Returns an operation, or None."""
        async with self._postgres.read() as connection:
            # How does this operation stand?
            row = await connection.fetchrow("SELECT * FROM operations WHERE id = $1", operation_id)
        return None if row is None else _operation(row)

    async def list_before(
        self, starter_id: UUID | None, states: Sequence[OperationState], before_id: UUID | None, limit: int
    ) -> list[Operation]:
        """Returns operations, the newest first.

        Args:
            starter_id: Only those this user or service started; None for all.
            states: Only those in one of these states; empty for all.
            before_id: Only those older than this one; None for the newest.
            limit: How many at most.
        """
        async with self._postgres.read() as connection:
            # Which operations come next in this caller's list?
            rows = await connection.fetch(
                "SELECT * FROM operations WHERE ($1::uuid IS NULL OR starter_id = $1)"
                " AND (cardinality($2::text[]) = 0 OR state = ANY ($2)) AND ($3::uuid IS NULL OR id < $3)"
                " ORDER BY id DESC LIMIT $4",
                starter_id,
                [state.value for state in states],
                before_id,
                limit,
            )
        return [_operation(row) for row in rows]

    async def request_cancel(self, tx: Transaction, operation_id: UUID, now: datetime) -> Operation | None:
        """Cancels a queued operation, asks a running one to stop; returns None where none is unfinished."""
        is_queued = operations.c.state == OperationState.QUEUED.value
        # Cancel what nobody works at; ask whoever works at it to stop.
        changed = await tx.execute(
            update(operations)
            .where(operations.c.id == operation_id, operations.c.state.in_(_UNFINISHED))
            .values(
                cancel_requested=True,
                state=case((is_queued, OperationState.CANCELLED.value), else_=operations.c.state),
                end_time=case((is_queued, now), else_=None),
                version=operations.c.version + 1,
            )
            .returning(operations)
        )
        row = changed.mappings().one_or_none()
        return None if row is None else _operation(row)

    async def has_due(self, kinds: Sequence[str]) -> bool:
        """Tells whether there is work to take: the cheap question a worker asks all the time."""
        async with self._postgres.read() as connection:
            # Is any operation waiting, or left behind by a worker that died?
            found: bool = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM operations WHERE state IN ('queued', 'running')"
                " AND due_time <= clock_timestamp() AND kind = ANY ($1)"
                " AND (state = 'queued' OR lease_expire_time < clock_timestamp()))",
                list(kinds),
            )
        return found

    async def take(self, owner_id: UUID, kinds: Sequence[str], lease: timedelta, now: datetime) -> Operation | None:
        """Takes the operation that has waited longest, or one whose worker died; of two workers only one gets it."""
        due = (
            select(operations.c.id)
            .where(
                operations.c.state.in_(_UNFINISHED),
                operations.c.due_time <= _clock_timestamp(),
                operations.c.kind.in_(kinds),
                or_(
                    operations.c.state == OperationState.QUEUED.value,
                    operations.c.lease_expire_time < _clock_timestamp(),
                ),
            )
            .order_by(operations.c.due_time, operations.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        async with self._postgres.transaction() as tx:
            # Which operation is mine to do next?
            taken = await tx.execute(
                update(operations)
                .where(operations.c.id == due)
                .values(
                    state=_RUNNING,
                    lease_owner=owner_id,
                    lease_expire_time=_clock_timestamp() + lease,
                    attempt_count=operations.c.attempt_count + 1,
                    start_time=func.coalesce(operations.c.start_time, now),
                    version=operations.c.version + 1,
                )
                .returning(operations)
            )
            row = taken.mappings().one_or_none()
        return None if row is None else _operation(row)

    async def renew(self, lease: Lease, span: timedelta) -> Standing:
        """Keeps a lease alive and says whether to go on."""
        values = {"lease_expire_time": _clock_timestamp() + span}
        async with self._postgres.transaction() as tx:
            # Do I still hold it, and does anybody want it stopped?
            renewed = await tx.execute(
                update(operations).where(_held(lease)).values(values).returning(operations.c.cancel_requested)
            )
            row = renewed.one_or_none()
        if row is None:
            return Standing.LOST
        return Standing.CANCEL if row.cancel_requested else Standing.HELD

    async def report(self, lease: Lease, stage: str, percent: int, rows_done_count: int) -> bool:
        """Writes how far the work is; returns False when the lease is lost."""
        return await self._write(lease, {"stage": stage, "percent": percent, "rows_done_count": rows_done_count})

    async def succeed(self, lease: Lease, result: Mapping[str, str], now: datetime) -> bool:
        """Ends an operation well; returns False when the lease is lost."""
        return await self._end(lease, OperationState.SUCCEEDED, now, {"result": dict(result), "percent": 100})

    async def fail(self, lease: Lease, failure: OperationFailure, now: datetime) -> bool:
        """Ends an operation with an error; returns False when the lease is lost."""
        values = {"error_reason": failure.reason, "error_metadata": dict(failure.metadata)}
        return await self._end(lease, OperationState.FAILED, now, values)

    async def end_cancelled(self, lease: Lease, now: datetime) -> bool:
        """Ends an operation as cancelled; returns False when the lease is lost."""
        return await self._end(lease, OperationState.CANCELLED, now, {})

    async def give_back(self, lease: Lease, delay: timedelta) -> bool:
        """Queues an operation again, to be taken by any worker after a delay; returns False when the lease is lost."""
        values = {"state": OperationState.QUEUED.value, "due_time": _clock_timestamp() + delay}
        return await self._write(lease, {**values, "lease_owner": None, "lease_expire_time": None})

    async def _end(self, lease: Lease, state: OperationState, now: datetime, values: Mapping[str, Any]) -> bool:
        ended = {"state": state.value, "end_time": now, "lease_owner": None, "lease_expire_time": None}
        return await self._write(lease, {**values, **ended})

    async def _write(self, lease: Lease, values: Mapping[str, Any]) -> bool:
        async with self._postgres.transaction() as tx:
            # Change it as long as I hold it.
            changed = await tx.execute(
                update(operations).where(_held(lease)).values({**values, "version": operations.c.version + 1})
            )
        return changed.rowcount == 1


def _clock_timestamp() -> Any:
    return func.clock_timestamp(type_=INSTANT)


def _held(lease: Lease) -> Any:
    return and_(
        operations.c.id == lease.operation_id,
        operations.c.lease_owner == lease.owner_id,
        operations.c.state == _RUNNING,
    )


def _operation(row: Mapping[str, Any] | Any) -> Operation:
    failure = None
    if row["error_reason"] is not None:
        failure = OperationFailure(row["error_reason"], row["error_metadata"] or {})
    return Operation(
        id=row["id"],
        kind=OperationKind(row["kind"]),
        parameters=row["parameters"],
        starter_id=row["starter_id"],
        state=OperationState(row["state"]),
        stage=row["stage"],
        percent=row["percent"],
        rows_done_count=row["rows_done_count"],
        failure=failure,
        result=row["result"],
        cancel_requested=row["cancel_requested"],
        attempt_count=row["attempt_count"],
        version=row["version"],
        create_time=row["create_time"],
        start_time=row["start_time"],
        end_time=row["end_time"],
    )
