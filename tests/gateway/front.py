"""A server behind the real gateway, in the test's process: Envoy alone is a process of its own."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svoykrug_server.gateway.process import Gateway
from svoykrug_server.gateway.starting import find_envoy, open_gateway
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.conftest import isolated_settings
from tests.e2e.circle import Circle
from tests.e2e.running import Running, running
from tests.gateway.curl import Answer, curl


@dataclass(frozen=True, slots=True)
class Front:
    """A gateway and the server behind it.

    Attributes:
        server: The server.
        gateway: The gateway.
    """

    server: Running
    gateway: Gateway

    @property
    def circle(self) -> Circle:
        """The way past the gateway."""
        return self.server.circle

    def at(self, path: str) -> str:
        """Returns the address of a path."""
        return f"http://{self.gateway.address}{path}"

    async def call(self, verb: str, path: str, body: object = None, token: str = "") -> Answer:
        """Calls a method with JSON, by curl."""
        sent = ("--json", json.dumps(body)) if body is not None else ()
        return await curl(self.at(path), *sent, "--request", verb, token=token)


def envoy() -> Path:
    """The Envoy of this machine: these tests are for machines that have one."""
    found = find_envoy(isolated_settings())
    assert found is not None
    return found


@asynccontextmanager
async def gateway_before(*servers: str, **settings: Any) -> AsyncIterator[Gateway]:
    """Runs the gateway for one block, on a free port.

    Args:
        servers: Where the servers listen.
        settings: What differs from the default settings.
    """
    chosen = isolated_settings(**{"gateway_listen": "127.0.0.1:0", "gateway_threads": 1, **settings})
    async with open_gateway(chosen, envoy(), servers) as gateway:
        yield gateway


@asynccontextmanager
async def front_of(postgres: Postgres, warehouse: Warehouse, **settings: Any) -> AsyncIterator[Front]:
    """Runs the whole server and its gateway for one block."""
    async with (
        running(postgres, warehouse, **settings) as server,
        gateway_before(server.circle.target, **settings) as gateway,
    ):
        yield Front(server, gateway)
