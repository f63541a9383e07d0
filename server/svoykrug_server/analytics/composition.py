"""Builds analytics from what it stands on; `app.py` calls it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry

from svoykrug_server.analytics.build_rows import SNAPSHOT_MEMBERS, BuildRows
from svoykrug_server.analytics.churn.composition import Churn, compose_churn
from svoykrug_server.analytics.dashboards.composition import Dashboards, compose_dashboards
from svoykrug_server.analytics.insight import InsightService
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.ports import Disputes, Operations, Progress, Watermarks
from svoykrug_server.analytics.published_rows import PublishedRows
from svoykrug_server.analytics.repository import SnapshotRepository
from svoykrug_server.analytics.scheduled.jobs import AnalyticsJobs
from svoykrug_server.analytics.scheduled.repository import ScopeRepository
from svoykrug_server.analytics.scopes import Scopes
from svoykrug_server.analytics.service import SnapshotService
from svoykrug_server.analytics.snapshots import KIND, SnapshotBuilder
from svoykrug_server.analytics.warehouse import SnapshotWarehouse
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse

Work = Callable[[Mapping[str, Any], Progress], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Analytics:
    """Analytics, ready to be served.

    Attributes:
        snapshots: The use cases of snapshots.
        insight: What is known of one member.
        scopes: Reads which business a request names.
        churn: The use cases of churn.
        dashboards: The use cases of dashboards, cohorts and the cross-business matrix.
        jobs: What is done every night, week and month.
        work: The work functions of all operations of analytics, by kind.
    """

    snapshots: SnapshotService
    insight: InsightService
    scopes: Scopes
    churn: Churn
    dashboards: Dashboards
    jobs: AnalyticsJobs
    work: Mapping[str, Work]


def compose_analytics(
    postgres: Postgres,
    warehouse: Warehouse,
    zone: ZoneInfo,
    watermarks: Watermarks,
    disputes: Disputes,
    operations: Operations,
    page_tokens: PageTokens,
    clock: Clock,
    registry: CollectorRegistry,
) -> Analytics:
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
    repository, rows = SnapshotRepository(postgres), SnapshotWarehouse(warehouse, zone)
    published = PublishedRows(rows, BuildRows(warehouse, SNAPSHOT_MEMBERS))
    churn = compose_churn(postgres, warehouse, zone, watermarks, disputes, operations, page_tokens, clock, registry)
    kept = KeptHistory(postgres, zone)
    builder = SnapshotBuilder(repository, rows, disputes, kept, clock)
    snapshots = SnapshotService(postgres, repository, published, watermarks, kept, operations, page_tokens, clock)
    jobs = AnalyticsJobs(
        ScopeRepository(postgres), snapshots, churn.models, churn.risk, churn.repository, churn.grader, watermarks
    )
    return Analytics(
        snapshots=snapshots,
        insight=InsightService(repository, published, churn.risk, watermarks, kept, zone),
        scopes=Scopes(repository),
        churn=churn,
        dashboards=compose_dashboards(postgres, warehouse, zone, clock),
        jobs=jobs,
        work={KIND: builder.run, **churn.work},
    )
