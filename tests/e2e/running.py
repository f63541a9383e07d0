"""The whole server in the test's process, on fresh stores and a free port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from prometheus_client import CollectorRegistry

from svoykrug_server.app import compose
from svoykrug_server.auth.codes import Codes
from svoykrug_server.kit.clock import Clock, SystemClock
from svoykrug_server.kit.supervisor import Supervisor
from svoykrug_server.parts import Foundation
from svoykrug_server.rpc.server import RpcServer
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.secrets import Secrets
from svoykrug_server.storage.warehouse import Warehouse
from tests.auth.world import random_secrets
from tests.conftest import isolated_settings
from tests.e2e.circle import Circle


@dataclass(frozen=True, slots=True)
class Running:
    """A server that takes calls.

    Attributes:
        circle: A channel to it, and the people who use it.
        server: The server.
        foundation: What it stands on.
    """

    circle: Circle
    server: RpcServer
    foundation: Foundation


@asynccontextmanager
async def running(
    postgres: Postgres,
    warehouse: Warehouse,
    clock: Clock | None = None,
    secrets: Secrets | None = None,
    **settings: object,
) -> AsyncIterator[Running]:
    """Runs the whole server for one block.

    Args:
        postgres: The system of record.
        warehouse: The analytics copy.
        clock: Tells the server the time; the machine's by default.
        secrets: Those of the server before it on the same stores; new ones by default.
        settings: What differs from the default settings.
    """
    secrets, supervisor = secrets or random_secrets(), Supervisor()
    foundation = Foundation(
        settings=isolated_settings(**{"listen": ("127.0.0.1:0",), "drain_seconds": 0, "grace_seconds": 1, **settings}),
        clock=clock or SystemClock(),
        secrets=secrets,
        postgres=postgres,
        warehouse=warehouse,
        registry=CollectorRegistry(),
        supervisor=supervisor,
    )
    server = await compose(foundation)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
            yield Running(Circle(channel, Codes(secrets), server.addresses[0]), server, foundation)
    finally:
        await server.stop()
        await supervisor.stop()
