"""What Prometheus learns of the way to the warehouse."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class PipelineMetrics:
    """Figures of relay and reconciler.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.shipped_entries = Counter(
            "pipeline_shipped_entries", "Ledger rows shipped to the warehouse.", registry=registry
        )
        self.shipped_batches = Counter(
            "pipeline_shipped_batches", "Batches shipped to the warehouse.", registry=registry
        )
        self.reshipped_batches = Counter(
            "pipeline_reshipped_batches",
            "Batches the warehouse did not hold as sealed after the insert.",
            registry=registry,
        )
        self.watermark_seconds = Gauge(
            "pipeline_watermark_timestamp_seconds", "Up to when the warehouse holds everything.", registry=registry
        )
        self.mismatched_days = Counter(
            "pipeline_mismatched_days", "Days on which the stores were seen to disagree.", registry=registry
        )
        self.disputed_days = Gauge(
            "pipeline_disputed_days", "Days on which the stores disagree and that wait for repair.", registry=registry
        )
        self.repaired_days = Counter("pipeline_repaired_days", "Days repaired from PostgreSQL.", registry=registry)
        self.failed_steps = Counter(
            "pipeline_failed_steps", "Steps that failed and are tried again, by job and reason.", ["job", "reason"],
            registry=registry,
        )  # fmt: skip
