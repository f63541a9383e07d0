"""A circle with two snapshots."""

import pytest

from svoykrug_server.analytics.model import Snapshot
from tests.analytics.circles import ingest, random_circle
from tests.analytics.remaking.lost import EARLIER
from tests.analytics.snapshots import Analytics


@pytest.fixture
async def two(analytics: Analytics) -> tuple[Snapshot, Snapshot]:
    """Two snapshots of the circle, the earlier cutoff first."""
    await ingest(analytics.warehouse, random_circle(6))
    return await analytics.snapshot(cutoff=EARLIER), await analytics.snapshot()
