"""What Prometheus learns of SMS; no label holds anything of a person."""

from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Histogram

from svoykrug_server.auth.sms.model import DeliveryState

_BUCKET_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 7200)


class SmsMetrics:
    """Figures of sending and delivery.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "sms_attempts",
            "Attempts to hand an SMS to a provider, by outcome.",
            ["provider", "outcome"],
            registry=registry,
        )
        self._deliveries = Counter(
            "sms_deliveries", "SMS of which a provider said the last word.", ["provider", "state"], registry=registry
        )
        self._delivery_seconds = Histogram(
            "sms_delivery_duration_seconds",
            "From the moment an SMS was asked for to its delivery.",
            ["provider"],
            buckets=_BUCKET_SECONDS,
            registry=registry,
        )

    def attempted(self, provider: str, outcome: str) -> None:
        """Counts an attempt."""
        self._attempts.labels(provider, outcome).inc()

    def ended(self, provider: str, state: DeliveryState, took: timedelta) -> None:
        """Counts a message of which nothing more is said.

        Args:
            provider: Who took it.
            state: How it ended.
            took: How long after it was asked for.
        """
        self._deliveries.labels(provider, state.value).inc()
        if state is DeliveryState.DELIVERED:
            self._delivery_seconds.labels(provider).observe(max(took.total_seconds(), 0.0))
