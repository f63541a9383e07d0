"""Step: a call that belongs to a trace goes on in it (W3C `traceparent`), whoever collects the spans."""

from collections.abc import Mapping

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import ProxyTracerProvider, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from svoykrug_server.rpc.method import Method

HEADER = "traceparent"
_propagator = TraceContextTextMapPropagator()


class MethodTracing:
    """Opens a span for every call of one method.

    Without an OpenTelemetry SDK nobody collects spans: then a `traceparent` is only handed on.

    Args:
        method: The method.
    """

    __slots__ = ("_attributes", "_name", "_tracer", "always")

    def __init__(self, method: Method) -> None:
        self._name = method.path[1:]
        self._attributes = {"rpc.system": "grpc", "rpc.service": method.service, "rpc.method": method.name}
        self._tracer = trace.get_tracer("svoykrug_server.rpc")
        self.always = not isinstance(trace.get_tracer_provider(), ProxyTracerProvider)

    def begin(self, metadata: Mapping[str, str | bytes]) -> Span:
        """Starts the span of a call, below the caller's when it sent one, and makes it the current one of the task."""
        carrier = {key: value for key, value in metadata.items() if isinstance(value, str)}
        span = self._tracer.start_span(
            self._name, _propagator.extract(carrier), kind=SpanKind.SERVER, attributes=self._attributes
        )
        otel_context.attach(trace.set_span_in_context(span))
        return span


def end(span: Span, code: int, reason: str) -> None:
    """Ends the span of a call.

    Args:
        span: The span.
        code: The gRPC status code.
        reason: The reason of the error catalogue; empty when there was none.
    """
    span.set_attribute("rpc.grpc.status_code", code)
    if reason:
        span.set_status(Status(StatusCode.ERROR, reason))
    span.end()
