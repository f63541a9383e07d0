"""What the demo prints and leaves behind."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from svoykrug.analytics.v1.analytics_service_pb2 import GetFreshnessResponse
from svoykrug.analytics.v1.churn_pb2 import ChurnMetrics, ChurnModel, ChurnScore, Estimate
from svoykrug.analytics.v1.scope_pb2 import StoreTotals
from svoykrug.analytics.v1.snapshot_pb2 import SegmentFigures, SegmentMovement, Snapshot

from demo.analysis import LEAST_ROC_AUC, MOST_BRIER, MOST_ECE, Gate
from demo.console import console
from demo.source import CURRENCY_CODE
from demo.words import money, segment_name

_MOST_MOVEMENTS = 10
_MOST_AT_RISK = 10


def print_stores(freshness: GetFreshnessResponse) -> None:
    """Prints count, sum and hash of both stores, and whether they are equal."""
    table = Table("store", "entries", "sum", "hash", title="Postgres = ClickHouse" if freshness.equal else None)
    for name, totals in (("PostgreSQL", freshness.postgres), ("ClickHouse", freshness.clickhouse)):
        table.add_row(name, f"{totals.entry_count:,}", money(totals.sum_minor, CURRENCY_CODE), f"{totals.hash:016x}")
    console.print(table)


def print_segments(snapshot: Snapshot, figures: Sequence[SegmentFigures]) -> None:
    """Prints the eleven segments."""
    title = f"Segments at {snapshot.cutoff_time.ToDatetime():%Y-%m-%d}: {snapshot.member_count:,} members"
    table = Table("segment", "members", "net spend", "purchases", "mean recency, days", title=title)
    for row in figures:
        spend = money(row.net_spend_minor, CURRENCY_CODE)
        cells = (f"{row.member_count:,}", spend, f"{row.purchase_count:,}", f"{row.mean_recency_days:.1f}")
        table.add_row(segment_name(row.segment), *cells)
    console.print(table)


def print_movements(movements: Sequence[SegmentMovement], earlier: Snapshot, later: Snapshot) -> None:
    """Prints the largest movements between two snapshots."""
    stayed = sum(row.member_count for row in movements if row.from_segment == row.to_segment)
    moved = sorted((row for row in movements if row.from_segment != row.to_segment), key=lambda row: -row.member_count)
    days = f"{earlier.cutoff_time.ToDatetime():%Y-%m-%d} to {later.cutoff_time.ToDatetime():%Y-%m-%d}"
    table = Table("from", "to", "members", title=f"Largest movements, {days} ({stayed:,} stayed where they were)")
    for row in moved[:_MOST_MOVEMENTS]:
        table.add_row(segment_name(row.from_segment), segment_name(row.to_segment), f"{row.member_count:,}")
    console.print(table)


def print_model_card(model: ChurnModel, gate: Gate) -> None:
    """Prints the model against its baselines, and the gate as recomputed from the raw purchases."""
    title = (
        f"Churn within {model.horizon_days} days of {model.test_cutoff_time.ToDatetime():%Y-%m-%d}: "
        f"{model.test_member_count:,} members, {model.test_base_rate:.3f} left"
    )
    table = Table(
        "", "ROC-AUC", "AP churn", "AP stay", "Brier", "skill", "ECE", "lift at 10 %", title=title, show_lines=True
    )
    for row in model.metrics:
        table.add_row(row.name, *_cells(row))
    console.print(table)
    console.print(f"  {model.algorithm}, {len(model.features)} features; below each figure its 95 % bootstrap interval")
    console.print(
        f"  [bold green]Gate reached[/], recomputed here from the raw purchases: ROC-AUC {gate.roc_auc:.4f} "
        f"(>= {LEAST_ROC_AUC}), ECE {gate.ece:.4f} (<= {MOST_ECE}), Brier {gate.brier:.4f} (<= {MOST_BRIER}), "
        f"n {gate.n:,}, base rate {gate.base_rate:.3f}"
    )


def _cells(row: ChurnMetrics) -> list[str]:
    def cell(name: str) -> str:
        estimate: Estimate = getattr(row, name)
        return f"{estimate.value:.3f}\n{estimate.low:.3f}-{estimate.high:.3f}" if row.HasField(name) else "-"  # type: ignore[arg-type]  # names of ChurnMetrics

    names = ("roc_auc", "average_precision_churn", "average_precision_stay", "brier", "brier_skill", "ece")
    return [*(cell(name) for name in names), cell("lift_at_10_percent")]


def print_at_risk(scores: Sequence[ChurnScore], households: Mapping[str, int]) -> None:
    """Prints the ten members likeliest to leave among the better half by spend, with the reasons in words."""
    middle = sorted(score.net_spend_minor for score in scores)[len(scores) // 2]
    worth = [score for score in scores if score.net_spend_minor >= middle][:_MOST_AT_RISK]
    title = "Ten members at risk, of the half that spends most"
    table = Table("household", "leaves", "spent in a year", "why", title=title, show_lines=True)
    for score in worth:
        reasons = "\n".join(f"{reason.text} ({reason.effect:+.0%})" for reason in score.reasons)
        spend = money(score.net_spend_minor, CURRENCY_CODE)
        table.add_row(str(households[score.user_id]), f"{score.probability:.0%}", spend, reasons)
    console.print(table)


def write_scores(path: Path, probabilities: Mapping[int, float]) -> None:
    """Writes `household,probability`, by household."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("household", "probability"))
        writer.writerows((household, repr(value)) for household, value in sorted(probabilities.items()))


def write_report(
    path: Path, freshness: GetFreshnessResponse, refunds: Any, gate: Gate, seconds: dict[str, float]
) -> None:
    """Writes the figures of the run.

    Args:
        path: The JSON to write.
        freshness: The totals of both stores at the end.
        refunds: Count and sum of the refunds that the demo made, to take off when recomputing from the raw data.
        gate: The quality of the scores.
        seconds: How long each step took.
    """
    report = {
        "postgres": _totals(freshness.postgres),
        "clickhouse": _totals(freshness.clickhouse),
        "refunds_made_by_the_demo": refunds,
        **asdict(gate),
        "seconds": seconds,
    }
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


def _totals(totals: StoreTotals) -> dict[str, int | str]:
    return {"count": totals.entry_count, "sum_minor": totals.sum_minor, "hash": f"{totals.hash:016x}"}
