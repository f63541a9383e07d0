"""Fixtures of tests of analytics."""

import pytest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.snapshots import Analytics


@pytest.fixture
async def analytics(postgres: Postgres, warehouse: Warehouse, clock: ManualClock) -> Analytics:
    """Snapshots on fresh stores, for a circle of five businesses."""
    circle = Analytics(postgres, warehouse, clock)
    await circle.open_businesses()
    return circle
