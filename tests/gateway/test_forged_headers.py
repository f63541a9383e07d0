"""Forged `x-forwarded-for` through a real Envoy, and past it: a caller chooses her address with neither."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from svoykrug.auth.v1 import auth_service_pb2 as auth_pb
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceStub

from svoykrug_server.gateway import process
from svoykrug_server.gateway.configuration import configuration
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.gateway.front import Front, front_of
from tests.rpc.rich import RichError

PROXY_ADDRESS = "127.0.0.2"
"""Where Envoy calls the server from, so that the server can tell it from Envoy's own callers, who are 127.0.0.1."""
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


@pytest.fixture
async def front(postgres: Postgres, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Front]:
    """The whole server behind a gateway that has an address of its own, which the server trusts."""

    def with_address(*arguments: Any) -> dict[str, Any]:
        made = configuration(*arguments)
        source = {"source_address": {"address": PROXY_ADDRESS, "port_value": 0}}
        made["static_resources"]["clusters"][0]["upstream_bind_config"] = source
        return made

    monkeypatch.setattr(process, "configuration", with_address)
    limits: dict[str, Any] = {"code_sends_per_address_hour": SENDS, "code_sends_per_doubtful_address_hour": SENDS}
    async with front_of(postgres, warehouse, trusted_proxies=(f"{PROXY_ADDRESS}/32",), **limits) as started:
        yield started


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
    async with grpc.aio.insecure_channel(front.gateway.address) as channel:
        assert await sent_through(channel) == SENDS
    async with postgres.read() as connection:
        rows = await connection.fetch("SELECT DISTINCT address FROM auth_code_sends")
    # Envoy names this machine by its own address, and not by loopback.
    [address] = [row["address"] for row in rows]
    assert address not in ", ".join(FORGED)


async def test_a_caller_who_goes_past_envoy_is_no_proxy(front: Front) -> None:
    assert await sent_through(front.circle.channel) == SENDS
