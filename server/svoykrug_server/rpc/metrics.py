"""Step: what Prometheus learns of every call, under the names of OpenTelemetry's RPC conventions."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from svoykrug_server.rpc.shedding import Shedding

# Upper bounds in seconds, closer together around the targets of the product (p50 5 ms, p95 15 ms, p99 40 ms).
BUCKET_SECONDS: Sequence[float] = (
    0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.04, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
)  # fmt: skip
_METHOD_LABELS = ("rpc_service", "rpc_method")
_STATUS_LABELS = (*_METHOD_LABELS, "rpc_grpc_status_code")


class MethodMetrics:
    """The figures of one method. Plain numbers, written on one event loop: prometheus_client's own cost 8 us."""

    __slots__ = (
        "active", "buckets_by_code", "labels", "messages_received", "messages_sent", "reasons", "seconds_by_code",
    )  # fmt: skip

    def __init__(self, service: str, method: str) -> None:
        self.labels = [service, method]
        self.active = 0
        self.messages_received = 0
        self.messages_sent = 0
        self.buckets_by_code: dict[str, list[int]] = {}
        self.seconds_by_code: dict[str, float] = {}
        self.reasons: Counter[str] = Counter()

    def ended(self, code: str, seconds: float, reason: str) -> None:
        """Counts a call that ended.

        Args:
            code: The gRPC status code's name.
            seconds: How long it took.
            reason: The reason of the error catalogue; empty when there was none.
        """
        buckets = self.buckets_by_code.get(code)
        if buckets is None:
            buckets = self.buckets_by_code[code] = [0] * (len(BUCKET_SECONDS) + 1)
            self.seconds_by_code[code] = 0.0
        buckets[bisect_left(BUCKET_SECONDS, seconds)] += 1
        self.seconds_by_code[code] += seconds
        if reason:
            self.reasons[reason] += 1


class RpcMetrics(Collector):
    """The figures of all methods, given to Prometheus when it asks.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._methods: dict[tuple[str, str], MethodMetrics] = {}
        registry.register(self)

    def of(self, service: str, method: str) -> MethodMetrics:
        """Returns the figures of one method, the same object for the same names."""
        key = (service, method)
        if key not in self._methods:
            self._methods[key] = MethodMetrics(service, method)
        return self._methods[key]

    def collect(self) -> Iterator[HistogramMetricFamily | GaugeMetricFamily | CounterMetricFamily]:
        """Yields every family in Prometheus' model. May run in another thread: it reads copies."""
        methods = list(self._methods.values())
        yield self._durations(methods)
        active = GaugeMetricFamily("rpc_server_active_requests", "Calls in progress.", labels=_METHOD_LABELS)
        received = CounterMetricFamily("rpc_server_messages_received", "Messages received.", labels=_METHOD_LABELS)
        sent = CounterMetricFamily("rpc_server_messages_sent", "Messages sent.", labels=_METHOD_LABELS)
        errors = CounterMetricFamily(
            "rpc_server_errors", "Refused calls by reason of the catalogue.", labels=(*_METHOD_LABELS, "reason")
        )
        for method in methods:
            active.add_metric(method.labels, method.active)
            received.add_metric(method.labels, method.messages_received)
            sent.add_metric(method.labels, method.messages_sent)
            for reason, count in list(method.reasons.items()):
                errors.add_metric([*method.labels, reason], count)
        yield from (active, received, sent, errors)

    def _durations(self, methods: Sequence[MethodMetrics]) -> HistogramMetricFamily:
        family = HistogramMetricFamily(
            "rpc_server_duration_seconds", "How long calls took, by status code.", labels=_STATUS_LABELS
        )
        bounds = [*map(str, BUCKET_SECONDS), "+Inf"]
        for method in methods:
            for code, counts in list(method.buckets_by_code.items()):
                buckets = list(zip(bounds, map(float, accumulate(counts)), strict=True))
                family.add_metric([*method.labels, code], buckets, method.seconds_by_code[code])
        return family


class SheddingMetrics(Collector):
    """How long calls wait, and how many are shed for it, given to Prometheus when it asks.

    Args:
        registry: Where they are registered.
        shedding: What knows it.
    """

    def __init__(self, registry: CollectorRegistry, shedding: Shedding) -> None:
        self._shedding = shedding
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yields both families in Prometheus' model."""
        waits = "How long calls wait in gRPC until they are taken, by the server's own calls."
        yield GaugeMetricFamily("rpc_server_wait_seconds", waits, self._shedding.seconds)
        shed = "Calls refused as they were taken, because calls wait too long."
        yield CounterMetricFamily("rpc_server_shed_requests", shed, self._shedding.shed)
