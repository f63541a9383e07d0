"""Traces of OpenTelemetry: one span a call, and the server is told of it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from svoykrug import errors
from svoykrug.operations.v1.operations_service_pb2 import WatchOperationRequest
from svoykrug.purchases.v1.purchases_service_pb2 import ImportPurchasesResponse, NewPurchase
from svoykrug.users.v1.users_service_pb2 import GetMeRequest

from svoykrug_client import Client, MemoryTokenStore, sync, tracing
from tests.client.conftest import ME
from tests.client.staged import Gate, Plain, Refusal, StagedServer
from tests.client.test_sync import DONE, HALF, blocking, seen

GET_ME = "svoykrug.users.v1.UsersService/GetMe"
REFRESH = "svoykrug.auth.v1.AuthService/RefreshTokens"
WATCH = WatchOperationRequest(operation_id=HALF.id)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Holds the spans that have ended."""
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    """Makes the spans."""
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(SimpleSpanProcessor(exporter))
    return made


@pytest.fixture
async def client(
    server: StagedServer, store: MemoryTokenStore, provider: TracerProvider, new_client: Callable[..., Client]
) -> AsyncIterator[Client]:
    """A traced client of a signed-in person."""
    traced = tracing.interceptors(server.target, provider)
    async with new_client(token_store=store, interceptors=traced) as opened:
        yield opened


def spans(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """Returns the ended spans by name; each name is there once."""
    ended = exporter.get_finished_spans()
    by_name = {span.name: span for span in ended}
    assert len(by_name) == len(ended)
    return by_name


def facts(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def trace_of(span: ReadableSpan | None) -> tuple[str, str]:
    """Returns trace id and span id as a traceparent spells them."""
    assert span is not None
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


async def test_a_call_is_one_span_which_the_server_is_told_of(
    client: Client, server: StagedServer, exporter: InMemorySpanExporter
) -> None:
    server.plays("GetMe", Plain(grpc.StatusCode.UNAVAILABLE), ME)
    await client.users.GetMe(GetMeRequest())
    span = spans(exporter)[GET_ME]
    host, _, port = server.target.partition(":")
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert facts(span) == {
        "rpc.system": "grpc",
        "rpc.service": "svoykrug.users.v1.UsersService",
        "rpc.method": "GetMe",
        "rpc.grpc.status_code": 0,
        "server.address": host,
        "server.port": int(port),
    }
    sent = [call.metadata["traceparent"].split("-") for call in server.received("GetMe")]
    assert [tuple(parts[1:3]) for parts in sent] == [trace_of(span)] * 2


async def test_a_call_goes_on_in_the_callers_span_and_a_refresh_in_the_calls(
    client: Client, server: StagedServer, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    with provider.get_tracer("app").start_as_current_span("open the app"):
        await client.users.GetMe(GetMeRequest())
    ended = spans(exporter)
    assert {trace_of(span)[0] for span in ended.values()} == {trace_of(ended["open the app"])[0]}
    call, refresh = ended[GET_ME], ended[REFRESH]
    assert call.parent == ended["open the app"].context
    assert refresh.parent == call.context


async def test_a_traceparent_of_the_callers_own_is_left_alone(client: Client, server: StagedServer) -> None:
    own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await client.users.GetMe(GetMeRequest(), metadata=(("traceparent", own),))
    [call] = server.received("GetMe")
    assert call.metadata["traceparent"] == own


async def test_a_refusal_is_told_by_its_reason_and_never_by_its_text(
    client: Client, server: StagedServer, exporter: InMemorySpanExporter
) -> None:
    server.plays("GetMe", Refusal("PERMISSION_DENIED", grpc.StatusCode.PERMISSION_DENIED))
    with pytest.raises(errors.PermissionDenied):
        await client.users.GetMe(GetMeRequest())
    span = spans(exporter)[GET_ME]
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "PERMISSION_DENIED")
    assert facts(span)["rpc.grpc.status_code"] == grpc.StatusCode.PERMISSION_DENIED.value[0]
    assert facts(span)["error.type"] == "PERMISSION_DENIED"
    assert not span.events


async def test_a_stream_is_one_span_to_its_last_answer(
    client: Client, server: StagedServer, exporter: InMemorySpanExporter
) -> None:
    server.plays("WatchOperation", [seen(HALF), seen(DONE)])
    name = "svoykrug.operations.v1.OperationsService/WatchOperation"
    answers = aiter(client.operations.WatchOperation(WATCH))
    assert await anext(answers) == seen(HALF)
    assert name not in spans(exporter)
    assert [answer async for answer in answers] == [seen(DONE)]
    assert facts(spans(exporter)[name])["rpc.grpc.status_code"] == 0


async def test_a_stream_that_is_cancelled_ends_its_span(
    client: Client, server: StagedServer, exporter: InMemorySpanExporter
) -> None:
    server.plays("WatchOperation", [seen(HALF), Gate(seen(DONE))])
    watch = client.operations.WatchOperation(WATCH)
    answers = aiter(watch)
    await anext(answers)
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await anext(answers)
    [span] = [span for name, span in spans(exporter).items() if name.endswith("WatchOperation")]
    assert span.status.description == "CANCELLED"


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (ImportPurchasesResponse(received_count=1), grpc.StatusCode.OK),
        (Refusal("NOT_FOUND", grpc.StatusCode.NOT_FOUND), grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_an_upload_is_one_span_to_its_answer(
    client: Client,
    server: StagedServer,
    exporter: InMemorySpanExporter,
    act: ImportPurchasesResponse | Refusal,
    code: grpc.StatusCode,
) -> None:
    server.plays("ImportPurchases", act)
    try:
        await client.import_purchases("a business", [NewPurchase(external_id="1")])
    except errors.NotFound:
        assert code is grpc.StatusCode.NOT_FOUND
    [span] = [span for name, span in spans(exporter).items() if name.endswith("ImportPurchases")]
    assert facts(span)["rpc.grpc.status_code"] == code.value[0]


async def test_the_synchronous_client_goes_on_in_the_span_of_the_calling_thread(
    server: StagedServer, store: MemoryTokenStore, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    def work() -> None:
        traced = tracing.interceptors(server.target, provider)
        with (
            sync.Client(server.target, insecure=True, token_store=store, interceptors=traced) as opened,
            provider.get_tracer("app").start_as_current_span("work"),
        ):
            opened.users.GetMe(GetMeRequest())

    await blocking(work)
    ended = spans(exporter)
    assert ended[GET_ME].parent == ended["work"].context


async def test_without_a_provider_calls_are_as_they_were(
    server: StagedServer, store: MemoryTokenStore, new_client: Callable[..., Client]
) -> None:
    async with new_client(token_store=store, interceptors=tracing.interceptors("unix:/socket")) as opened:
        assert await opened.users.GetMe(GetMeRequest()) == ME
    [call] = server.received("GetMe")
    assert "traceparent" not in call.metadata
