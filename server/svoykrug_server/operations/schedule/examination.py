"""What the doctor asks of the schedule: facts as JSON values."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.operations.schedule.model import JobStanding
from svoykrug_server.operations.schedule.service import JobsService
from svoykrug_server.storage.examination import ANSWER_SECONDS

LATE = timedelta(hours=6)
"""A job that was due longer ago and that nobody is at needs a person; one that was never done waits for its first."""


def _is_late(job: JobStanding, now: datetime) -> bool:
    if job.next_due_time is None or job.running or not job.last_period:
        return False
    return now - job.next_due_time > LATE


async def examine_schedule(jobs: JobsService, clock: Clock) -> Sequence[dict[str, Any]]:
    """Returns how each job stands; nothing while PostgreSQL, of which the doctor tells, is away or silent."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            listed = await jobs.list_all()
    except (DomainError, TimeoutError):
        return []
    return [
        {
            "job": job.kind.value,
            "last_period": job.last_period,
            "next_due_time": None if job.next_due_time is None else job.next_due_time.isoformat(timespec="minutes"),
            "running": job.running,
            "last_error_reason": job.last_error_reason,
            "late": _is_late(job, clock.now()),
        }
        for job in listed
    ]
