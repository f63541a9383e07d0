import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from svoykrug_server.kit.errors import DomainError, FailedPrecondition, Limited
from svoykrug_server.rpc.context import current, current_caller, find_current
from tests.callers import person
from tests.rpc.conftest import Edge, StartEdge, TokenTable
from tests.rpc.probe import SERVICE, ProbeRequest
from tests.rpc.rich import RichError
from tests.waiting import until

REQUEST = ProbeRequest(text="hello")


async def requests(*messages: Any) -> AsyncIterator[Any]:
    for message in messages:
        yield message


async def refused(call: Any) -> RichError:
    """Awaits a call, or reads a stream to its end, which must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ended(call)
    return RichError.of(caught.value)


async def ended(call: Any) -> None:
    if isinstance(call, grpc.aio.UnaryStreamCall | grpc.aio.StreamStreamCall):
        _ = [message async for message in call]
    else:
        await call


async def test_all_four_shapes_of_call_are_answered(edge: Edge) -> None:
    admitted = (("authorization", "Bearer nobody"),)
    assert await edge.stub.Echo(REQUEST) == REQUEST
    assert [answer async for answer in edge.stub.Count(REQUEST)] == [REQUEST] * 3
    assert [answer async for answer in edge.stub.Chat(requests(REQUEST, ProbeRequest()))] == [REQUEST, ProbeRequest()]
    assert (await refused(edge.stub.Upload(requests(REQUEST), metadata=admitted))).reason == "TOKEN_INVALID"


async def test_a_request_id_is_made_when_absent_and_returned_in_the_trailers(edge: Edge) -> None:
    call = edge.stub.Echo(REQUEST)
    await call
    trailers = dict(await call.trailing_metadata())
    assert len(trailers["x-request-id"]) == 32


async def test_a_well_formed_request_id_is_kept_through_call_error_and_details(start_edge: StartEdge) -> None:
    async def fail(request: Any, context: Any) -> Any:
        assert current().request_id == "0123456789-abcdef"
        raise DomainError("NOT_FOUND")

    edge = await start_edge({"Echo": fail})
    error = await refused(edge.stub.Echo(REQUEST, metadata=(("x-request-id", "0123456789-abcdef"),)))
    assert error.trailers["x-request-id"] == "0123456789-abcdef"
    assert error.one(error_details_pb2.RequestInfo).request_id == "0123456789-abcdef"


async def test_the_context_of_a_call_tells_who_calls_from_where_and_how_long_is_left(
    start_edge: StartEdge, tokens: TokenTable
) -> None:
    caller = person()
    seen = []

    async def look(request: Any, context: Any) -> Any:
        call = current()
        seen.append((call.method, current_caller(), call.locale, call.peer_address, call.remaining_seconds))
        return request

    edge = await start_edge({"Mine": look})
    began = time.monotonic()
    await edge.stub.Mine(REQUEST, metadata=(*tokens.sign_in(caller), ("accept-language", "en-GB")), timeout=5)
    took = time.monotonic() - began
    ((method, who, locale, address, remaining),) = seen
    assert (method, who, locale, address) == (f"/{SERVICE}/Mine", caller, "en", "127.0.0.1")
    assert remaining is not None
    assert 4 - took < remaining < 6
    assert find_current() is None


async def test_a_domain_error_becomes_one_rich_status(start_edge: StartEdge) -> None:
    async def fail(request: Any, context: Any) -> Any:
        raise FailedPrecondition("CONSENT_REQUIRED", metadata={"missing": "processing"})

    edge = await start_edge({"Echo": fail})
    error = await refused(edge.stub.Echo(REQUEST))
    assert error.code is grpc.StatusCode.FAILED_PRECONDITION
    assert error.reason == "CONSENT_REQUIRED"
    assert error.one(error_details_pb2.ErrorInfo).metadata == {"missing": "processing"}
    assert error.all(error_details_pb2.BadRequest) == []
    assert error.all(error_details_pb2.RetryInfo) == []


async def test_a_domain_error_is_rich_from_every_shape_of_call(start_edge: StartEdge) -> None:
    async def fail(request: Any, context: Any) -> Any:
        raise Limited("SIGN_IN_LIMITED")

    async def fail_later(request: Any, context: Any) -> AsyncIterator[Any]:
        yield REQUEST
        raise Limited("SIGN_IN_LIMITED")

    edge = await start_edge({"Echo": fail, "Count": fail_later, "Chat": fail_later})
    for call in (edge.stub.Echo(REQUEST), edge.stub.Count(REQUEST), edge.stub.Chat(requests(REQUEST))):
        error = await refused(call)
        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SIGN_IN_LIMITED")
        assert error.one(error_details_pb2.RetryInfo).retry_delay.ToTimedelta().total_seconds() == 1


async def test_texts_for_a_person_come_in_her_language(start_edge: StartEdge) -> None:
    async def fail(request: Any, context: Any) -> Any:
        raise DomainError("CODE_WRONG")

    edge = await start_edge({"Echo": fail})
    texts = {}
    for language in ("ru-RU,ru;q=0.9", "en;q=0.8,ru;q=0.1", "fr"):
        error = await refused(edge.stub.Echo(REQUEST, metadata=(("accept-language", language),)))
        message = error.one(error_details_pb2.LocalizedMessage)
        texts[language] = (message.locale, message.message)
    assert texts == {
        "ru-RU,ru;q=0.9": ("ru", "Неверный код."),
        "en;q=0.8,ru;q=0.1": ("en", "The code is not right."),
        "fr": ("ru", "Неверный код."),
    }


async def test_an_unexpected_failure_says_internal_a_request_id_and_nothing_else(start_edge: StartEdge) -> None:
    async def fail(request: Any, context: Any) -> Any:
        raise RuntimeError("the secret sauce")

    edge = await start_edge({"Echo": fail})
    error = await refused(edge.stub.Echo(REQUEST))
    assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "sauce" not in str(error.status)
    assert len(error.one(error_details_pb2.RequestInfo).request_id) == 32


async def test_a_reason_outside_the_catalogue_is_an_unexpected_failure(start_edge: StartEdge) -> None:
    async def fail(request: Any, context: Any) -> Any:
        raise DomainError("NO_SUCH_REASON")

    edge = await start_edge({"Echo": fail})
    assert (await refused(edge.stub.Echo(REQUEST))).reason == "INTERNAL"


async def test_an_unknown_method_is_refused_richly_whatever_its_shape(edge: Edge) -> None:
    channel = edge.stub.channel
    unary: Any = channel.unary_unary("/svoykrug.probe.v1.Nobody/Knows")
    stream: Any = channel.stream_stream(f"/{SERVICE}/Nothing")
    # Nothing is written to the stream: a write that meets the refusal on its way makes grpc.aio report INTERNAL.
    for call in (unary(b"x"), stream()):
        error = await refused(call)
        assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")


async def test_a_default_deadline_ends_the_call_and_cancels_its_work(start_edge: StartEdge) -> None:
    cancelled = asyncio.Event()

    async def hang(request: Any, context: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    edge = await start_edge({"Hurry": hang})
    error = await refused(edge.stub.Hurry(REQUEST))
    assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert cancelled.is_set()


async def test_the_callers_deadline_goes_before_the_methods_and_cancels_the_work(start_edge: StartEdge) -> None:
    begun, cancelled = [], []

    async def hang(request: Any, context: Any) -> Any:
        begun.append(True)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    edge = await start_edge({"Echo": hang})

    async def is_counted() -> bool:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edge.stub.Echo(REQUEST, timeout=0.05)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return 'rpc_grpc_status_code="DEADLINE_EXCEEDED"' in edge.metrics()

    # A call may be over before it arrives, and its caller may notice a moment before the server does.
    await until(is_counted)
    await until(lambda: len(cancelled) == len(begun))
    assert begun


async def test_a_deadline_of_which_the_callers_clock_knew_first_is_counted_as_passed(start_edge: StartEdge) -> None:
    async def hang(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    edge = await start_edge({"Echo": hang})
    # The client sends 1.003 s as 1.01 s: it gives the call up while the server still sees time left.
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await edge.stub.Echo(REQUEST, timeout=1.003)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: 'rpc_grpc_status_code="DEADLINE_EXCEEDED"' in edge.metrics())


async def test_a_caller_that_goes_away_cancels_the_work(start_edge: StartEdge) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(request: Any, context: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    edge = await start_edge({"Echo": hang})
    call = edge.stub.Echo(REQUEST)
    await started.wait()
    call.cancel()
    await until(cancelled.is_set)
    await until(lambda: 'rpc_grpc_status_code="CANCELLED"' in edge.metrics())
    await until(lambda: edge.server.calls_in_progress == 0)


async def test_an_endless_stream_has_no_deadline_and_closes_its_generator_when_the_caller_leaves(
    start_edge: StartEdge,
) -> None:
    closed = asyncio.Event()

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            assert current().remaining_seconds is None
            yield request
            await asyncio.Event().wait()
        finally:
            closed.set()

    edge = await start_edge({"Watch": watch})
    call = edge.stub.Watch(REQUEST)
    assert await call.read() == REQUEST
    call.cancel()
    await until(closed.is_set)


async def test_bytes_that_are_no_message_are_invalid_fields_and_not_an_internal_error(edge: Edge) -> None:
    channel = edge.stub.channel
    unary: Any = channel.unary_unary(f"/{SERVICE}/Echo")
    stream: Any = channel.stream_stream(f"/{SERVICE}/Chat")
    for call in (unary(b"\xff\xff\xff"), stream(requests(b"\xff\xff\xff"))):
        error = await refused(call)
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")


async def test_a_message_over_the_limit_is_refused_and_the_server_goes_on(start_edge: StartEdge) -> None:
    edge = await start_edge(max_message_bytes=100_000)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await edge.stub.Echo(ProbeRequest(blob=bytes(200_000)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await edge.stub.Echo(REQUEST) == REQUEST


async def test_too_many_calls_of_the_process_are_shed_with_a_time_to_wait(start_edge: StartEdge) -> None:
    release = asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        await release.wait()
        return request

    edge = await start_edge({"Echo": wait}, max_calls=1)
    first = edge.stub.Echo(REQUEST)
    await until(lambda: edge.server.calls_in_progress == 1)
    error = await refused(edge.stub.Echo(REQUEST))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert error.one(error_details_pb2.RetryInfo).retry_delay.ToTimedelta().total_seconds() > 0
    release.set()
    assert await first == REQUEST
    assert await edge.stub.Echo(REQUEST) == REQUEST


async def test_one_caller_cannot_take_every_place(start_edge: StartEdge, tokens: TokenTable) -> None:
    release = asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        await release.wait()
        return request

    edge = await start_edge({"Mine": wait}, max_calls_per_caller=1)
    hers = tokens.sign_in(person())
    first = edge.stub.Mine(REQUEST, metadata=hers)
    await until(lambda: edge.server.calls_in_progress == 1)
    assert (await refused(edge.stub.Mine(REQUEST, metadata=hers))).reason == "OVERLOADED"
    other = edge.stub.Mine(REQUEST, metadata=tokens.sign_in(person()))
    await until(lambda: edge.server.calls_in_progress == 2)
    release.set()
    assert await first == await other == REQUEST


async def test_a_client_that_is_too_old_is_told_to_update(start_edge: StartEdge) -> None:
    edge = await start_edge(oldest_client_versions={"ios": "2.4.0"})
    error = await refused(edge.stub.Echo(REQUEST, metadata=(("x-client-version", "ios/2.3.9"),)))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CLIENT_TOO_OLD")
    for version in ("ios/2.4.0", "ios/10.0", "android/0.1", "what?"):
        assert await edge.stub.Echo(REQUEST, metadata=(("x-client-version", version),)) == REQUEST
