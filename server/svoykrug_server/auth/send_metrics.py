"""What Prometheus learns of codes that are sent or not; labels hold calling codes, never phones."""

from prometheus_client import CollectorRegistry, Counter


class SendMetrics:
    """Figures of sends by calling code.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sends = Counter("auth_code_sends", "Codes queued for sending.", ["prefix"], registry=registry)
        self._refusals = Counter(
            "auth_code_refusals", "Codes refused by a limit of their calling code.", ["prefix", "limit"],
            registry=registry,
        )  # fmt: skip
        self._breaker_changes = Counter(
            "auth_send_breaker_changes", "Breakers opened and closed.", ["prefix", "change"], registry=registry
        )

    def sent(self, prefix: str) -> None:
        """Counts a code that was queued."""
        self._sends.labels(prefix).inc()

    def refused(self, prefix: str, limit: str) -> None:
        """Counts a code that a limit refused: `budget` or `breaker`."""
        self._refusals.labels(prefix, limit).inc()

    def breaker_changed(self, prefix: str, change: str) -> None:
        """Counts a breaker that `opened` or `closed`."""
        self._breaker_changes.labels(prefix, change).inc()
