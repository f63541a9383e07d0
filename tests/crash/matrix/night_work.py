"""The jobs of the schedule: each is done once for its period."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

from svoykrug_client import Client
from svoykrug_server.kit.caller import SYSTEM_ID
from svoykrug_server.operations.schedule.model import JobKind
from svoykrug_server.parts import timetable
from tests.crash.matrix.analytics_work import HORIZON_DAYS, scored, unpublished
from tests.crash.matrix.place import BOUND_SECONDS, Place
from tests.crash.matrix.seen import Record, Seen, execute, make_due
from tests.crash.matrix.work import Harm, Work
from tests.waiting import until


class Night(Work):
    """A job that has come due."""

    settings = {"SCHEDULE_ENABLED": "true"}  # noqa: RUF012  a constant of the class
    jobs: tuple[JobKind, ...] = (JobKind.SNAPSHOTS, JobKind.SCORING, JobKind.FORECAST_RECEIPTS)

    def __init__(self, place: Place, dice: random.Random) -> None:
        super().__init__(place, dice)
        self.job = dice.choice(self.jobs)
        slots = timetable(place.settings).slots
        self.periods = {kind.value: slots[kind].latest(datetime.now(UTC)).name for kind in slots}

    async def prepare(self) -> None:
        """Makes it due; for the receipts, takes one away."""
        if self.job is JobKind.FORECAST_RECEIPTS:
            last = "(SELECT scoring_id FROM churn_receipts ORDER BY scoring_id DESC LIMIT 1)"
            await execute(self.place.postgres, f"DELETE FROM churn_receipts WHERE scoring_id = {last}")  # noqa: S608  the text above
        await make_due(self.place.postgres, self.job.value, self.periods)

    async def ask(self, client: Client) -> None:
        """Asks for nothing: the schedule does."""

    async def finish(self, client: Client) -> None:  # noqa: ARG002  nobody is asked
        """Waits until it is done for the period."""
        await until(self._is_done, BOUND_SECONDS)

    async def harm(self, before: Seen, after: Seen) -> Harm:
        """Counts the operations of the job: one for each scope, succeeded; and the runs of the period: one."""
        runs = [run for run in after.runs if (run["job"], run["period"]) == (self.job.value, self.periods[self.job])]
        assert [run["state"] for run in runs] == ["done"]
        known = {each["id"] for each in before.operations}
        new = [each for each in after.operations if each["id"] not in known]
        assert {each["starter_id"] for each in new} <= {SYSTEM_ID}
        succeeded = [_scope_of(each, after) for each in new if each["state"] == "succeeded"]
        harm = Harm.of(len(new), len(set(succeeded)), len(self.scopes()))
        assert set(succeeded) == set(self.scopes())
        closed = datetime.now(UTC) - timedelta(days=HORIZON_DAYS)
        ungraded = sum(not row["graded"] and row["cutoff_time"] < closed for row in after.scorings.values())
        return harm + unpublished(after) + scored(after) + Harm(lost=ungraded)

    def scopes(self) -> list[UUID | None]:
        """Returns the scopes it goes over with an operation each."""
        if self.job is JobKind.SNAPSHOTS:
            return [None, *self.place.circle.business_ids]
        return [None] if self.job is JobKind.SCORING else []

    async def _is_done(self) -> bool:
        async with self.place.postgres.read() as connection:
            return bool(
                await connection.fetchval(
                    "SELECT EXISTS (SELECT FROM scheduled_runs WHERE job = $1 AND period = $2 AND state = 'done')",
                    *(self.job.value, self.periods[self.job.value]),
                )
            )


def _scope_of(operation: Record, after: Seen) -> UUID | None:
    made = after.snapshots.get(operation["made_id"], operation)
    scope: UUID | None = made["business_id"]
    return scope


class NightOfSnapshots(Night):
    """The snapshots of a night: an operation for each scope."""

    jobs = (JobKind.SNAPSHOTS,)
