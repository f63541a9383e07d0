"""The pictures of the demo."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from svoykrug.analytics.v1.churn_pb2 import ChurnModel
from svoykrug.analytics.v1.snapshot_pb2 import SegmentFigures

from demo.words import segment_name

if TYPE_CHECKING:
    import pandas as pd

_INK, _QUIET, _ACCENT, _WARN = "#22223b", "#9a9ab0", "#7b2d5b", "#d1495b"
_SEGMENT_COLOURS = plt.get_cmap("viridis")(np.linspace(0.05, 0.9, 11))


def _new(title: str, subtitle: str, columns: int = 1, height: float = 5.4) -> tuple[Figure, list[Axes]]:
    figure, axes = plt.subplots(1, columns, figsize=(11, height), layout="constrained", squeeze=False)
    figure.suptitle(f"{title}\n", x=0.01, ha="left", fontsize=16, fontweight="bold", color=_INK)
    figure.text(0.01, 0.925, subtitle, fontsize=10, color=_QUIET)
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(colors=_INK, labelsize=9)
    return figure, list(axes[0])


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=130, facecolor="white")
    plt.close(figure)


def segments(path: Path, figures: Sequence[SegmentFigures], cutoff: str, currency_code: str) -> None:
    """Draws the members and the net spend of the eleven segments."""
    figure, (members, spend) = _new("Who the members are", f"RFM segments at {cutoff}, window 365 days", 2)
    names = [segment_name(row.segment) for row in figures]
    counts = [row.member_count for row in figures]
    money = [row.net_spend_minor / 100_000 for row in figures]
    for axis, values, label, text in (
        (members, counts, "members", "{:,.0f}"),
        (spend, money, f"net spend, thousand {currency_code}", "{:,.0f}"),
    ):
        bars = axis.barh(names, values, color=_SEGMENT_COLOURS)
        axis.bar_label(bars, labels=[text.format(value) for value in values], padding=4, fontsize=9, color=_INK)
        axis.invert_yaxis()
        axis.set_xlabel(label, color=_INK)
        axis.margins(x=0.14)
    spend.set_yticklabels([])
    _save(figure, path)


def calibration(path: Path, model: ChurnModel) -> None:
    """Draws what the model said against what happened, in ten bins of equal mass."""
    ours = next(row for row in model.metrics if row.name == "model")
    subtitle = (
        f"{model.test_member_count:,} members, horizon {model.horizon_days} days: ROC-AUC {ours.roc_auc.value:.3f}, "
        f"ECE {ours.ece.value:.3f}, Brier {ours.brier.value:.3f}"
    )
    figure, (axis, ranks) = _new("When we say 30 %, do 30 % leave?", subtitle, 2)
    said = [each.predicted for each in model.calibration]
    happened = [each.observed for each in model.calibration]
    # The interval of a share: 1.96 standard errors of a binomial.
    error = [1.96 * (each.observed * (1 - each.observed) / each.member_count) ** 0.5 for each in model.calibration]
    axis.plot([0, 1], [0, 1], color=_QUIET, linestyle="--", linewidth=1, label="perfect")
    axis.errorbar(said, happened, yerr=error, fmt="o-", color=_ACCENT, capsize=3, label="the model, 95 % interval")
    axis.set(xlabel="probability of leaving, as said", ylabel="share that left", xlim=(0, 1), ylim=(0, 1))
    axis.legend(frameon=False, loc="upper left")
    _ranking(ranks, model)
    _save(figure, path)


def _ranking(axis: Axes, model: ChurnModel) -> None:
    """Draws the ROC-AUC of the model and of the baselines with their intervals."""
    rows = sorted(model.metrics, key=lambda row: row.roc_auc.value)
    for position, row in enumerate(rows):
        auc, colour = row.roc_auc, _ACCENT if row.name == "model" else _QUIET
        interval = [[auc.value - auc.low], [auc.high - auc.value]]
        axis.errorbar(auc.value, position, xerr=interval, fmt="o", color=colour, capsize=3)
        axis.annotate(f"{auc.value:.3f}", (auc.value, position), (0, 8), textcoords="offset points", ha="center")
    axis.set_yticks(range(len(rows)), [row.name.replace("_", " ") for row in rows])
    axis.set(xlabel="ROC-AUC with its 95 % bootstrap interval", ylim=(-0.6, len(rows) - 0.4))
    axis.grid(axis="x", color=_QUIET, alpha=0.25)


def revenue(path: Path, weekly: "pd.DataFrame", currency_code: str) -> None:
    """Draws the revenue by week and business.

    Args:
        path: The PNG to write.
        weekly: A row a week (its first day), a column a business, net revenue in minor units.
        currency_code: The circle's currency.
    """
    figure, (axis,) = _new("What the partners sell", f"net revenue by week and business, thousand {currency_code}")
    ordered = weekly[weekly.sum().sort_values(ascending=False).index]
    colours = plt.get_cmap("tab20")(np.linspace(0, 1, ordered.shape[1]))
    axis.stackplot(ordered.index, (ordered.T / 100_000).to_numpy(), labels=list(ordered.columns), colors=colours)
    axis.set_ylabel(f"thousand {currency_code} a week", color=_INK)
    axis.set_xlim(ordered.index.min(), ordered.index.max())
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    _save(figure, path)


def churn_risk(path: Path, probabilities: Sequence[float], spend_minor: Sequence[int], currency_code: str) -> None:
    """Draws how many members are how likely to leave, and what they spent in the last year."""
    total = sum(p * s for p, s in zip(probabilities, spend_minor, strict=True)) / 100
    subtitle = f"{len(probabilities):,} members scored; expected loss of a year's spend {total:,.0f} {currency_code}"
    figure, (people, money) = _new("Who is about to leave", subtitle, 2)
    edges = np.linspace(0, 1, 21)
    middles = (edges[:-1] + edges[1:]) / 2
    counts, _ = np.histogram(probabilities, edges)
    sums, _ = np.histogram(probabilities, edges, weights=np.asarray(spend_minor, dtype=float) / 100_000)
    colours = [_WARN if middle >= 0.5 else _ACCENT for middle in middles]
    for axis, values, label in (
        (people, counts, "members"),
        (money, sums, f"spent in the last year, thousand {currency_code}"),
    ):
        axis.bar(middles, values, width=0.045, color=colours)
        axis.set(xlabel="probability of leaving", ylabel=label)
    _save(figure, path)
