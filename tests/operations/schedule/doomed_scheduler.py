"""A scheduler in a process of its own, to be killed at its job: `python doomed_scheduler.py DATABASE_URL NOW`."""

import asyncio
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.schedule.model import JobKind, Timetable
from svoykrug_server.operations.schedule.repository import ScheduleRepository
from svoykrug_server.operations.schedule.round import Round
from svoykrug_server.operations.schedule.scheduler import Scheduler, SchedulerOptions
from svoykrug_server.storage.postgres import Postgres, PostgresOptions

OPTIONS = SchedulerOptions(poll_seconds=0.02, heartbeat_seconds=0.1, lease_seconds=2.0)


async def never_done(current: Round) -> None:
    """Works for ever."""
    await asyncio.Event().wait()


async def main(url: str, now: str) -> None:
    """Works until it is killed."""
    postgres = await Postgres.connect(PostgresOptions(url))
    timetable, clock = Timetable(ZoneInfo("Europe/Moscow"), 3), ManualClock(datetime.fromisoformat(now))
    work = {JobKind.SNAPSHOTS: never_done}
    await Scheduler(ScheduleRepository(postgres), OperationsRepository(postgres), work, timetable, clock, OPTIONS).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
