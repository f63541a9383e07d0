"""Traces of OpenTelemetry, with the extra `tracing`: one span a call, in which the server's own span goes on.

from svoykrug_client import Client, tracing

Client(target, interceptors=tracing.interceptors(target))
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import grpc
import grpc.aio
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from svoykrug import errors

_HEADER = "traceparent"
_propagator = TraceContextTextMapPropagator()


def interceptors(target: str, tracer_provider: TracerProvider | None = None) -> list[grpc.aio.ClientInterceptor]:
    """Returns what a client is given to trace its calls.

    A span is one call as the caller made it: waiting for a token, repetitions and all answers of a stream are in it,
    and a refresh of the token is a span below. It holds the method, the server, the status code and the error's reason,
    and nothing of the messages. A call that names a `traceparent` of its own keeps it.

    Args:
        target: Where the service listens, as the client is told it.
        tracer_provider: Collects the spans; the global one by default.
    """
    spans = _Spans(target, tracer_provider)
    return [_TracedUnary(spans), _TracedDownload(spans), _TracedUpload(spans)]


class _Spans:
    def __init__(self, target: str, tracer_provider: TracerProvider | None) -> None:
        self._tracer = trace.get_tracer("svoykrug_client", version("svoykrug-client"), tracer_provider)
        host, _, port = target.rpartition(":")
        self._server: dict[str, str | int] = {"server.address": target}
        if port.isdigit():
            self._server = {"server.address": host, "server.port": int(port)}

    def start(self, details: grpc.aio.ClientCallDetails) -> tuple[Span, grpc.aio.ClientCallDetails]:
        """Starts the span of a call, and returns the call with the header that tells the server of it."""
        # The stubs say str, grpc.aio hands over bytes.
        path: object = details.method
        name = (path.decode() if isinstance(path, bytes) else str(path))[1:]
        service, _, method = name.partition("/")
        attributes = {**self._server, "rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(span))
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        if metadata.get(_HEADER) is None:
            for key, value in carrier.items():
                metadata.add(key, value)
        told = grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=details.timeout,
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )
        return span, told

    async def begin(
        self, continuation: Callable[..., Awaitable[Any]], details: grpc.aio.ClientCallDetails, request: Any
    ) -> tuple[Span, Any]:
        """Starts a span and the call in it; a call that fails meanwhile ends it."""
        span, told = self.start(details)
        with _until_failure(span), trace.use_span(span, record_exception=False, set_status_on_exception=False):
            return span, await continuation(told, request)


class _TracedUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, spans: _Spans) -> None:
        self._spans = spans

    async def intercept_unary_unary(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Runs the call in its span: the client's own interceptor returns it when it is answered."""
        span, call = await self._spans.begin(continuation, client_call_details, request)
        _succeed(span)
        return call


class _TracedDownload(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, spans: _Spans) -> None:
        self._spans = spans

    async def intercept_unary_stream(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Begins the call; its span ends with its answers."""
        return _to_the_end(*await self._spans.begin(continuation, client_call_details, request))


async def _to_the_end(span: Span, answers: AsyncIterator[Any]) -> AsyncIterator[Any]:
    with _until_failure(span):
        async for answer in answers:
            yield answer
    _succeed(span)


class _TracedUpload(grpc.aio.StreamUnaryClientInterceptor):
    def __init__(self, spans: _Spans) -> None:
        self._spans = spans

    async def intercept_stream_unary(
        self,
        continuation: Callable[..., Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        """Begins the call; its span ends with its answer."""
        return _Upload(*await self._spans.begin(continuation, client_call_details, request_iterator))


class _Upload:
    """A call under way that ends its span when it is answered, and is the call itself in everything else."""

    def __init__(self, span: Span, call: Any) -> None:
        self._span = span
        self._call = call

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        with _until_failure(self._span):
            answer = await self._call
        _succeed(self._span)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def _succeed(span: Span) -> None:
    span.set_attribute("rpc.grpc.status_code", grpc.StatusCode.OK.value[0])
    span.end()


@contextmanager
def _until_failure(span: Span) -> Iterator[None]:
    """Ends the span of a call that fails inside."""
    try:
        yield
    except BaseException as failure:
        code, reason = _told(failure)
        span.set_attributes({"rpc.grpc.status_code": code.value[0], "error.type": reason})
        span.set_status(Status(StatusCode.ERROR, reason))
        span.end()
        raise


def _told(failure: BaseException) -> tuple[grpc.StatusCode, str]:
    """Returns the status code of a failure, and what it is called; never its text, which may say more."""
    if isinstance(failure, errors.SvoyKrugError):
        return grpc.StatusCode[failure.code], failure.reason
    if isinstance(failure, asyncio.CancelledError | GeneratorExit):
        return grpc.StatusCode.CANCELLED, grpc.StatusCode.CANCELLED.name
    return grpc.StatusCode.UNKNOWN, type(failure).__name__
