"""Builds churn from what it stands on; `app.py` calls it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry

from svoykrug_server.analytics.churn import scoring, training
from svoykrug_server.analytics.churn.drift_metrics import DriftMetrics
from svoykrug_server.analytics.churn.receipts import ForecastGrader
from svoykrug_server.analytics.churn.repository import ChurnRepository
from svoykrug_server.analytics.churn.risk import RiskService
from svoykrug_server.analytics.churn.scoring import MemberScorer, ScoreWriter
from svoykrug_server.analytics.churn.service import ModelService
from svoykrug_server.analytics.churn.stability_repository import StabilityRepository
from svoykrug_server.analytics.churn.starts import OperationStarts
from svoykrug_server.analytics.churn.training import ChurnTrainer
from svoykrug_server.analytics.churn.warehouse import ChurnWarehouse
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.ports import Disputes, Operations, Progress, Watermarks
from svoykrug_server.analytics.repository import SnapshotRepository
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse

Work = Callable[[Mapping[str, Any], Progress], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Churn:
    """Churn, ready to be served.

    Attributes:
        models: The use cases of models.
        risk: The use cases of scores; it also is the `ChurnScores` of member insight.
        grader: Grades the forecasts whose horizon has closed.
        repository: Models, scorings and receipts.
        writer: Computes the rows of scorings.
        work: The work functions of its operations, by kind.
    """

    models: ModelService
    risk: RiskService
    grader: ForecastGrader
    repository: ChurnRepository
    writer: ScoreWriter
    work: Mapping[str, Work]


def compose_churn(
    postgres: Postgres,
    warehouse: Warehouse,
    zone: ZoneInfo,
    watermarks: Watermarks,
    disputes: Disputes,
    operations: Operations,
    page_tokens: PageTokens,
    clock: Clock,
    registry: CollectorRegistry,
) -> Churn:
    """Builds the use cases and the work functions.

    Args:
        postgres: The system of record.
        warehouse: The analytics copy.
        zone: The circle's time zone.
        watermarks: How far the warehouse is.
        disputes: Where the stores disagree.
        operations: Starts long work.
        page_tokens: Makes and reads page tokens.
        clock: Tells the time.
        registry: Where metrics are registered.
    """
    repository, snapshots = ChurnRepository(postgres), SnapshotRepository(postgres)
    known = ChurnWarehouse(warehouse, zone)
    kept = KeptHistory(postgres, zone)
    trainer = ChurnTrainer(repository, known, disputes, kept, clock)
    grader = ForecastGrader(repository, known, disputes, kept, clock)
    stability = StabilityRepository(postgres)
    writer = ScoreWriter(repository, known, clock)
    scorer = MemberScorer(
        repository, writer, known, snapshots, grader, disputes, kept, stability, DriftMetrics(registry), clock
    )
    starts = OperationStarts(postgres, operations, watermarks, clock)
    return Churn(
        models=ModelService(postgres, repository, trainer, starts, page_tokens, clock),
        risk=RiskService(repository, known, snapshots, starts, watermarks, page_tokens, clock),
        grader=grader,
        repository=repository,
        writer=writer,
        work={training.KIND: trainer.run, scoring.KIND: scorer.run},
    )
