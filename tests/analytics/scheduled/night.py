"""The jobs of analytics with a scheduler and a worker, on real stores."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry

from svoykrug_server.analytics.composition import Work, compose_analytics
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.operations.model import Operation
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.runner import OperationRunner, RunnerOptions
from svoykrug_server.operations.schedule.model import JobKind, Timetable
from svoykrug_server.operations.schedule.repository import ScheduleRepository
from svoykrug_server.operations.schedule.scheduler import Scheduler, SchedulerOptions
from svoykrug_server.operations.service import OperationsService
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.snapshots import Proofs
from tests.callers import admin

ZONE = ZoneInfo("UTC")
EVENING = datetime(2026, 5, 31, 20, tzinfo=UTC)
"""When the schedule begins; the month ends four hours later."""
MORNING = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""A Monday and the first of a month: every job is due."""
QUICK = SchedulerOptions(operation_poll_seconds=0.01, first_retry_seconds=0.0)
WORKER = RunnerOptions(poll_seconds=0.02, lease_seconds=30.0, max_attempts=2)


class Night:
    """Everything that is done at night, in one circle.

    Args:
        postgres: The system of record.
        warehouse: The analytics copy.
    """

    def __init__(self, postgres: Postgres, warehouse: Warehouse) -> None:
        self.postgres, self.warehouse = postgres, warehouse
        self.clock, self.proofs = ManualClock(EVENING), Proofs()
        tokens = PageTokens(bytes(32))
        self.operations = OperationsService(postgres, OperationsRepository(postgres), tokens, self.clock, 0.01)
        self.analytics = compose_analytics(
            postgres,
            warehouse,
            ZONE,
            self.proofs,
            self.proofs,
            self.operations,
            tokens,
            self.clock,
            CollectorRegistry(),
        )

    def scheduler(self) -> Scheduler:
        """Returns a scheduler, as one of many processes has it."""
        work = {
            JobKind.SNAPSHOTS: self.analytics.jobs.take_snapshots,
            JobKind.SCORING: self.analytics.jobs.score,
            JobKind.TRAINING: self.analytics.jobs.train,
            JobKind.FIRST_TRAINING: self.analytics.jobs.train_first,
            JobKind.FORECAST_RECEIPTS: self.analytics.jobs.grade,
        }
        repository = OperationsRepository(self.postgres)
        return Scheduler(ScheduleRepository(self.postgres), repository, work, Timetable(ZONE, 3), self.clock, QUICK)

    async def fall(self) -> None:
        """Lets the schedule begin in the evening, and the next morning come."""
        for kind in JobKind:
            if kind is not JobKind.TIERS:
                assert not await self.scheduler().run_due(kind)
        self.clock.set(MORNING)

    async def started(self) -> list[Operation]:
        """Returns the operations there are, in no order: the clock stands."""
        return list((await self.operations.list_page(admin(), [], 500, "")).operations)

    async def sell(self, business_id: UUID, purchase_time: datetime, members: int = 1) -> None:
        """Opens a business and records a purchase of each of so many members there."""
        async with self.postgres.transaction() as tx:
            connection = await tx.driver()
            await connection.execute(
                "INSERT INTO businesses (id, name, category, sensitive, create_time, update_time)"
                " VALUES ($1, $2, 'beauty', false, now(), now())",
                business_id,
                str(business_id),
            )
            await connection.execute(
                "INSERT INTO purchase_entries (entry_id, purchase_id, business_id, member_id, outbox_id, amount_minor,"
                " purchase_time, kind, sensitive, currency_code, external_id)"
                " SELECT id, id, $1, member_id, 1, 100, $2, 1, false, 'RUB', 'receipt ' || member_id"
                " FROM (SELECT member_id, gen_random_uuid() AS id FROM generate_series(1, $3::int) AS member_id) AS n",
                business_id,
                purchase_time,
                members,
            )

    @asynccontextmanager
    async def worker(self, work: Mapping[str, Work] | None = None) -> AsyncIterator[None]:
        """Runs operations for the length of the block."""
        runner = OperationRunner(OperationsRepository(self.postgres), work or self.analytics.work, self.clock, WORKER)
        running = asyncio.ensure_future(runner.run())
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def days(count: float) -> timedelta:
    """Returns a span of days."""
    return timedelta(days=count)
