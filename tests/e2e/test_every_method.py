"""Every method of the whole server, found in the descriptors, under callers and bytes it did not ask for."""

import math
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from svoykrug_server.auth.composition import auth_options
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.rpc.access import rule_of
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.commands import GrantRole
from tests.conftest import isolated_settings
from tests.e2e.circle import Circle
from tests.rpc.rich import RichError

# Auth comes last: it signs out whoever calls it.
SERVICES = (
    "svoykrug.analytics.v1.AnalyticsService",
    "svoykrug.businesses.v1.BusinessesService",
    "svoykrug.operations.v1.OperationsService",
    "svoykrug.purchases.v1.PurchasesService",
    "svoykrug.users.v1.UsersService",
    "svoykrug.auth.v1.AuthAdminService",
    "svoykrug.auth.v1.AuthService",
)
GOOD = ("", str(UUID(int=7)), "+79990000003", "RUB", "Anna", "2026-11-01", "receipt-1")
HOSTILE = (
    "'; DROP TABLE users; --",
    "\u0000",
    "%s%n",
    "\u202e",
    "x" * 5000,
    "-1",
    "../../etc/passwd",
    "\r\nx-injected: 1",
    "🙈" * 50,
)
UNFORESEEN = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
Metadata = tuple[tuple[str, str], ...]


def every_method() -> Iterator[MethodDescriptor]:
    """Returns the methods of every service of ours."""
    for service in SERVICES:
        yield from descriptor_pool.Default().FindServiceByName(service).methods


async def answer_to(channel: grpc.aio.Channel, method: MethodDescriptor, raw: bytes, metadata: Metadata) -> Any:
    """Calls a method with bytes, reads its whole answer, and returns the error, or None when it succeeded."""
    proto = descriptor_pb2.MethodDescriptorProto()
    method.CopyToProto(proto)
    shape = f"{'stream' if proto.client_streaming else 'unary'}_{'stream' if proto.server_streaming else 'unary'}"
    call: Callable[..., Any] = getattr(channel, shape)(f"/{method.containing_service.full_name}/{method.name}")
    running = call(_once(raw) if proto.client_streaming else raw, metadata=metadata, timeout=20)
    try:
        if proto.server_streaming:
            async for _ in running:
                break
            running.cancel()
        else:
            await running
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def _once(raw: bytes) -> AsyncIterator[bytes]:
    yield raw


def filled(message: Message, rng: random.Random, depth: int = 0) -> Message:
    """Fills a message at random: hostile texts, extreme numbers, enum values that do not exist."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.2 or depth > 3:
            continue
        nested: Any = field.message_type
        if nested and nested.GetOptions().map_entry:
            continue
        if nested:
            child = getattr(message, field.name)
            filled(child.add() if field.is_repeated else child, rng, depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend([_value(field, rng)] * 2)
        else:
            setattr(message, field.name, _value(field, rng))
    return message


def _value(field: Any, rng: random.Random) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.randbytes(rng.choice((0, 1, 100)))
    extremes: dict[int, tuple[Any, ...]] = {
        FieldDescriptor.CPPTYPE_STRING: GOOD * 3 + HOSTILE,
        FieldDescriptor.CPPTYPE_BOOL: (True, False),
        FieldDescriptor.CPPTYPE_DOUBLE: (0.0, -1.0, math.nan, math.inf, 1e300),
        FieldDescriptor.CPPTYPE_FLOAT: (0.0, -1.0, math.nan, math.inf),
        FieldDescriptor.CPPTYPE_INT64: (0, 1, 100, -1, 2**63 - 1, -(2**63)),
        FieldDescriptor.CPPTYPE_UINT64: (0, 1, 2**64 - 1),
        FieldDescriptor.CPPTYPE_UINT32: (0, 1, 2**32 - 1),
        FieldDescriptor.CPPTYPE_INT32: (0, 1, 28, -1, 2**31 - 1),
        FieldDescriptor.CPPTYPE_ENUM: (0, 1, 2, 999),
    }
    return rng.choice(extremes[field.cpp_type])


@pytest.fixture
async def chiefs(circle: Circle, postgres: Postgres) -> Metadata:
    """What the superadmin calls with."""
    clock = SystemClock()
    ends = SessionEnds(auth_options(isolated_settings()).session, clock)
    await GrantRole(postgres, clock, ends)("+79990000001", Role.SUPERADMIN)
    return (await circle.sign_in("+79990000001")).metadata


async def test_without_a_token_only_public_methods_get_further(circle: Circle) -> None:
    for method in every_method():
        error = await answer_to(circle.channel, method, b"", ())
        reason = None if error is None else RichError.of(error).reason
        assert (reason == "TOKEN_MISSING") is not rule_of(method).public, method.full_name


async def test_a_member_is_refused_by_every_method_that_does_not_name_members(circle: Circle) -> None:
    hers = (await circle.sign_in("+79990000002")).metadata
    for method in every_method():
        rule = rule_of(method)
        if rule.public or Role.MEMBER in rule.roles:
            continue
        error = await answer_to(circle.channel, method, b"", hers)
        assert RichError.of(error).reason == "PERMISSION_DENIED", method.full_name


async def test_no_bytes_and_no_values_make_any_method_fail_unforeseen(circle: Circle, chiefs: Metadata) -> None:
    succeeded: set[str] = set()
    for method in every_method():
        rng = random.Random(f"20261125 {method.full_name}")  # its own: another method moves nobody's luck
        request: type[Message] = message_factory.GetMessageClass(method.input_type)
        attempts = [b"", b"\xff" * 40, rng.randbytes(200)]
        attempts += [filled(request(), rng).SerializeToString() for _ in range(40)]
        for raw in attempts:
            error = await answer_to(circle.channel, method, raw, chiefs)
            if error is None:
                succeeded.add(method.name)
            else:
                assert error.code() not in UNFORESEEN, (method.full_name, raw, error)
                shown = str(RichError.of(error).status)
                assert "DROP TABLE" not in shown, method.full_name
                assert "passwd" not in shown, method.full_name
    assert {"CreateBusiness", "ListBusinesses", "ListOperations", "GetMe"} <= succeeded
