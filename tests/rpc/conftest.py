"""A real server of the probe service for every test of the edge, on a free port."""

import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import Unauthenticated
from svoykrug_server.rpc.logs import configure_logging
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.server import RpcServer
from tests.rpc.probe import Servicer, Stub, add_service


class TokenTable:
    """Verifies tokens by a table; anything else is invalid."""

    def __init__(self) -> None:
        self.callers: dict[str, Caller] = {}

    async def verify(self, token: str) -> Caller:
        """Returns whose token it is."""
        if token not in self.callers:
            raise Unauthenticated("TOKEN_INVALID")
        return self.callers[token]

    def sign_in(self, caller: Caller) -> tuple[tuple[str, str], ...]:
        """Returns the metadata of a caller's calls."""
        self.callers[caller.token_id] = caller
        return (("authorization", f"Bearer {caller.token_id}"),)


@dataclass(frozen=True, slots=True)
class Edge:
    """A running server of the probe service, and a client of it."""

    server: RpcServer
    stub: Stub
    registry: CollectorRegistry

    def metrics(self) -> str:
        """Returns what Prometheus would read."""
        return generate_latest(self.registry).decode()


StartEdge = Callable[..., Awaitable[Edge]]


@pytest.fixture
def tokens() -> TokenTable:
    """Who holds which token."""
    return TokenTable()


@pytest.fixture
async def start_edge(tokens: TokenTable) -> AsyncIterator[StartEdge]:
    """Starts servers; they are stopped when the test ends."""
    async with AsyncExitStack() as closing:

        async def start(servicer: Servicer | None = None, **options: Any) -> Edge:
            registry = CollectorRegistry()
            server = RpcServer(replace(RpcOptions(listen=("127.0.0.1:0",)), **options), tokens, registry)
            add_service(server.methods, servicer or {})
            await server.start()
            closing.push_async_callback(server.stop)
            channel = grpc.aio.insecure_channel(server.addresses[0])
            await closing.enter_async_context(channel)
            return Edge(server, Stub(channel), registry)

        yield start


@pytest.fixture
async def edge(start_edge: StartEdge) -> Edge:
    """A server with every default, whose methods answer with their requests."""
    return await start_edge()


class LogLines:
    """What the server logged."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    @property
    def text(self) -> str:
        """Everything as it was written."""
        return self._stream.getvalue()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every line, decoded."""
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def log_lines() -> Iterator[LogLines]:
    """Captures the log as production writes it. Ask for it before the server."""
    stream = io.StringIO()
    configure_logging(human=False, level="DEBUG", stream=stream)
    yield LogLines(stream)
    structlog.reset_defaults()
