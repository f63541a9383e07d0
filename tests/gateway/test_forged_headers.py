"""Forged `x-forwarded-for` through a real Envoy, and past it: a caller chooses her address with neither."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from svoykrug.auth.v1 import auth_service_pb2 as auth_pb
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceStub

from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.e2e.running import Running, running
from tests.gateway.envoy import PROXY_ADDRESS, envoy_before
from tests.rpc.rich import RichError

FORGED = (
    "203.0.113.9",
    "203.0.113.9, 198.51.100.7",
    PROXY_ADDRESS,
    f"203.0.113.9, {PROXY_ADDRESS}",
    f"{PROXY_ADDRESS}, {PROXY_ADDRESS}",
    "2001:db8::1",
    "::ffff:203.0.113.9",
    "unknown",
    "203.0.113.9, , ,",
)
SENDS = 4


@dataclass(frozen=True, slots=True)
class Front:
    """A server behind Envoy, and both ways to it.

    Attributes:
        server: The server, which trusts Envoy.
        through: A channel through Envoy.
    """

    server: Running
    through: grpc.aio.Channel


@pytest.fixture
async def front(postgres: Postgres, warehouse: Warehouse, unused_tcp_port: int) -> AsyncIterator[Front]:
    """The whole server behind Envoy, which takes calls."""
    limits: dict[str, Any] = {"code_sends_per_address_hour": SENDS, "code_sends_per_doubtful_address_hour": SENDS}
    async with (
        running(postgres, warehouse, trusted_proxies=(f"{PROXY_ADDRESS}/32",), **limits) as server,
        envoy_before(server.circle.target, unused_tcp_port) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        async with asyncio.timeout(30):
            await channel.channel_ready()
        yield Front(server, channel)


async def sent_through(channel: grpc.aio.Channel) -> int:
    """Asks for codes from as many addresses as can be claimed, and returns how many were sent; the rest is refused."""
    stub, refusals = AuthServiceStub(channel), []
    for number, forged in enumerate(FORGED):
        request = auth_pb.StartSignInRequest(phone=f"+7999777{number:04}")
        try:
            await stub.StartSignIn(request, metadata=(("x-forwarded-for", forged), ("x-forwarded-for", forged)))
        except grpc.aio.AioRpcError as error:
            refusals.append(RichError.of(error).reason)
    assert set(refusals) == {"SIGN_IN_LIMITED"}
    return len(FORGED) - len(refusals)


async def test_whatever_a_caller_claims_envoy_and_server_know_her_address(front: Front, postgres: Postgres) -> None:
    assert await sent_through(front.through) == SENDS
    async with postgres.read() as connection:
        rows = await connection.fetch("SELECT DISTINCT address FROM auth_code_sends")
    # Envoy names this machine by its own address, and not by loopback.
    [address] = [row["address"] for row in rows]
    assert address not in ", ".join(FORGED)


async def test_a_caller_who_goes_past_envoy_is_no_proxy(front: Front) -> None:
    assert await sent_through(front.server.circle.channel) == SENDS
