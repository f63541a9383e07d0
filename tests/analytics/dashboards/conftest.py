"""Fixtures of tests of dashboards."""

import pytest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.dashboards.world import Dashboards


@pytest.fixture
async def dashboards(postgres: Postgres, warehouse: Warehouse, clock: ManualClock) -> Dashboards:
    """Dashboards on fresh stores."""
    circle = Dashboards(postgres, warehouse, clock)
    await circle.open_businesses()
    return circle
