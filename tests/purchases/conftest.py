"""Fixtures of tests of purchases."""

import pytest

from svoykrug_server.analytics.freshness.service import FreshnessService
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.purchases.circle import Circle
from tests.purchases.freshness import freshness_of


@pytest.fixture
def circle(postgres: Postgres, warehouse: Warehouse, clock: ManualClock) -> Circle:
    """A circle on fresh stores, without businesses or members."""
    return Circle(postgres, warehouse, clock)


@pytest.fixture
def freshness(circle: Circle) -> FreshnessService:
    """What tells how far the warehouse of the circle is."""
    return freshness_of(circle, circle.reconciler)
