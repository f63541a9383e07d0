"""Builds dashboards from what they stand on; analytics' composition calls it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from svoykrug_server.analytics.dashboards.cache import DashboardCache
from svoykrug_server.analytics.dashboards.calendar import CircleCalendar
from svoykrug_server.analytics.dashboards.changes import Changes
from svoykrug_server.analytics.dashboards.cohorts import CohortService
from svoykrug_server.analytics.dashboards.matrix import MatrixService
from svoykrug_server.analytics.dashboards.repository import DashboardRepository
from svoykrug_server.analytics.dashboards.service import DashboardService
from svoykrug_server.analytics.dashboards.warehouse import DashboardWarehouse
from svoykrug_server.analytics.dashboards.watchers import Watchers
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.kit.clock import Clock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Dashboards:
    """Dashboards, ready to be served.

    Attributes:
        dashboards: The use cases of dashboards.
        cohorts: The use case of cohorts.
        matrix: The use case of the cross-business matrix.
        shipped: To be called when the relay of this process has shipped a batch.
        follow: The job that looks what other processes shipped.
    """

    dashboards: DashboardService
    cohorts: CohortService
    matrix: MatrixService
    shipped: Callable[[], None]
    follow: Callable[[], Awaitable[None]]


def compose_dashboards(postgres: Postgres, warehouse: Warehouse, zone: ZoneInfo, clock: Clock) -> Dashboards:
    """Builds the use cases and the job.

    Args:
        postgres: The system of record.
        warehouse: The analytics copy.
        zone: The circle's time zone.
        clock: Tells the time.
    """
    calendar, repository = CircleCalendar(zone, clock), DashboardRepository(postgres)
    rows, changes, history = DashboardWarehouse(warehouse, calendar), Changes(repository), KeptHistory(postgres, zone)
    return Dashboards(
        dashboards=DashboardService(repository, rows, calendar, history, changes, DashboardCache(), Watchers()),
        cohorts=CohortService(repository, rows, calendar, history),
        matrix=MatrixService(repository, rows, calendar, history),
        shipped=changes.shipped,
        follow=changes.run,
    )
