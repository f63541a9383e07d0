"""Fixtures of tests of analytics."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from svoykrug.analytics.v1.analytics_service_pb2_grpc import add_AnalyticsServiceServicer_to_server

from svoykrug_server.analytics.scopes import Scopes
from svoykrug_server.analytics.servicer import AnalyticsServicer
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.operations.convert import operation_to_proto
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.snapshots import Analytics
from tests.serving import Served, serving


@pytest.fixture
async def analytics(postgres: Postgres, warehouse: Warehouse, clock: ManualClock) -> Analytics:
    """Snapshots on fresh stores, for a circle of five businesses."""
    circle = Analytics(postgres, warehouse, clock)
    await circle.open_businesses()
    return circle


@pytest.fixture
async def served(analytics: Analytics) -> AsyncIterator[Served]:
    """A server that answers of snapshots and members."""
    elsewhere = cast("Any", None)  # freshness, churn and dashboards have tests of their own
    scopes = Scopes(analytics.repository)
    servicer = AnalyticsServicer(
        analytics.service, analytics.insight, scopes, operation_to_proto, elsewhere, elsewhere, elsewhere
    )
    async with serving(lambda server: add_AnalyticsServiceServicer_to_server(servicer, server)) as running:
        yield running
