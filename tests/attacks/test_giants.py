"""Giant messages and headers, small ones that unpack to giants, and uploads without end: at every method."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from svoykrug.purchases.v1 import purchases_service_pb2 as purchases_pb
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub
from svoykrug.users.v1 import users_service_pb2 as users_pb

from tests.attacks.cast import Cast
from tests.attacks.kinds import ROWS, Kind
from tests.attacks.plausible import request_for
from tests.attacks.wire import answer_to, methods_of, shape_of
from tests.e2e.running import Running
from tests.rpc.rich import RichError
from tests.waiting import until

OURS = [service for service in ROWS if service.startswith("svoykrug.")]
LIMIT_BYTES = 4 * 2**20
# A text field of a number that no message has: parsers keep it as it is.
UNKNOWN_TEXT = b"\xfa\xff\x03"
MOST_SECONDS = 5.0


def giant(size: int) -> bytes:
    """Returns a message of a size, all of it one unknown field."""
    length, varint = size, bytearray()
    while length:
        varint.append(length & 0x7F | (0x80 if length > 0x7F else 0))
        length >>= 7
    return UNKNOWN_TEXT + bytes(varint) + bytes(size)


async def goes_on(cast: Cast) -> None:
    """Checks that the server answers others as if nothing had happened, and soon."""
    began = time.perf_counter()
    me = await cast.circle.users.GetMe(users_pb.GetMeRequest(), metadata=cast.metadata_of(Kind.MEMBER))
    assert me.user.id == cast.people[Kind.MEMBER].user_id
    assert time.perf_counter() - began < MOST_SECONDS


def one_of_each_shape() -> list[MethodDescriptor]:
    """Returns a method of every service and shape of call: size is looked at before anybody asks which method it is."""
    return list(
        {(method.containing_service.full_name, *shape_of(method)): method for method in methods_of(OURS)}.values()
    )


async def test_a_message_over_the_limit_is_refused_by_every_service(cast: Cast) -> None:
    message = giant(LIMIT_BYTES + 1)
    for method in one_of_each_shape():
        error = await answer_to(cast.circle.channel, method, [message], cast.metadata_of(Kind.SUPERADMIN))
        assert error is not None, method.full_name
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, method.full_name
    await goes_on(cast)


async def test_a_small_message_that_unpacks_to_a_giant_is_refused(server: Running, cast: Cast) -> None:
    message = giant(16 * LIMIT_BYTES)
    assert len(gzip.compress(message, 1)) < LIMIT_BYTES / 4
    before = psutil.Process().memory_info().rss
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(server.circle.target, options, compression=grpc.Compression.Gzip) as channel:
        for method in one_of_each_shape()[:4]:
            error = await answer_to(channel, method, [message], cast.metadata_of(Kind.SUPERADMIN), seconds=30)
            assert error is not None, method.full_name
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, (method.full_name, error)
    # The client holds it whole, more than once; the server must not.
    assert psutil.Process().memory_info().rss - before < 4 * len(message)
    await goes_on(cast)


async def test_a_giant_header_is_refused_and_the_server_goes_on(cast: Cast) -> None:
    for name, value in (("x-request-id", "x" * 100_000), ("authorization", "Bearer " + "x" * 100_000)):
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await cast.circle.users.GetMe(users_pb.GetMeRequest(), metadata=((name, value),))
        assert refusal.value.code() in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAUTHENTICATED}
    await goes_on(cast)


def rows_of(method: MethodDescriptor) -> list[bytes]:
    """Returns messages just below the limit, each full of empty elements of one repeated field."""
    return [
        _varint(field.number << 3 | 2) + b"\x00"
        for field in method.input_type.fields
        if field.is_repeated and field.cpp_type in {FieldDescriptor.CPPTYPE_MESSAGE, FieldDescriptor.CPPTYPE_STRING}
    ]


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80, number >> 7])


async def test_a_message_full_of_empty_rows_is_refused_at_once_by_every_method(cast: Cast) -> None:
    """Two bytes a row: what is looked at one by one would keep everybody waiting for minutes."""
    tried = 0
    for method in methods_of(OURS):
        right = request_for(method, cast.here).SerializeToString()
        for row in rows_of(method):
            crowd = right + row * ((LIMIT_BYTES - len(right)) // len(row))
            began = time.perf_counter()
            error = await answer_to(cast.circle.channel, method, [crowd], cast.metadata_of(Kind.SUPERADMIN))
            assert error is not None, method.full_name
            assert RichError.of(error).reason == "INVALID_FIELDS", (method.full_name, error)
            assert time.perf_counter() - began < MOST_SECONDS, method.full_name
            tried += 1
    assert tried >= 10
    await goes_on(cast)


def test_every_repeated_field_of_every_request_of_ours_has_a_bound() -> None:
    """Others have the bound of `rpc/repetition.py`."""
    from buf.validate import validate_pb2  # noqa: PLC0415 - only this test looks at rules

    def unbounded(message: Any, path: str, depth: int = 0) -> list[str]:
        if depth > 4 or not message.full_name.startswith("svoykrug."):
            return []
        found = []
        for field in message.fields:
            rules = field.GetOptions().Extensions[validate_pb2.field].repeated
            if field.is_repeated and not rules.HasField("max_items"):
                found.append(f"{path}.{field.name}")
            if field.message_type is not None:
                found += unbounded(field.message_type, f"{path}.{field.name}", depth + 1)
        return found

    assert [entry for method in methods_of(OURS) for entry in unbounded(method.input_type, method.name)] == []


async def test_an_upload_that_says_nothing_ends_with_its_deadline_and_gives_its_place_back(
    server: Running, cast: Cast
) -> None:
    # Who has named no business has named none of hers.
    ended_with = {"PERMISSION_DENIED", "DEADLINE_EXCEEDED", "CANCELLED"}
    await _uploaded(server, cast, _silence(), ended_with, seconds=2.0)


async def test_an_upload_without_end_ends_with_its_deadline_and_gives_its_place_back(
    server: Running, cast: Cast
) -> None:
    before = psutil.Process().memory_info().rss
    await _uploaded(server, cast, _without_end(cast.here), {"DEADLINE_EXCEEDED", "CANCELLED"}, seconds=2.0)
    assert psutil.Process().memory_info().rss - before < 100 * 2**20


async def _uploaded(
    server: Running, cast: Cast, requests: AsyncIterator[Any], ended_with: set[str], *, seconds: float
) -> None:
    call: Any = PurchasesServiceStub(cast.circle.channel).ImportPurchases(
        requests, metadata=cast.metadata_of(Kind.STAFF_HERE), timeout=seconds
    )
    await until(lambda: server.server.calls_in_progress == 1)
    await goes_on(cast)
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    await until(lambda: server.server.calls_in_progress == 0)
    # Not what the client says: it may fail by itself when it goes on writing to a call that has ended.
    method = {"rpc_service": "svoykrug.purchases.v1.PurchasesService", "rpc_method": "ImportPurchases"}
    counts = (
        server.foundation.registry.get_sample_value(
            "rpc_server_duration_seconds_count", {**method, "rpc_grpc_status_code": code}
        )
        for code in ended_with
    )
    assert sum(count or 0 for count in counts) == 1


async def _silence() -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield


async def _without_end(business_id: str) -> AsyncIterator[Any]:
    while True:
        yield purchases_pb.ImportPurchasesRequest(business_id=business_id)
