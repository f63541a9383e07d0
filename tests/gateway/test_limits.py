"""What no caller may do to the gateway: send too much, hold on too long, open too many connections."""

import asyncio
import time

import grpc
import pytest
from svoykrug.users.v1.users_service_pb2 import GetMeRequest
from svoykrug.users.v1.users_service_pb2_grpc import UsersServiceStub

from svoykrug_server.gateway import configuration
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.gateway.curl import curl
from tests.gateway.front import Front, front_of, gateway_before

START = b"POST /v1/auth/sign-in:start HTTP/1.1\r\nhost: gateway\r\n"
MEGABYTE = 1024 * 1024


async def left_waiting(address: str, sent: bytes) -> bytes:
    """Sends a part of a request, and returns what is said once the gateway has waited long enough."""
    reader, writer = await asyncio.open_connection(*address.rsplit(":", 1))
    writer.write(sent)
    async with asyncio.timeout(20):
        said = await reader.read()
    writer.close()
    return said


async def test_a_body_that_no_method_could_take_is_refused(postgres: Postgres, warehouse: Warehouse) -> None:
    async with front_of(postgres, warehouse, max_message_bytes=MEGABYTE) as front:
        huge = b'{"phone": "' + b"9" * 8 * MEGABYTE + b'"}'
        refused = await curl(front.at("/v1/auth/sign-in:start"), "--data-binary", "@-", send=huge)
        assert (refused.status, refused.reason) == (413, "INVALID_FIELDS")


async def test_a_body_as_large_as_a_message_may_be_passes(front: Front) -> None:
    large = b'{"user_ids": ["' + b"9" * 3 * MEGABYTE + b'"]}'
    refused = await curl(front.at("/v1/users:batch-get"), "--data-binary", "@-", send=large)
    assert (refused.status, refused.reason) == (401, "TOKEN_MISSING")


async def test_headers_that_are_too_large_are_refused(front: Front) -> None:
    refused = await curl(front.at("/v1/users/me"), "--header", f"x-long: {'a' * 20_000}")
    assert (refused.status, refused.reason) == (431, "INVALID_FIELDS")


async def test_headers_that_do_not_come_end_the_connection(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "HEADERS_SECONDS", 1)
    async with gateway_before(front.circle.target) as gateway:
        assert b" 408 " in (await left_waiting(gateway.address, START)).partition(b"\r\n")[0]


async def test_a_body_that_stops_coming_ends_the_call(front: Front) -> None:
    async with gateway_before(front.circle.target, gateway_stream_idle_seconds=0.5) as gateway:
        said = await left_waiting(gateway.address, START + b"content-length: 100\r\n\r\n{")
        assert b" 408 " in said.partition(b"\r\n")[0]


async def test_connections_beyond_the_limit_are_closed_and_the_others_go_on(front: Front) -> None:
    async with gateway_before(front.circle.target, gateway_max_connections=3) as gateway:
        host, port = gateway.address.split(":")
        held = [await asyncio.open_connection(host, port) for _ in range(3)]
        refused = await curl(f"http://{gateway.address}/readyz")
        assert refused.status == 0
        reader, writer = held[0]
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        for _, writer in held:
            writer.close()


async def test_a_call_ends_at_its_deadline_though_no_server_answers(unused_tcp_port: int) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with (
        await asyncio.start_server(silent, "127.0.0.1", unused_tcp_port),
        gateway_before(f"127.0.0.1:{unused_tcp_port}") as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        started = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await UsersServiceStub(channel).GetMe(GetMeRequest(), timeout=1)
        assert refused.value.code() in {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
        assert time.monotonic() - started < 3
        answer = await curl(f"http://{gateway.address}/v1/users/me", "--header", "grpc-timeout: 1S")
        assert answer.status in {503, 504}
        assert answer.reason in {"DEADLINE_EXCEEDED", "STORE_UNAVAILABLE"}
