"""Builds remaking from what it stands on; `parts.py` calls it."""

from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry

from svoykrug_server.analytics.build_rows import CHURN_SCORES, SNAPSHOT_MEMBERS, BuildRows
from svoykrug_server.analytics.churn.composition import Churn
from svoykrug_server.analytics.churn.warehouse import ChurnWarehouse
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.ports import Disputes
from svoykrug_server.analytics.remaking.job import Remaking
from svoykrug_server.analytics.remaking.makers import ScoringMaker, SnapshotMaker
from svoykrug_server.analytics.remaking.metrics import RemakingMetrics
from svoykrug_server.analytics.remaking.model import Kind, Proof
from svoykrug_server.analytics.remaking.repository import RemakingRepository
from svoykrug_server.analytics.repository import SnapshotRepository
from svoykrug_server.analytics.warehouse import SnapshotWarehouse
from svoykrug_server.kit.clock import Clock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse


def compose_remaking(
    postgres: Postgres,
    warehouse: Warehouse,
    zone: ZoneInfo,
    churn: Churn,
    disputes: Disputes,
    proof: Proof,
    clock: Clock,
    registry: CollectorRegistry,
    interval_seconds: float,
) -> Remaking:
    """Builds the job.

    Args:
        postgres: The system of record.
        warehouse: The analytics copy.
        zone: The circle's time zone.
        churn: Computes scorings.
        disputes: Where the stores disagree.
        proof: Proves that the purchases are whole.
        clock: Tells the time.
        registry: Where metrics are registered.
        interval_seconds: How often it looks.
    """
    snapshots, kept = SnapshotRepository(postgres), KeptHistory(postgres, zone)
    scores = ChurnWarehouse(warehouse, zone)
    return Remaking(
        RemakingRepository(postgres),
        {Kind.SNAPSHOT: BuildRows(warehouse, SNAPSHOT_MEMBERS), Kind.SCORING: BuildRows(warehouse, CHURN_SCORES)},
        {
            Kind.SNAPSHOT: SnapshotMaker(snapshots, SnapshotWarehouse(warehouse, zone), kept),
            Kind.SCORING: ScoringMaker(churn.repository, churn.writer, scores, snapshots, kept),
        },
        disputes,
        proof,
        RemakingMetrics(registry),
        clock,
        interval_seconds,
    )
