"""The server's edge refuses in a way that the client's transport understands."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry
from svoykrug import errors
from svoykrug.auth.v1.auth_service_pb2 import GetJwksRequest, GetJwksResponse, StartSignInRequest, StartSignInResponse
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceServicer, add_AuthServiceServicer_to_server

from svoykrug_client import Client
from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.server import RpcServer
from tests.serving import TokenTable

Context = grpc.aio.ServicerContext[Any, Any]


class Recovering(AuthServiceServicer):
    """Its store is away at first.

    Attributes:
        failures_left: How many calls fail still.
        calls: How many calls arrived.
    """

    failures_left = 2
    calls = 0

    def _arrive(self) -> None:
        self.calls += 1
        if self.failures_left:
            self.failures_left -= 1
            raise StoreUnavailable

    async def GetJwks(self, _request: GetJwksRequest, _context: Context) -> GetJwksResponse:  # noqa: N802  # gRPC's name
        """Fails at first, then answers."""
        self._arrive()
        return GetJwksResponse()

    async def StartSignIn(  # noqa: N802  # gRPC's name
        self, _request: StartSignInRequest, _context: Context
    ) -> StartSignInResponse:
        """Fails at first, then answers."""
        self._arrive()
        return StartSignInResponse()


@pytest.fixture
def servicer() -> Recovering:
    return Recovering()  # type: ignore[abstract]  # the other methods stay UNIMPLEMENTED


@pytest.fixture
async def edge_client(servicer: Recovering) -> AsyncIterator[Client]:
    """A client of the servicer behind the real edge."""
    server = RpcServer(RpcOptions(listen=("127.0.0.1:0",), grace_seconds=1), TokenTable(), CollectorRegistry())
    add_AuthServiceServicer_to_server(servicer, server.methods)
    await server.start()
    async with Client(server.addresses[0], insecure=True) as client:
        yield client
    await server.stop()


async def test_a_store_that_comes_back_is_not_noticed_by_callers_of_idempotent_methods(
    edge_client: Client, servicer: Recovering
) -> None:
    await edge_client.auth.GetJwks(GetJwksRequest())
    assert servicer.calls == 3


async def test_other_calls_are_refused_once_with_the_time_to_wait(edge_client: Client, servicer: Recovering) -> None:
    with pytest.raises(errors.StoreUnavailable) as caught:
        await edge_client.auth.StartSignIn(StartSignInRequest(phone="+79991234567"))
    assert caught.value.retry_after is not None
    assert caught.value.request_id
    assert servicer.calls == 1
