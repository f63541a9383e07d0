"""What Prometheus learns of drift: two kinds of scope times the features, however many businesses there are."""

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from svoykrug_server.analytics.churn.stability import Stability


class DriftMetrics(Collector):
    """The stability indexes as this process last read them; nothing before its first scoring.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._read: Sequence[Stability] = ()
        registry.register(self)

    def show(self, read: Sequence[Stability]) -> None:
        """Replaces all figures at once, so that a feature or a model that is gone leaves none behind.

        Args:
            read: How the kinds of scope stand.
        """
        self._read = tuple(read)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yields both families in Prometheus' model. May run in another thread: it reads one tuple."""
        drift = GaugeMetricFamily(
            "churn_feature_drift_psi",
            "The largest stability index (PSI) of a feature between training and the latest scoring, over the scopes.",
            labels=("scope", "feature"),
        )
        outdated = GaugeMetricFamily(
            "churn_models_out_of_date", "Serving models of which a feature has a PSI above 0.25.", labels=("scope",)
        )
        for stability in self._read:
            outdated.add_metric([stability.kind], stability.out_of_date_count)
            for feature, index in stability.worst.items():
                drift.add_metric([stability.kind, feature], index)
        yield from (drift, outdated)
