"""A dashboard watched on the whole server: a purchase is pushed, and the stream ends when it must."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from svoykrug.auth.v1 import auth_service_pb2

from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.dashboards.shop import Shop, next_of, open_shop
from tests.e2e.running import running
from tests.serving import refusal_of


@pytest.fixture
async def shop(postgres: Postgres, warehouse: Warehouse) -> AsyncIterator[Shop]:
    async with running(postgres, warehouse) as server:
        yield await open_shop(server)


async def test_a_purchase_is_pushed_to_its_owner(shop: Shop) -> None:
    stream = shop.analytics.WatchDashboard(shop.watch_request(), metadata=shop.owner.metadata)
    assert (await next_of(stream)).dashboard.period.purchase_count == 0
    await shop.sell(1_000)
    async with asyncio.timeout(10):
        period = (await next_of(stream)).dashboard.period
    assert (period.purchase_count, period.net_revenue_minor) == (1, 1_000)
    stream.cancel()


async def test_a_stream_ends_with_its_session(shop: Shop) -> None:
    stream = shop.analytics.WatchDashboard(shop.watch_request(), metadata=shop.owner.metadata)
    await stream.read()
    await shop.running.circle.auth.SignOut(auth_service_pb2.SignOutRequest(), metadata=shop.owner.metadata)
    async with asyncio.timeout(10):
        refusal = await refusal_of(stream.read())
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "SESSION_REVOKED")


async def test_a_stopping_server_sends_its_watchers_elsewhere(shop: Shop) -> None:
    stream = shop.analytics.WatchDashboard(shop.watch_request(), metadata=shop.owner.metadata)
    await stream.read()
    stopping = asyncio.create_task(shop.running.server.stop())
    refusal = await refusal_of(stream.read())
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    await stopping
