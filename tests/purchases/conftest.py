"""Fixtures of tests of purchases."""

import pytest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.purchases.circle import Circle


@pytest.fixture
def circle(postgres: Postgres, warehouse: Warehouse, clock: ManualClock) -> Circle:
    """A circle on fresh stores, without businesses or members."""
    return Circle(postgres, warehouse, clock)
