"""How good churn is: `python benchmarks/churn_quality.py`, from the root; it writes the table of docs/churn-quality.md.

Complete Journey at four cutoffs and three horizons, trained and judged by the product's own code, against recency, the
RFM sum and BG/NBD on the same members and the same bootstrap resamples. It takes a minute or two.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import uvloop
from matplotlib.axes import Axes
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.journey_models import (
    CUTOFFS,
    GATE_CUTOFF,
    GATE_HORIZON_DAYS,
    Trained,
    row_of,
    trained_models,
    write_between,
)
from svoykrug_server.analytics.churn.metrics import LOWER_IS_BETTER, RANKING_FIGURES
from svoykrug_server.analytics.churn.model import Difference, Estimate, Measurement
from svoykrug_server.rpc.logs import configure_logging

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURE = ROOT / "docs" / "churn-quality.md", ROOT / "docs" / "pictures" / "churn-calibration.png"
NAMES = {"model": "**model**", "recency": "recency", "rfm_sum": "RFM sum", "bg_nbd": "BG/NBD"}
FIGURES = {
    "roc_auc": "ROC-AUC",
    "average_precision_churn": "AP leaving",
    "average_precision_stay": "AP staying",
    "lift_at_10_percent": "lift at 10 %",
    "brier": "Brier",
    "brier_skill": "skill",
    "ece": "ECE",
}
GATE = {"roc_auc": 0.885, "ece": 0.025, "brier": 0.098}
"""At least, at most, at most."""
GATE_MEMBERS, GATE_BASE_RATE = 2_463, 0.180
_INK, _QUIET, _COLOURS = "#22223b", "#9a9ab0", ("#440154", "#31688e", "#35b779", "#d1495b")


def number(value: float, *, signed: bool = False) -> str:
    """Returns a figure to three decimals without the leading zero."""
    text = f"{value:+.3f}" if signed else f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text[:-1]


def interval(estimate: Estimate, *, signed: bool = False) -> str:
    """Returns a figure with its interval."""
    low, high = (number(each, signed=signed) for each in (estimate.low, estimate.high))
    return f"{number(estimate.value, signed=signed)} ({low} to {high})"


def figures_table(models: Sequence[Trained]) -> Iterator[str]:
    """Yields the table of one horizon: every way of ranking, every figure."""
    yield row_of(["cutoff", "members", "left", "", *FIGURES.values()])
    yield row_of(["---", "---:", "---:", "---", *["---:"] * len(FIGURES)])
    for trained in models:
        card = trained.model.card
        for measured in card.metrics:
            first = measured.name == "model"
            head = [
                f"{trained.model.plan.test_cutoff:%d %b}",
                f"{card.test_member_count:,}",
                number(card.test_base_rate),
            ]
            yield row_of(
                [*(head if first else [""] * 3), NAMES[measured.name], *(_cell(measured, each) for each in FIGURES)]
            )


def _cell(measured: Measurement, figure: str) -> str:
    if figure not in measured.figures:
        return ""
    cap = f" of {number(measured.lift_cap)}" if figure == "lift_at_10_percent" else ""
    return interval(measured.figures[figure]) + cap


def best_baseline(trained: Trained, figure: str) -> Difference:
    """Returns the comparison with the baseline that is best in a figure on this very window."""
    rows = [row for row in trained.model.card.metrics if row.name != "model" and figure in row.figures]
    sign = 1 if figure in LOWER_IS_BETTER else -1
    best = min(rows, key=lambda row: sign * row.figures[figure].value).name
    return next(row for row in trained.model.card.differences if (row.other, row.figure) == (best, figure))


def verdict(difference: Difference) -> int:
    """Returns 2 when the model is better beyond doubt, 1 when better, -1 when not, -2 when worse beyond doubt."""
    sign = -1 if difference.figure in LOWER_IS_BETTER else 1
    value, ends = sign * difference.estimate.value, [sign * difference.estimate.low, sign * difference.estimate.high]
    if min(ends) > 0:
        return 2
    return -2 if max(ends) < 0 else 1 if value > 0 else -1


def comparisons(models: Sequence[Trained], figures: Sequence[str]) -> Iterator[str]:
    """Yields the table of the model less the best baseline of each figure; bold where the interval leaves no doubt."""
    yield row_of(["horizon", "cutoff", *(FIGURES[figure] for figure in figures)])
    yield row_of(["---:", "---", *["---:"] * len(figures)])
    for trained in models:
        cells = []
        for figure in figures:
            found = best_baseline(trained, figure)
            text = f"{interval(found.estimate, signed=True)} {NAMES[found.other]}"
            cells.append(f"**{text}**" if verdict(found) == 2 else f"{text} †" if verdict(found) < 0 else text)
        yield row_of([str(trained.model.plan.horizon_days), f"{trained.model.plan.test_cutoff:%d %b}", *cells])


def losses(models: Sequence[Trained]) -> Iterator[str]:
    """Yields how often the model is ahead of the best baseline in each figure, and where it is not."""
    for figure, title in FIGURES.items():
        if figure == "brier_skill":
            continue
        found = [(trained.model.plan, best_baseline(trained, figure)) for trained in models]
        ahead, sure = (sum(verdict(row) >= least for _, row in found) for least in (1, 2))
        behind = [
            f"H = {plan.horizon_days}, {plan.test_cutoff:%d %b} ({NAMES[row.other]}"
            f"{', beyond doubt' if verdict(row) == -2 else ''})"
            for plan, row in found
            if verdict(row) < 0
        ]
        lost = f" Behind at {'; '.join(behind)}." if behind else ""
        yield f"- {title}: ahead in {ahead} of {len(found)}, beyond doubt in {sure}.{lost}"


def gate(models: Sequence[Trained]) -> Iterator[str]:
    """Yields the gate's table.

    Raises:
        SystemExit: The gate is not reached.
    """
    (trained,) = [each for each in models if _cell_of(each) == (GATE_HORIZON_DAYS, GATE_CUTOFF)]
    card = trained.model.card
    figures = next(row for row in card.metrics if row.name == "model").figures
    if (card.test_member_count, round(card.test_base_rate, 3)) != (GATE_MEMBERS, GATE_BASE_RATE):
        raise SystemExit("the test window is not that of the gate")
    yield row_of(["", "asked", "reached"])
    yield row_of(["---", "---:", "---:"])
    for figure, limit in GATE.items():
        value, most = figures[figure].value, figure in LOWER_IS_BETTER
        if value > limit if most else value < limit:
            raise SystemExit(f"the gate is not reached: {figure} {value:.4f}")
        yield row_of(
            [FIGURES[figure], f"{'at most' if most else 'at least'} {number(limit)}", interval(figures[figure])]
        )


def _cell_of(trained: Trained) -> tuple[int, datetime]:
    return trained.model.plan.horizon_days, trained.model.plan.test_cutoff


def page_text(models: Sequence[Trained]) -> str:
    """Returns what the page says of a run."""
    lines = [f"Measured on {datetime.now(UTC):%d %B %Y}, load average {os.getloadavg()[0]:.1f}.", ""]
    lines += ["### The gate", "", *gate(models), "", "### Against the best baseline of each figure", ""]
    lines += [
        *comparisons(models, list(RANKING_FIGURES)),
        "",
        "Forecasts, against BG/NBD, the one baseline that makes any:",
        "",
    ]
    lines += [*comparisons(models, ["brier", "ece"]), "", *losses(models), ""]
    for horizon in CUTOFFS:
        of_horizon = [trained for trained in models if trained.model.plan.horizon_days == horizon]
        lines += [f"### Horizon {horizon} days", "", *figures_table(of_horizon), ""]
    return "\n".join(lines)


def draw(models: Sequence[Trained], path: Path) -> None:
    """Draws what was said against what happened, a panel for each horizon."""
    figure, axes = plt.subplots(1, len(CUTOFFS), figsize=(12, 4.4), layout="constrained", sharey=True)
    for axis, horizon in zip(axes, CUTOFFS, strict=True):
        axis.plot([0, 1], [0, 1], color=_QUIET, linestyle="--", linewidth=1)
        of_horizon = [trained for trained in models if trained.model.plan.horizon_days == horizon]
        for trained, colour in zip(of_horizon, _COLOURS, strict=True):
            _curve(axis, trained, colour)
        axis.set(title=f"horizon {horizon} days", xlabel="probability of leaving, as said", xlim=(0, 1), ylim=(0, 1))
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, loc="upper left", fontsize=8)
    axes[0].set_ylabel("share that left")
    figure.suptitle("Ten bins of equal mass per cutoff, 95 % binomial intervals", fontsize=10, color=_INK)
    figure.savefig(path, dpi=90, facecolor="white")
    plt.close(figure)


def _curve(axis: Axes, trained: Trained, colour: str) -> None:
    bins = trained.model.card.calibration
    said, happened = [each.predicted for each in bins], [each.observed for each in bins]
    # The interval of a share: 1.96 standard errors of a binomial.
    error = [1.96 * (each.observed * (1 - each.observed) / each.member_count) ** 0.5 for each in bins]
    label = f"{trained.model.plan.test_cutoff:%d %B}"
    axis.errorbar(said, happened, yerr=error, fmt="o-", color=colour, capsize=2, markersize=3, linewidth=1, label=label)


def main() -> None:
    """Measures, writes the page and draws the picture."""
    configure_logging(human=True, level="ERROR")
    models = uvloop.run(trained_models())
    write_between(PAGE, "churn quality", page_text(models))
    draw(models, PICTURE)
    Console().print(f"written: {PAGE.relative_to(ROOT)}, {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
