"""Use case of the schedule: look how every job stands."""

from collections.abc import Sequence

from svoykrug_server.kit.clock import Clock
from svoykrug_server.operations.schedule.calendar import Cadence, Slot
from svoykrug_server.operations.schedule.model import JobKind, JobStanding, LatestRun, RunState, Timetable
from svoykrug_server.operations.schedule.ports import TierNights
from svoykrug_server.operations.schedule.repository import ScheduleRepository
from svoykrug_server.storage.postgres import Postgres

_SETTLED = (RunState.DONE, RunState.SKIPPED)


class JobsService:
    """The jobs of the schedule as callers see them.

    Args:
        postgres: The system of record.
        repository: How each job stands.
        timetable: When each is due.
        tiers: How far the tiers are.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        repository: ScheduleRepository,
        timetable: Timetable,
        tiers: TierNights,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._timetable = timetable
        self._tiers = tiers
        self._clock = clock

    async def list_all(self) -> Sequence[JobStanding]:
        """Returns how every job stands."""
        runs = await self._repository.latest()
        listed = [self._standing(kind, slot, runs.get(kind)) for kind, slot in self._timetable.slots.items()]
        return [*listed, await self._tiers_standing()]

    def _standing(self, kind: JobKind, slot: Slot, run: LatestRun | None) -> JobStanding:
        due = slot.latest(self._clock.now())
        if run is None or (run.period >= due.name and run.state in _SETTLED):
            due = slot.following(due)
        return JobStanding(
            kind=kind,
            last_period="" if run is None else run.done_period or "",
            last_end_time=None if run is None else run.done_time,
            next_due_time=due.due_time if self._timetable.enabled else None,
            running=run is not None and run.is_held,
            last_error_reason="" if run is None else run.error_reason or "",
        )

    async def _tiers_standing(self) -> JobStanding:
        async with self._postgres.read() as connection:
            night = await self._tiers.standing_of_night(connection)
        slot = Slot(Cadence.DAILY, 0, self._timetable.zone)
        today = slot.latest(self._clock.now())
        done = "" if night.done_day is None else night.done_day.isoformat()
        next_due = slot.following(today) if done >= today.name else today
        return JobStanding(
            kind=JobKind.TIERS,
            last_period=done,
            last_end_time=night.done_time,
            next_due_time=next_due.due_time,
            running=night.walk_day is not None and night.walk_day != night.done_day,
            last_error_reason="",
        )
