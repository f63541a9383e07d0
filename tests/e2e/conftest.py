from collections.abc import AsyncIterator

import grpc
import pytest
from prometheus_client import CollectorRegistry

from svoykrug_server.app import Foundation, compose
from svoykrug_server.auth.codes import Codes
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.kit.supervisor import Supervisor
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.auth.world import random_secrets
from tests.conftest import isolated_settings
from tests.e2e.circle import Circle


@pytest.fixture
async def circle(postgres: Postgres, warehouse: Warehouse) -> AsyncIterator[Circle]:
    """The whole server on fresh stores, on a free port."""
    settings = isolated_settings(listen=("127.0.0.1:0",), drain_seconds=0, grace_seconds=1)
    secrets, supervisor = random_secrets(), Supervisor()
    foundation = Foundation(
        settings=settings,
        clock=SystemClock(),
        secrets=secrets,
        postgres=postgres,
        warehouse=warehouse,
        registry=CollectorRegistry(),
        supervisor=supervisor,
    )
    server = await compose(foundation)
    await server.start()
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        yield Circle(channel, Codes(secrets), server.addresses[0])
    await server.stop()
    await supervisor.stop()
