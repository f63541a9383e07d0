"""The scheduler: does each job once a period, wherever a worker lives.

Every worker runs one. For each job it looks whether a period is due, takes it by lease, keeps the lease alive while the
job works, and writes how it ended. A worker that dies is followed by another once its lease has run out.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, StoreUnavailable
from svoykrug_server.kit.failpoints import failpoint
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.schedule.calendar import Period
from svoykrug_server.operations.schedule.model import Claim, JobKind, Timetable
from svoykrug_server.operations.schedule.repository import ScheduleRepository
from svoykrug_server.operations.schedule.round import Round

_log = structlog.get_logger(__name__)

Work = Callable[[Round], Awaitable[None]]
"""Does a job for a period. It is idempotent: when its worker dies, another does it again from the start."""


@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """How a scheduler works.

    Attributes:
        poll_seconds: How often it looks whether a period is due.
        operation_poll_seconds: How often it looks at the operation it waits for.
        heartbeat_seconds: How often it renews a lease.
        lease_seconds: How long a job stays with a worker that says nothing.
        first_retry_seconds: How long a job waits after a first failure; it doubles with each further one.
        longest_retry_seconds: How long it waits at most.
    """

    poll_seconds: float = 15.0
    operation_poll_seconds: float = 1.0
    heartbeat_seconds: float = 10.0
    lease_seconds: float = 60.0
    first_retry_seconds: float = 60.0
    longest_retry_seconds: float = 3600.0

    def __post_init__(self) -> None:
        if self.heartbeat_seconds * 3 > self.lease_seconds:
            raise ValueError("a lease outlives at least three heartbeats")

    def retry_delay(self, attempt_count: int) -> timedelta:
        """Returns how long a job waits after so many attempts."""
        seconds = self.first_retry_seconds * 2.0 ** min(attempt_count - 1, 30)
        return timedelta(seconds=min(seconds, self.longest_retry_seconds))


class Scheduler:
    """Does the jobs of the schedule until it is cancelled.

    Args:
        repository: How each job stands.
        operations: Where operations are looked up.
        work: What each job does.
        timetable: When each is due.
        clock: Tells the time.
        options: How it works.
    """

    def __init__(
        self,
        repository: ScheduleRepository,
        operations: OperationsRepository,
        work: Mapping[JobKind, Work],
        timetable: Timetable,
        clock: Clock,
        options: SchedulerOptions | None = None,
    ) -> None:
        self._repository = repository
        self._operations = operations
        self._work = work
        self._timetable = timetable
        self._clock = clock
        self._options = options or SchedulerOptions()
        self._lease = timedelta(seconds=self._options.lease_seconds)

    async def run(self) -> None:
        """Does the jobs for ever; cancel it to stop. What it was at is given back at once."""
        async with asyncio.TaskGroup() as jobs:
            for kind in self._work:
                jobs.create_task(self._run_job(kind))

    async def run_due(self, kind: JobKind) -> bool:
        """Does a job if a period of it is due and no other worker is at it; returns whether it was done.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        period = self._timetable.slots[kind].latest(self._clock.now())
        claim = await self._repository.claim(kind, period.name, self._lease, self._clock.now())
        if claim is None:
            return False
        _log.info("job_taken", job=kind.value, period=period.name, attempt=claim.attempt_count)
        failpoint("schedule.claimed")
        return await self._attempt(claim, period)

    async def _run_job(self, kind: JobKind) -> None:
        while True:
            try:
                await self.run_due(kind)
            except StoreUnavailable:
                _log.warning("schedule_store_unavailable", job=kind.value)
            await asyncio.sleep(self._options.poll_seconds)

    async def _attempt(self, claim: Claim, period: Period) -> bool:
        """Works for a period and writes how that ended; returns whether it is done."""
        current = Round(claim, period, self._operations, self._options.operation_poll_seconds)
        work = asyncio.ensure_future(self._work[claim.kind](current))
        try:
            held = await self._attend(claim, work)
        except asyncio.CancelledError:
            await _stop(work)
            with contextlib.suppress(StoreUnavailable):  # then its lease runs out instead
                await self._repository.put_off(claim, None, timedelta(0))
            raise
        if not held:
            await _stop(work)
            _log.warning("job_lost", job=claim.kind.value, period=claim.period)
            return False
        reason = _failure_of(work)
        if reason is None:
            failpoint("schedule.worked")
            done = await self._repository.finish(claim, self._clock.now())
            failpoint("schedule.finished")
            _log.info("job_done", job=claim.kind.value, period=claim.period)
            return done
        delay = self._options.retry_delay(claim.attempt_count)
        _log.warning(
            "job_failed",
            job=claim.kind.value,
            period=claim.period,
            reason=reason,
            retry_seconds=delay.total_seconds(),
            exc_info=work.exception() if reason == DomainError.default_reason else None,
        )
        await self._repository.put_off(claim, reason, delay)
        return False

    async def _attend(self, claim: Claim, work: "asyncio.Future[None]") -> bool:
        """Renews the lease until the work has ended; returns False as soon as the lease is lost."""
        loop = asyncio.get_running_loop()
        lost_at_seconds = loop.time() + self._options.lease_seconds
        while True:
            ended, _ = await asyncio.wait({work}, timeout=self._options.heartbeat_seconds)
            if ended:
                return True
            asked_at_seconds = loop.time()
            try:
                if not await self._repository.renew(claim, self._lease):
                    return False
            except StoreUnavailable:
                if asked_at_seconds >= lost_at_seconds:
                    return False
                continue
            lost_at_seconds = asked_at_seconds + self._options.lease_seconds


def _failure_of(work: "asyncio.Future[None]") -> str | None:
    """Returns why the work of a job failed, or None when it did not."""
    error = None if work.cancelled() else work.exception()
    if error is None and not work.cancelled():
        return None
    return error.reason if isinstance(error, DomainError) else DomainError.default_reason


async def _stop(work: "asyncio.Future[None]") -> None:
    """Cancels a job and waits until it has cleaned up after itself; how it ends is of no interest."""
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled():
        work.exception()
