"""Dashboards on real stores for tests: a relay's batches are noted by hand, and waking is as in a server."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from svoykrug_server.analytics.dashboards.cache import DashboardCache
from svoykrug_server.analytics.dashboards.calendar import AskedDays, CircleCalendar
from svoykrug_server.analytics.dashboards.changes import Changes
from svoykrug_server.analytics.dashboards.cohorts import CohortService
from svoykrug_server.analytics.dashboards.matrix import MatrixService
from svoykrug_server.analytics.dashboards.repository import DashboardRepository
from svoykrug_server.analytics.dashboards.service import Asked, DashboardService
from svoykrug_server.analytics.dashboards.warehouse import DashboardWarehouse
from svoykrug_server.analytics.dashboards.watchers import Watchers
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.circles import BUSINESSES, SENSITIVE, Entry, ingest

MOSCOW = ZoneInfo("Europe/Moscow")


class Dashboards:
    """Dashboards of a circle of five businesses, two of them sensitive."""

    def __init__(self, postgres: Postgres, warehouse: Warehouse, clock: ManualClock, zone: ZoneInfo = MOSCOW) -> None:
        self.postgres, self.warehouse, self.clock = postgres, warehouse, clock
        self.calendar = CircleCalendar(zone, clock)
        self.repository = DashboardRepository(postgres)
        self.rows = DashboardWarehouse(warehouse, self.calendar)
        self.changes = Changes(self.repository, poll_seconds=0.05)
        self.watchers = Watchers(most=4, most_per_caller=2)
        self.cache = DashboardCache()
        history = KeptHistory(postgres, zone)
        self.service = DashboardService(
            self.repository,
            self.rows,
            self.calendar,
            history,
            self.changes,
            self.cache,
            self.watchers,
            look_seconds=0.05,
        )
        self.cohorts = CohortService(self.repository, self.rows, self.calendar, history)
        self.matrix = MatrixService(self.repository, self.rows, self.calendar, history)
        self._batch_id = 0

    async def open_businesses(self) -> None:
        """Makes the businesses."""
        async with self.postgres.transaction() as tx:
            await (await tx.driver()).executemany(
                "INSERT INTO businesses (id, name, category, sensitive, create_time, update_time)"
                " VALUES ($1, $2, 'beauty', $3, now(), now())",
                [(business_id, str(business_id), business_id in SENSITIVE) for business_id in BUSINESSES],
            )

    async def ship(self, *entries: Entry) -> None:
        """Has a relay of another process ship entries as one batch, and say that it holds everything by then."""
        await ingest(self.warehouse, entries, 1)
        self._batch_id += 1
        async with self.postgres.transaction() as tx:
            connection = await tx.driver()
            await connection.executemany(
                "INSERT INTO outbox (outbox_id, business_id, entry_count, record_time, batch_id)"
                " VALUES (nextval('outbox_number'), $1, 1, $2, $3)",
                [(entry.business_id, self.clock.now(), self._batch_id) for entry in entries],
            )
            await connection.execute(
                "INSERT INTO sealed_batches (batch_id, ingest_time, entry_count, content_hash, shipped_time)"
                " VALUES ($1, $2, $3, ''::bytea, $2)",
                self._batch_id,
                self.clock.now(),
                len(entries),
            )
            await connection.execute("UPDATE relay_state SET watermark = $1", self.clock.now())

    async def add_scoring(
        self,
        business_id: UUID | None,
        cutoff: datetime,
        scores: Sequence[tuple[float, int]],
        *,
        backtest: bool = False,
    ) -> None:
        """Makes a finished scoring.

        Args:
            business_id: Its scope.
            cutoff: Its cutoff.
            scores: The probability and the net spend of each member.
            backtest: Whether it was said too late for a forecast.
        """
        model_id, scoring_id = uuid4(), uuid4()
        async with self.postgres.transaction() as tx:
            connection = await tx.driver()
            await connection.execute(
                "INSERT INTO churn_models (id, horizon_days, population_days, test_cutoff_time, training_cutoff_times,"
                " watermark, algorithm, features, card, document, create_time)"
                " VALUES ($1, 30, 0, $2, '{}', $2, 'x', '{}', '{}', '{}', $2)",
                model_id,
                cutoff,
            )
            await connection.execute(
                "INSERT INTO churn_scorings (id, model_id, business_id, cutoff_time, watermark, scored_count,"
                " create_time, build_id, backtest) VALUES ($1, $2, $3, $4, $4, $5, $4, $1, $6)",
                scoring_id,
                model_id,
                business_id,
                cutoff,
                len(scores),
                backtest,
            )
        values = ", ".join(
            f"('{scoring_id}', {member}, {probability}, {spend})" for member, (probability, spend) in enumerate(scores)
        )
        columns = "scoring_id, member_id, probability, net_spend_minor"
        await self.warehouse.command(f"INSERT INTO churn_scores ({columns}) VALUES {values}")  # noqa: S608  a test's numbers


def asked(business_id: UUID | None = None, days: AskedDays | None = None) -> Asked:
    """Returns a question for a dashboard."""
    return Asked(business_id, days or AskedDays())
