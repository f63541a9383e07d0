"""What the doctor is told of the schedule."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from svoykrug_server.cli.doctor import Finding, schedule_findings
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.operations.schedule.examination import LATE, examine_schedule
from svoykrug_server.operations.schedule.model import JobKind
from svoykrug_server.operations.schedule.repository import ScheduleRepository
from svoykrug_server.storage.examination import examine_postgres
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from tests.auth.cable import Cable
from tests.operations.work import jobs_of

NIGHT = datetime(2026, 11, 21, tzinfo=UTC)
"""Three in the morning in Moscow."""
BOUND_SECONDS = 3.0


async def snapshots(postgres: Postgres, clock: ManualClock) -> tuple[dict[str, Any], Finding]:
    """Returns what is told of the nightly snapshots, and what the doctor makes of it."""
    facts = await examine_schedule(jobs_of(postgres, clock), clock)
    findings = schedule_findings({"jobs": facts}, is_serving=True)
    return next(pair for pair in zip(facts, findings, strict=True) if pair[0]["job"] == "snapshots")


async def done_for(postgres: Postgres, *periods: str) -> None:
    """Lets the first period be skipped, and the others be done."""
    schedule = ScheduleRepository(postgres)
    for period in periods:
        claim = await schedule.claim(JobKind.SNAPSHOTS, period, timedelta(minutes=1), NIGHT)
        if claim is not None:
            await schedule.finish(claim, NIGHT)


async def test_a_job_that_was_never_done_waits_for_its_first_night_and_is_well(postgres: Postgres) -> None:
    facts, finding = await snapshots(postgres, ManualClock(NIGHT))
    assert (facts["late"], facts["next_due_time"]) == (False, "2026-11-22T00:00+00:00")
    assert finding == Finding("schedule snapshots", "never done yet, due 2026-11-22T00:00+00:00")


async def test_a_job_that_nobody_does_is_late_after_some_hours_and_that_needs_a_person(postgres: Postgres) -> None:
    await done_for(postgres, "2026-11-19", "2026-11-20")
    clock = ManualClock(NIGHT + LATE)
    facts, finding = await snapshots(postgres, clock)
    assert (facts["late"], finding.is_well) == (False, True)
    clock.advance(timedelta(seconds=1))
    facts, finding = await snapshots(postgres, clock)
    assert (facts["late"], finding.is_well) == (True, False)
    assert finding.text == "last done for 2026-11-20, due 2026-11-21T00:00+00:00"


async def test_a_job_that_failed_needs_a_person_and_says_why(postgres: Postgres) -> None:
    await done_for(postgres, "2026-11-20")
    schedule = ScheduleRepository(postgres)
    claim = await schedule.claim(JobKind.SNAPSHOTS, "2026-11-21", timedelta(minutes=1), NIGHT)
    assert claim is not None
    _, running = await snapshots(postgres, ManualClock(NIGHT))
    assert running.text.endswith(", being done now")
    await schedule.put_off(claim, "STORES_DISAGREE", timedelta(minutes=1))
    _, failed = await snapshots(postgres, ManualClock(NIGHT))
    assert not failed.is_well
    assert failed.text.endswith("; it failed with STORES_DISAGREE and is tried again")


@pytest.mark.parametrize("readers", [0, 1, 10])
async def test_a_database_that_hangs_keeps_the_doctor_for_one_bound_however_many_connections_are_open(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, readers: int
) -> None:
    for module in ("storage.examination", "operations.schedule.examination"):
        monkeypatch.setattr(f"svoykrug_server.{module}.ANSWER_SECONDS", BOUND_SECONDS)
    clock = ManualClock(NIGHT)
    async with Cable(postgres.url).laid() as cable:
        far = await Postgres.connect(PostgresOptions(cable.url))
        async with asyncio.TaskGroup() as reading:
            for _ in range(readers):
                reading.create_task(examine_schedule(jobs_of(far, clock), clock))
        cable.hush()
        async with asyncio.timeout(1.9 * BOUND_SECONDS):
            about, jobs = await asyncio.gather(
                examine_postgres(far, clock), examine_schedule(jobs_of(far, clock), clock)
            )
        await far.close()
    assert about == {"problem": "PostgreSQL did not answer within 3 s"}
    assert jobs == []
