"""gRPC-Web and CORS, byte by byte with curl: what a browser sends and reads."""

import struct

import pytest
from svoykrug.users.v1.users_service_pb2 import ExportMeRequest, ExportMeResponse, GetMeRequest, GetMeResponse

from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.gateway.curl import Answer, curl
from tests.gateway.front import Front, front_of

USERS = "/svoykrug.users.v1.UsersService"
TRAILERS = 0x80
LOCAL = "http://localhost:5173"
APP = "https://app.example"


def frame(message: bytes) -> bytes:
    """Returns a message as gRPC-Web sends it."""
    return struct.pack(">BI", 0, len(message)) + message


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """Returns the flags and the content of each frame."""
    found = []
    while body:
        flags, length = struct.unpack_from(">BI", body)
        found.append((flags, body[5 : 5 + length]))
        body = body[5 + length :]
    return found


async def grpc_web(front: Front, method: str, message: bytes, token: str, *options: str) -> Answer:
    """Calls a method as a browser does."""
    headers = ("--header", "content-type: application/grpc-web+proto", "--header", "x-grpc-web: 1")
    sent = ("--data-binary", "@-", *headers, *options)
    return await curl(front.at(f"{USERS}/{method}"), *sent, token=token, send=frame(message))


async def test_a_unary_call_answers_with_a_message_and_trailers(front: Front) -> None:
    person = await front.circle.sign_in("+79991234567")
    answer = await grpc_web(front, "GetMe", GetMeRequest().SerializeToString(), person.tokens.access_token)
    (message_flags, message), (trailer_flags, trailers) = frames(answer.body)
    assert (message_flags, trailer_flags) == (0, TRAILERS)
    assert GetMeResponse.FromString(message).user.id == person.user_id
    assert b"grpc-status:0\r\n" in trailers.replace(b" ", b"")


async def test_a_server_stream_arrives_message_by_message(front: Front) -> None:
    person = await front.circle.sign_in("+79991234567")
    answer = await grpc_web(front, "ExportMe", ExportMeRequest().SerializeToString(), person.tokens.access_token)
    *messages, (trailer_flags, _) = frames(answer.body)
    assert trailer_flags == TRAILERS
    tables = {row.table for _, message in messages for row in ExportMeResponse.FromString(message).rows}
    assert {"users", "audit_events"} <= tables


async def test_a_refusal_carries_its_details_where_a_browser_may_read_them(front: Front) -> None:
    answer = await grpc_web(front, "GetMe", b"", "", "--header", f"origin: {LOCAL}")
    assert answer.headers["grpc-status"] == ["16"]
    exposed = answer.headers["access-control-expose-headers"][0].split(", ")
    assert {"grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id"} <= set(exposed)
    assert answer.headers["grpc-status-details-bin"]
    assert answer.headers["access-control-allow-origin"] == [LOCAL]


async def preflight(front: Front, origin: str) -> list[str]:
    """Returns the origin that is told to be allowed, when one is."""
    asked = ("--header", "access-control-request-method: PATCH", "--header", f"origin: {origin}")
    answer = await curl(front.at("/v1/users/me"), "--request", "OPTIONS", *asked)
    assert answer.status == 200
    allowed = set(answer.headers["access-control-allow-headers"][0].split(", "))
    assert {"authorization", "content-type", "x-grpc-web", "grpc-timeout", "x-client-version"} <= allowed
    return answer.headers.get("access-control-allow-origin", [])


@pytest.mark.parametrize("origin", [LOCAL, "http://127.0.0.1:3000", "https://localhost"])
async def test_on_loopback_pages_of_this_machine_may_call(front: Front, origin: str) -> None:
    assert await preflight(front, origin) == [origin]


@pytest.mark.parametrize("origin", [APP, "http://localhost.evil.example", "http://evil.example/localhost", "null"])
async def test_pages_of_other_sites_may_not(front: Front, origin: str) -> None:
    assert await preflight(front, origin) == []


async def test_a_site_that_the_settings_name_may_call_and_no_other(postgres: Postgres, warehouse: Warehouse) -> None:
    async with front_of(postgres, warehouse, gateway_origins=(APP,)) as front:
        assert await preflight(front, APP) == [APP]
        assert await preflight(front, f"{APP}.evil.example") == []
