"""All SQL of the schedule.

Leases and retries are told by the database's clock, which all workers share; which period is due, and what people see,
by the server's.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import and_, func, insert, or_, select, text, update

from svoykrug_server.operations.schedule.model import Claim, JobKind, LatestRun, RunState
from svoykrug_server.storage.postgres import Postgres, Transaction
from svoykrug_server.storage.schema.base import INSTANT
from svoykrug_server.storage.schema.operations import scheduled_runs

# Will nobody else look which period of this job is next before this transaction ends?
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('scheduled_runs ' || :job, 0))")

# How does each of these jobs stand in its newest period, and which was the last that was done?
_LATEST = """
    SELECT run.job, run.period, run.state, run.error_reason, run.next_attempt_time,
        coalesce(run.lease_expire_time > clock_timestamp(), false) AS is_held, done.period AS done_period,
        done.end_time AS done_time
    FROM unnest($1::text[]) AS asked (job) CROSS JOIN LATERAL (
        SELECT * FROM scheduled_runs WHERE job = asked.job ORDER BY period DESC LIMIT 1
    ) AS run LEFT JOIN LATERAL (
        SELECT period, end_time FROM scheduled_runs WHERE job = asked.job AND state = 'done'
        ORDER BY period DESC LIMIT 1
    ) AS done ON true
"""


class ScheduleRepository:
    """Scheduled runs in PostgreSQL.

    Args:
        postgres: The system of record.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def latest(self) -> dict[JobKind, LatestRun]:
        """Returns how each job stands that has begun."""
        async with self._postgres.read() as connection:
            rows = await connection.fetch(_LATEST, list(JobKind))
        return {JobKind(row["job"]): _latest_run(row) for row in rows}

    async def claim(self, kind: JobKind, period: str, lease: timedelta, now: datetime) -> Claim | None:
        """Takes the job of a period; returns None when it is done, waits, or another worker is at it or an earlier one.

        The first period that the schedule ever sees is skipped: the circle may have been empty when it was due.
        """
        async with self._postgres.transaction() as tx:
            await tx.execute(_LOCK, {"job": kind.value})
            newest = await self._newest(tx, kind)
            if newest is None:
                await self._add(tx, kind, period, now, {"state": RunState.SKIPPED.value})
                return None
            if newest.period > period or newest.is_held:
                return None
            if newest.period < period:
                await self._overtake(tx, kind)
                taken = _taken(uuid4(), lease)
                await self._add(tx, kind, period, now, {**taken, "attempt_count": 1})
                return Claim(kind, period, taken["lease_owner"], 1)
            return await self._take(tx, kind, period, lease)

    async def renew(self, claim: Claim, lease: timedelta) -> bool:
        """Keeps a claim alive; returns False when another worker has taken it over."""
        return await self._write(claim, {"lease_expire_time": _clock_timestamp() + lease})

    async def finish(self, claim: Claim, now: datetime) -> bool:
        """Says that a job is done for a period; returns False when the claim is lost."""
        return await self._write(
            claim, {**_LET_GO, "state": RunState.DONE.value, "error_reason": None, "end_time": now}
        )

    async def put_off(self, claim: Claim, reason: str | None, delay: timedelta) -> bool:
        """Lets any worker try again after a delay; returns False when the claim is lost.

        Args:
            claim: What failed, or is given back.
            reason: Why it failed; None when it did not.
            delay: How long nobody takes it.
        """
        values = {"state": RunState.WAITING.value, "error_reason": reason}
        return await self._write(claim, {**_LET_GO, **values, "next_attempt_time": _clock_timestamp() + delay})

    async def _newest(self, tx: Transaction, kind: JobKind) -> Any:
        is_held = func.coalesce(scheduled_runs.c.lease_expire_time > _clock_timestamp(), False)
        # How does this job stand in its newest period?
        found = await tx.execute(
            select(scheduled_runs.c.period, is_held.label("is_held"))
            .where(scheduled_runs.c.job == kind.value)
            .order_by(scheduled_runs.c.period.desc())
            .limit(1)
        )
        return found.one_or_none()

    async def _add(self, tx: Transaction, kind: JobKind, period: str, now: datetime, values: dict[str, Any]) -> None:
        # Begin a period.
        await tx.execute(insert(scheduled_runs).values(job=kind.value, period=period, create_time=now, **values))

    async def _overtake(self, tx: Transaction, kind: JobKind) -> None:
        unfinished = scheduled_runs.c.state.in_((RunState.WAITING.value, RunState.RUNNING.value))
        # What was not done before gives way to the next period.
        await tx.execute(
            update(scheduled_runs)
            .where(scheduled_runs.c.job == kind.value, unfinished)
            .values({**_LET_GO, "state": RunState.OVERTAKEN.value})
        )

    async def _take(self, tx: Transaction, kind: JobKind, period: str, lease: timedelta) -> Claim | None:
        taken = _taken(uuid4(), lease)
        is_due = or_(
            scheduled_runs.c.state == RunState.RUNNING.value,
            and_(
                scheduled_runs.c.state == RunState.WAITING.value,
                scheduled_runs.c.next_attempt_time <= _clock_timestamp(),
            ),
        )
        # Is it to be tried again, or was its worker lost? (whoever is at it was ruled out under the lock)
        changed = await tx.execute(
            update(scheduled_runs)
            .where(scheduled_runs.c.job == kind.value, scheduled_runs.c.period == period, is_due)
            .values({**taken, "attempt_count": scheduled_runs.c.attempt_count + 1, "next_attempt_time": None})
            .returning(scheduled_runs.c.attempt_count)
        )
        row = changed.one_or_none()
        return None if row is None else Claim(kind, period, taken["lease_owner"], row.attempt_count)

    async def _write(self, claim: Claim, values: dict[str, Any]) -> bool:
        async with self._postgres.transaction() as tx:
            # Change it as long as I hold it.
            changed = await tx.execute(
                update(scheduled_runs)
                .where(
                    scheduled_runs.c.job == claim.kind.value,
                    scheduled_runs.c.period == claim.period,
                    scheduled_runs.c.lease_owner == claim.owner_id,
                )
                .values(values)
            )
        return changed.rowcount == 1


_LET_GO: dict[str, Any] = {"lease_owner": None, "lease_expire_time": None, "next_attempt_time": None}


def _taken(owner_id: UUID, lease: timedelta) -> dict[str, Any]:
    expire_time = _clock_timestamp() + lease
    return {"state": RunState.RUNNING.value, "lease_owner": owner_id, "lease_expire_time": expire_time}


def _clock_timestamp() -> Any:
    return func.clock_timestamp(type_=INSTANT)


def _latest_run(row: Any) -> LatestRun:
    return LatestRun(
        kind=JobKind(row["job"]),
        period=row["period"],
        state=RunState(row["state"]),
        is_held=row["is_held"],
        error_reason=row["error_reason"],
        next_attempt_time=row["next_attempt_time"],
        done_period=row["done_period"],
        done_time=row["done_time"],
    )
