"""What tells tests how far the warehouse is, and who asks."""

from svoykrug_server.analytics.freshness.repository import FreshnessRepository
from svoykrug_server.analytics.freshness.service import FreshnessService, Prover
from svoykrug_server.kit.paging import PageTokens
from tests.callers import service
from tests.purchases.circle import TIME_ZONE, Circle

READER = service("analytics.read")
"""A service that may read analytics."""


def freshness_of(circle: Circle, prover: Prover) -> FreshnessService:
    """Returns the service of a circle, which has this prove what is asked for."""
    return FreshnessService(
        circle.postgres, FreshnessRepository(TIME_ZONE), prover, PageTokens(bytes(32)), circle.clock
    )
