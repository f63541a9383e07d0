"""The scheduler: once a period however many run, taken over from the dead, made up after downtime, tried again."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import FailedPrecondition
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.schedule.model import JobKind, JobStanding, Timetable
from svoykrug_server.operations.schedule.repository import ScheduleRepository
from svoykrug_server.operations.schedule.round import Round
from svoykrug_server.operations.schedule.scheduler import Scheduler, SchedulerOptions, Work
from svoykrug_server.storage.postgres import Postgres
from tests.operations.work import jobs_of
from tests.waiting import until

NIGHTLY = JobKind.SNAPSHOTS
DAY = timedelta(days=1)
QUICK = SchedulerOptions(
    poll_seconds=0.02,
    operation_poll_seconds=0.01,
    heartbeat_seconds=0.1,
    lease_seconds=2.0,  # longer than a busy machine stands still: what is not renewed in time, others take
    first_retry_seconds=0.0,
)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at noon in Moscow, 20 November 2026."""
    return ManualClock(datetime(2026, 11, 20, 9, tzinfo=UTC))


def scheduler_of(
    postgres: Postgres, clock: ManualClock, work: Work, options: SchedulerOptions = QUICK, kind: JobKind = NIGHTLY
) -> Scheduler:
    """Returns a scheduler, as one of many processes has it."""
    timetable = Timetable(ZoneInfo("Europe/Moscow"), 3)
    return Scheduler(
        ScheduleRepository(postgres), OperationsRepository(postgres), {kind: work}, timetable, clock, options
    )


async def begin(postgres: Postgres, clock: ManualClock, kind: JobKind = NIGHTLY) -> None:
    """Lets the schedule begin, and the first period come that it has to do."""
    assert not await scheduler_of(postgres, clock, nothing, kind=kind).run_due(kind)
    clock.advance(DAY)


async def nothing(current: Round) -> None:
    """Has nothing to do."""


def noting(done: list[str]) -> Work:
    """Returns a job that notes for which periods it was done."""

    async def work(current: Round) -> None:
        done.append(current.period.name)

    return work


async def standing(postgres: Postgres, clock: ManualClock) -> JobStanding:
    """Returns how the nightly job stands."""
    return next(job for job in await jobs_of(postgres, clock).list_all() if job.kind is NIGHTLY)


@asynccontextmanager
async def running(job: Callable[[], Awaitable[object]]) -> AsyncIterator[asyncio.Task[object]]:
    """Runs something beside the block, and cancels it at the end."""
    task = asyncio.ensure_future(job())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_was_due_before_the_schedule_began_is_not_done(postgres: Postgres, clock: ManualClock) -> None:
    done: list[str] = []
    scheduler = scheduler_of(postgres, clock, noting(done))
    assert not await scheduler.run_due(NIGHTLY)
    assert not await scheduler.run_due(NIGHTLY)
    assert done == []
    stands = await standing(postgres, clock)
    assert (stands.last_period, stands.next_due_time) == ("", datetime(2026, 11, 21, tzinfo=UTC))


async def test_a_period_is_done_once_and_then_seen(postgres: Postgres, clock: ManualClock) -> None:
    done: list[str] = []
    await begin(postgres, clock)
    scheduler = scheduler_of(postgres, clock, noting(done))
    assert await scheduler.run_due(NIGHTLY)
    assert not await scheduler.run_due(NIGHTLY)
    assert done == ["2026-11-21"]
    stands = await standing(postgres, clock)
    assert (stands.last_period, stands.last_end_time) == ("2026-11-21", clock.now())
    assert (stands.next_due_time, stands.running) == (datetime(2026, 11, 22, tzinfo=UTC), False)


async def test_of_many_schedulers_at_once_one_does_a_period(postgres: Postgres, clock: ManualClock) -> None:
    done: list[str] = []
    await begin(postgres, clock)
    schedulers = [scheduler_of(postgres, clock, noting(done)) for _ in range(8)]
    answers = await asyncio.gather(*(scheduler.run_due(NIGHTLY) for scheduler in schedulers))
    assert (done, sum(answers)) == (["2026-11-21"], 1)


async def test_three_days_of_downtime_are_made_up_by_one_run(postgres: Postgres, clock: ManualClock) -> None:
    done: list[str] = []
    await begin(postgres, clock)
    scheduler = scheduler_of(postgres, clock, noting(done))
    await scheduler.run_due(NIGHTLY)
    clock.advance(3 * DAY)
    assert await scheduler.run_due(NIGHTLY)
    assert not await scheduler.run_due(NIGHTLY)
    assert done == ["2026-11-21", "2026-11-24"]


async def test_a_scheduler_whose_clock_is_behind_does_no_period_of_the_past(
    postgres: Postgres, clock: ManualClock
) -> None:
    done: list[str] = []
    behind = ManualClock(clock.now())
    await begin(postgres, clock)
    clock.advance(DAY)
    await scheduler_of(postgres, clock, nothing).run_due(NIGHTLY)
    behind.advance(DAY)
    assert not await scheduler_of(postgres, behind, noting(done)).run_due(NIGHTLY)
    assert done == []


async def test_a_long_job_keeps_its_lease_and_the_next_period_waits_for_it(
    postgres: Postgres, clock: ManualClock
) -> None:
    done: list[str] = []
    release = asyncio.Event()
    await begin(postgres, clock)

    async def long(current: Round) -> None:
        await release.wait()

    async with running(lambda: scheduler_of(postgres, clock, long).run_due(NIGHTLY)) as first:
        await until(lambda: _is_running(postgres, clock))
        clock.advance(DAY)
        second = scheduler_of(postgres, clock, noting(done))
        attempts = 0
        deadline = asyncio.get_running_loop().time() + 1.5 * QUICK.lease_seconds
        while asyncio.get_running_loop().time() < deadline:
            attempts += await second.run_due(NIGHTLY)
        assert attempts == 0
        release.set()
        assert await first
    assert await second.run_due(NIGHTLY)
    assert done == ["2026-11-22"]


async def test_the_period_of_a_process_that_was_killed_is_done_by_another(
    postgres: Postgres, postgres_url: str, clock: ManualClock
) -> None:
    done: list[str] = []
    await begin(postgres, clock)
    script = str(Path(__file__).with_name("doomed_scheduler.py"))
    doomed = await asyncio.create_subprocess_exec(sys.executable, script, postgres_url, clock.now().isoformat())
    await until(lambda: _is_running(postgres, clock), seconds=30)
    doomed.kill()
    await doomed.wait()
    heir = scheduler_of(postgres, clock, noting(done))
    await until(lambda: heir.run_due(NIGHTLY))
    assert not await heir.run_due(NIGHTLY)
    assert done == ["2026-11-21"]


async def test_the_period_of_a_lost_worker_is_taken_over_when_its_lease_ends(
    postgres: Postgres, clock: ManualClock
) -> None:
    done: list[str] = []
    await begin(postgres, clock)
    lease, repository = timedelta(seconds=QUICK.lease_seconds), ScheduleRepository(postgres)
    killed = await repository.claim(NIGHTLY, "2026-11-21", lease, clock.now())
    assert killed is not None
    heir = scheduler_of(postgres, clock, noting(done))
    assert not await heir.run_due(NIGHTLY)
    await until(lambda: heir.run_due(NIGHTLY))
    assert done == ["2026-11-21"]
    assert not await repository.renew(killed, lease)
    assert not await repository.finish(killed, clock.now())


async def test_a_worker_that_lost_its_lease_stops_working(postgres: Postgres, clock: ManualClock) -> None:
    stopped = asyncio.Event()
    await begin(postgres, clock)

    async def endless(current: Round) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with running(lambda: scheduler_of(postgres, clock, endless).run_due(NIGHTLY)) as first:
        await until(lambda: _is_running(postgres, clock))
        async with postgres.transaction() as tx:
            await tx.execute(text("UPDATE scheduled_runs SET lease_owner = gen_random_uuid() WHERE state = 'running'"))
        assert not await first
    assert stopped.is_set()


async def test_a_stopped_worker_gives_its_period_back_at_once(postgres: Postgres, clock: ManualClock) -> None:
    done: list[str] = []
    await begin(postgres, clock)

    async def endless(current: Round) -> None:
        await asyncio.Event().wait()

    async with running(scheduler_of(postgres, clock, endless).run):
        await until(lambda: _is_running(postgres, clock))
    assert (await standing(postgres, clock)).last_error_reason == ""
    assert await scheduler_of(postgres, clock, noting(done)).run_due(NIGHTLY)
    assert done == ["2026-11-21"]


async def test_a_failure_is_seen_and_tried_again(postgres: Postgres, clock: ManualClock) -> None:
    tries = 0
    await begin(postgres, clock)

    async def failing_once(current: Round) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise FailedPrecondition("CUTOFF_AHEAD_OF_WATERMARK")

    scheduler = scheduler_of(postgres, clock, failing_once)
    assert not await scheduler.run_due(NIGHTLY)
    failed = await standing(postgres, clock)
    assert (failed.last_error_reason, failed.last_period) == ("CUTOFF_AHEAD_OF_WATERMARK", "")
    assert failed.next_due_time == datetime(2026, 11, 21, tzinfo=UTC)
    assert await scheduler.run_due(NIGHTLY)
    mended = await standing(postgres, clock)
    assert (mended.last_error_reason, mended.last_period) == ("", "2026-11-21")


async def test_an_unforeseen_error_is_told_as_internal_and_nothing_else(postgres: Postgres, clock: ManualClock) -> None:
    await begin(postgres, clock)

    async def broken(current: Round) -> None:
        raise ZeroDivisionError("secret detail")

    assert not await scheduler_of(postgres, clock, broken).run_due(NIGHTLY)
    assert (await standing(postgres, clock)).last_error_reason == "INTERNAL"


async def test_a_failed_job_is_not_tried_before_its_delay(postgres: Postgres, clock: ManualClock) -> None:
    tries: list[str] = []
    await begin(postgres, clock)

    async def failing(current: Round) -> None:
        tries.append(current.period.name)
        raise FailedPrecondition("CUTOFF_AHEAD_OF_WATERMARK")

    patient = SchedulerOptions(first_retry_seconds=3600)
    for _ in range(3):
        await scheduler_of(postgres, clock, failing, patient).run_due(NIGHTLY)
    assert tries == ["2026-11-21"]


def test_the_delay_doubles_with_each_failure_up_to_an_hour() -> None:
    options = SchedulerOptions(first_retry_seconds=60, longest_retry_seconds=3600)
    assert [options.retry_delay(attempt).total_seconds() for attempt in (1, 2, 3, 6, 7, 100)] == [
        60,
        120,
        240,
        1920,
        3600,
        3600,
    ]


async def test_what_was_not_done_gives_way_to_the_next_period(postgres: Postgres, clock: ManualClock) -> None:
    done: list[str] = []
    await begin(postgres, clock)

    async def failing(current: Round) -> None:
        raise FailedPrecondition("CUTOFF_AHEAD_OF_WATERMARK")

    await scheduler_of(postgres, clock, failing).run_due(NIGHTLY)
    clock.advance(DAY)
    assert await scheduler_of(postgres, clock, noting(done)).run_due(NIGHTLY)
    assert done == ["2026-11-22"]
    assert (await standing(postgres, clock)).last_error_reason == ""


async def test_the_schedule_runs_by_itself_night_after_night(postgres: Postgres, clock: ManualClock) -> None:
    done: list[str] = []
    async with running(scheduler_of(postgres, clock, noting(done)).run):
        await until(lambda: _has_begun(postgres))
        for nights in (1, 2):
            clock.advance(DAY)
            await until(partial(_has, done, nights))
    assert done == ["2026-11-21", "2026-11-22"]


async def test_a_month_that_ends_is_done_once(postgres: Postgres) -> None:
    done: list[str] = []
    clock = ManualClock(datetime(2027, 1, 30, 12, tzinfo=UTC))
    await begin(postgres, clock, JobKind.TRAINING)
    scheduler = scheduler_of(postgres, clock, noting(done), kind=JobKind.TRAINING)
    for _ in range(60):
        await scheduler.run_due(JobKind.TRAINING)
        clock.advance(DAY)
    assert done == ["2027-02", "2027-03"]


async def test_a_schedule_that_is_switched_off_has_no_next_time(postgres: Postgres, clock: ManualClock) -> None:
    jobs = await jobs_of(postgres, clock, enabled=False).list_all()
    assert [job.kind for job in jobs if job.next_due_time is not None] == [JobKind.TIERS]


async def _is_running(postgres: Postgres, clock: ManualClock) -> bool:
    return (await standing(postgres, clock)).running


async def _has_begun(postgres: Postgres) -> bool:
    return NIGHTLY in await ScheduleRepository(postgres).latest()


def _has(done: list[str], count: int) -> bool:
    return len(done) == count
