"""Circles for tests of churn: simulated buyers, Complete Journey, and a circle's churn on real stores."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from prometheus_client import CollectorRegistry

from svoykrug_server.analytics.churn.composition import Churn, compose_churn
from svoykrug_server.analytics.churn.model import ChurnModel
from svoykrug_server.analytics.churn.repository import ChurnRepository
from svoykrug_server.analytics.churn.risk import NewScoring
from svoykrug_server.analytics.churn.service import NewModel
from svoykrug_server.analytics.churn.warehouse import ChurnWarehouse
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.operations.model import Operation
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.runner import OperationRunner, RunnerOptions
from svoykrug_server.operations.service import OperationsService
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.circles import MICROSECONDS, WATERMARK, Entry, ingest
from tests.analytics.snapshots import Proofs
from tests.callers import CallBy, admin

if TYPE_CHECKING:
    import pandas as pd

ZONE = ZoneInfo("UTC")
TEST_CUTOFF = datetime(2026, 4, 1, tzinfo=UTC)
HORIZON_DAYS = 28
IN_TIME = timedelta(hours=3)
"""How long after its cutoff a scoring is a forecast: a night's usual run."""
OPTIONS = RunnerOptions(poll_seconds=0.02, heartbeat_seconds=0.2, lease_seconds=30.0, max_attempts=2)


class Silent:
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:
        """Remembers the stage."""
        assert 0 <= percent <= 100
        assert rows_done >= 0
        self.stages.append(stage)


class Circle:
    """A circle's churn on real stores."""

    def __init__(self, postgres: Postgres, warehouse: Warehouse, clock: ManualClock) -> None:
        self.postgres, self.warehouse, self.clock = postgres, warehouse, clock
        self.proofs, self.registry, self.scoring_count = Proofs(), CollectorRegistry(), 0
        tokens = PageTokens(bytes(32))
        self.operations = OperationsService(postgres, OperationsRepository(postgres), tokens, clock, 0.01)
        self.repository = ChurnRepository(postgres)
        self.known = ChurnWarehouse(warehouse, ZONE)
        self.churn: Churn = compose_churn(
            postgres, warehouse, ZONE, self.proofs, self.proofs, self.operations, tokens, clock, self.registry
        )
        self.runner = OperationRunner(OperationsRepository(postgres), self.churn.work, clock, OPTIONS)

    async def finished(self, operation: object) -> Operation:
        """Runs the one operation that waits and returns it as it ended."""
        assert isinstance(operation, Operation)
        self.clock.advance(timedelta(seconds=1))
        assert await self.runner.run_one()
        return await self.operations.get(admin(), operation.id)

    async def trained(self, asked: NewModel | None = None) -> ChurnModel:
        """Trains a model the whole way and returns it."""
        operation = await self.finished(await self.churn.models.train(admin(), asked or new_model()))
        assert operation.result is not None, operation.failure
        business_id = None if asked is None else asked.business_id
        found = await self.repository.find_model(business_id, UUID(operation.result["churn_model_id"]))
        assert found is not None
        return found

    async def promoted(self) -> ChurnModel:
        """Trains and promotes a model."""
        model = await self.trained()
        return await self.churn.models.promote(CallBy(admin()), None, model.id)

    async def scored(self, cutoff: datetime = TEST_CUTOFF, after: timedelta = IN_TIME) -> UUID:
        """Scores the circle and returns the scoring's id.

        Args:
            cutoff: What may be known.
            after: How long after it; a second more each time, so that the later of two has the later id.
        """
        self.scoring_count += 1
        self.clock.set(cutoff + after + timedelta(seconds=self.scoring_count))
        operation = await self.finished(await self.churn.risk.score(admin(), NewScoring(None, cutoff, uuid4())))
        assert operation.result is not None, operation.failure
        return UUID(operation.result["scoring_id"])


def new_model(
    business_id: UUID | None = None,
    horizon_days: int = HORIZON_DAYS,
    test_cutoff: datetime | None = TEST_CUTOFF,
    training_cutoffs: Sequence[datetime] = (),
    population_days: int = 0,
) -> NewModel:
    """Asks for a model of the simulated circle."""
    return NewModel(business_id, horizon_days, test_cutoff, tuple(training_cutoffs), population_days, uuid4())


def simulated(members: int = 500, days: int = 330, seed: int = 7, business_id: UUID | None = None) -> pa.Table:
    """Returns purchases of buyers whose rates differ, who buy as regularly as a habit, and some of whom leave.

    BG/NBD takes purchases for random in time, so there is something for a model to find that it does not know. All were
    imported on one day after the last, so every cutoff replays history.
    """
    random = np.random.default_rng(seed)
    start = TEST_CUTOFF + timedelta(days=HORIZON_DAYS) - timedelta(days=days)
    member_ids: list[int] = []
    times: list[datetime] = []
    for member_id in random.integers(1, 2**63 - 1, members):
        usual_gap, leaving = random.lognormal(2.4, 0.8), random.beta(0.8, 12)
        day = random.uniform(0, days * 0.4)
        while day < days:
            member_ids.append(int(member_id))
            times.append(start + timedelta(days=float(day)))
            if random.random() < leaving:
                break
            day += usual_gap * random.gamma(3, 1 / 3)
    return purchases_table(member_ids, times, random.integers(100, 90_000, len(times)), business_id)


def purchases_table(
    member_ids: Sequence[int],
    times: "Sequence[datetime] | pd.Series[pd.Timestamp]",
    amounts_minor: "Sequence[int] | np.typing.NDArray[np.int64]",
    business_id: UUID | None = None,
    business_ids: Sequence[bytes] | None = None,
) -> pa.Table:
    """Returns the warehouse's rows of purchases that were all imported at the watermark less a day."""
    count = len(member_ids)
    ids = pa.array([number.to_bytes(16, "big") for number in range(1, count + 1)], pa.binary(16))
    one_business = (business_id or UUID(int=1)).bytes
    return pa.table(
        {
            "entry_id": ids,
            "purchase_id": ids,
            "business_id": pa.array(business_ids or [one_business] * count, pa.binary(16)),
            "member_id": pa.array(member_ids, pa.int64()),
            "kind": pa.array(["purchase"] * count),
            "amount_minor": pa.array(amounts_minor, pa.int64()),
            "currency": pa.array(["RUB"] * count),
            "purchase_time": pa.array(times, MICROSECONDS),
            "ingest_time": pa.array([WATERMARK - timedelta(days=1)] * count, MICROSECONDS),
            "sensitive": pa.array([0] * count, pa.uint8()),
            "batch_id": pa.array([1] * count, pa.int64()),
        }
    )


async def fill(warehouse: Warehouse, rows: pa.Table) -> None:
    """Puts purchases into the warehouse."""
    await warehouse.insert_arrow("purchases", rows, str(uuid4()))


async def fill_entries(warehouse: Warehouse, entries: Sequence[Entry]) -> None:
    """Puts single entries into the warehouse."""
    await ingest(warehouse, entries, batches=1)
