"""Fixtures of tests of churn."""

import pytest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.churn.circle import Circle


@pytest.fixture
def circle(postgres: Postgres, warehouse: Warehouse, clock: ManualClock) -> Circle:
    """A circle's churn on fresh stores; it holds nothing yet."""
    return Circle(postgres, warehouse, clock)
