"""The measured product: its own services and work functions, wired as `app.py` does, on stores of the benchmark."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from prometheus_client import CollectorRegistry

from benchmarks.scale import asked
from benchmarks.scale.circle import ZONE
from svoykrug_server.analytics.churn import scoring, training
from svoykrug_server.analytics.churn.features import RAW
from svoykrug_server.analytics.churn.scoring import BLOCK_MEMBERS
from svoykrug_server.analytics.churn.warehouse import ChurnWarehouse, blocks
from svoykrug_server.analytics.composition import compose_analytics
from svoykrug_server.analytics.dashboards.calendar import AskedDays, AskedMonths
from svoykrug_server.analytics.dashboards.composition import compose_dashboards
from svoykrug_server.analytics.dashboards.matrix import AskedMatrix
from svoykrug_server.analytics.dashboards.model import PeriodFigures
from svoykrug_server.analytics.dashboards.service import Asked
from svoykrug_server.analytics.service import NewSnapshot
from svoykrug_server.analytics.snapshots import KIND
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.operations.model import Operation
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.service import OperationsService
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.churn.circle import Silent
from tests.analytics.snapshots import Proofs
from tests.callers import admin

CALLER = admin()


class Product:
    """Analytics of a circle.

    Args:
        postgres: The system of record.
        warehouse: The analytics copy; its options say how many threads of the engine background work may use.
    """

    def __init__(self, postgres: Postgres, warehouse: Warehouse) -> None:
        self.postgres, self.warehouse, self.clock = postgres, warehouse, ManualClock(asked.NOW)
        proofs, tokens = Proofs(), PageTokens(bytes(32))
        proofs.known_up_to = asked.CUTOFF
        operations = OperationsService(postgres, OperationsRepository(postgres), tokens, self.clock, 0.01)
        self.analytics = compose_analytics(
            postgres, warehouse, ZONE, proofs, proofs, operations, tokens, self.clock, CollectorRegistry()
        )
        self._known = ChurnWarehouse(warehouse, ZONE)

    async def snapshot(self, business_id: UUID | None = None) -> None:
        """Computes and publishes a snapshot: what a worker does with the operation."""
        wanted = NewSnapshot(business_id, asked.CUTOFF, asked.WINDOW_DAYS, uuid4())
        operation = await self.analytics.snapshots.create(CALLER, wanted)
        if not isinstance(operation, Operation):
            raise TypeError("the operations of this product are operations")
        self.clock.advance(timedelta(milliseconds=1))
        await self.analytics.work[KIND](operation.parameters, Silent())

    async def member_count(self) -> int:
        """Returns how many members bought anything that the circle's analytics may know."""
        # How many members bought anywhere but at a sensitive business?
        sql = "SELECT uniqExact(member_id) FROM purchases WHERE kind = 'purchase' AND sensitive = 0"
        count: int = (await self.warehouse.query(sql))[0][0]
        return count

    async def features(self) -> None:
        """Reads what models know of every member, block by block, and holds one block at a time."""
        await self._features(keep=False)

    async def train(self) -> UUID:
        """Trains a model on the usual windows and keeps it; returns its id."""
        model_id = uuid7(self.clock.now())
        parameters: dict[str, Any] = {
            "churn_model_id": str(model_id),
            "business_id": None,
            "horizon_days": asked.HORIZON_DAYS,
            "population_days": 0,
            "test_cutoff_time": None,
            "training_cutoff_times": [],
            "watermark": asked.CUTOFF.isoformat(),
        }
        await self.analytics.work[training.KIND](parameters, Silent())
        return model_id

    async def score(self, model_id: UUID) -> None:
        """Scores every member by a model and publishes the scoring."""
        parameters = {
            "scoring_id": str(uuid7(self.clock.now())),
            "churn_model_id": str(model_id),
            "business_id": None,
            "cutoff_time": asked.CUTOFF.isoformat(),
            "watermark": asked.CUTOFF.isoformat(),
        }
        self.clock.advance(timedelta(milliseconds=1))
        await self.analytics.work[scoring.KIND](parameters, Silent())

    async def cold_dashboard(self, business_id: UUID | None = None) -> Any:
        """Returns a dashboard that nothing is remembered for."""
        forgetful = compose_dashboards(self.postgres, self.warehouse, ZONE, self.clock)
        return await forgetful.dashboards.get(CALLER, _dashboard(business_id))

    async def cached_dashboard(self, business_id: UUID | None = None) -> None:
        """Asks for a dashboard that is remembered from the second time on."""
        await self.analytics.dashboards.dashboards.get(CALLER, _dashboard(business_id))

    async def cohorts(self, business_id: UUID | None = None) -> Any:
        """Returns twelve monthly cohorts."""
        months = AskedMonths(asked.FIRST_MONTH, asked.LAST_MONTH)
        return await self.analytics.dashboards.cohorts.get(CALLER, business_id, months)

    async def matrix(self) -> Any:
        """Returns the matrix of a year."""
        days = AskedDays(asked.MATRIX_FIRST_DAY, asked.MATRIX_END_DAY)
        return await self.analytics.dashboards.matrix.get(CALLER, AskedMatrix(None, days, asked.WITHIN_DAYS))

    async def snapshot_figures(self) -> asked.Places:
        """Returns the members of the latest snapshot, as its list shows them."""
        # Who is where in the latest snapshot?
        rows = await self.warehouse.query(
            "SELECT member_id, segment, recency_days, purchase_count, net_spend_minor, recency_score,"
            " frequency_score, monetary_score FROM snapshot_members WHERE build_id = {build_id:UUID}",
            {"build_id": await self._latest_build()},
        )
        return {row[0]: tuple(int(value) for value in row[1:]) for row in rows}

    async def feature_figures(self) -> asked.Features:
        """Returns what models know of every member."""
        return np.vstack(await self._features(keep=True))

    async def dashboard_figures(self) -> asked.Dashboard:
        """Returns a dashboard's figures."""
        found = (await self.cold_dashboard()).dashboard
        days = {day.day: (day.sales.net_revenue_minor, day.sales.purchase_count, day.active) for day in found.by_day}
        sold_on = {day: figures for day, figures in days.items() if any(figures)}
        return _period(found.period), _period(found.previous), sold_on

    async def cohort_figures(self) -> asked.Cohorts:
        """Returns the cohorts' figures, those of months without anything left out."""
        return {
            (cohort.month.number, cohort.month.plus(later).number): (active, net)
            for cohort in (await self.cohorts()).cohorts
            for later, (active, net) in enumerate(zip(cohort.active, cohort.net_revenue_minor, strict=True))
            if active or net
        }

    async def way_figures(self) -> asked.Ways:
        """Returns how many members went from where to where."""
        cells = (await self.matrix()).cells
        return {(cell.from_business_id.int, cell.to_business_id.int): cell.member_count for cell in cells}

    async def _features(self, *, keep: bool) -> list[asked.Features]:
        scope = await self._known.scope(None, asked.CUTOFF)
        count = await self._known.member_count(scope, asked.CUTOFF)
        kept = []
        for block in blocks(count // BLOCK_MEMBERS + 1):
            table = await self._known.scoring_block(scope, asked.CUTOFF, asked.HORIZON_DAYS, 0, block, None)
            if keep:
                columns = [table[name].to_numpy() for name in (*RAW, "net_spend_minor")]
                kept.append(np.column_stack(columns).astype(np.float64))
        return kept

    async def _latest_build(self) -> UUID:
        async with self.postgres.read() as connection:
            # Which rows are those of the snapshot that was published last?
            found: UUID = await connection.fetchval(
                "SELECT build_id FROM snapshots WHERE publish_time IS NOT NULL ORDER BY id DESC LIMIT 1"
            )
        return found


def _dashboard(business_id: UUID | None) -> Asked:
    return Asked(business_id, AskedDays(asked.FIRST_DAY, asked.END_DAY))


def _period(figures: PeriodFigures | None) -> tuple[int, ...]:
    if figures is None:
        raise LookupError("the benchmark keeps all history")
    sales, buyers = figures.sales, figures.buyers
    return (
        sales.net_revenue_minor,
        sales.gross_revenue_minor,
        sales.purchase_count,
        buyers.active,
        buyers.new,
        buyers.returning or 0,
        buyers.lost or 0,
        buyers.repeat,
    )
