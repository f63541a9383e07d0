"""What Prometheus learns of rows that the warehouse has lost."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from svoykrug_server.analytics.remaking.model import Kind, Known


class RemakingMetrics:
    """Figures of remaking.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._missing = Gauge(
            "analytics_results_missing",
            "Snapshots and scorings whose rows the warehouse has lost and that are being made again.",
            ["kind"],
            registry=registry,
        )
        self._lost = Gauge(
            "analytics_results_lost", "Snapshots and scorings that cannot be made again.", ["kind"], registry=registry
        )
        self.remade = Counter(
            "analytics_results_remade", "Snapshots and scorings that were made again.", ["kind"], registry=registry
        )

    def show(self, kind: Kind, known: Known) -> None:
        """Shows how many are being made again and how many are lost."""
        self._missing.labels(kind.value).set(known.missing_count)
        self._lost.labels(kind.value).set(known.lost_count)
