"""Judges a model on its test window: figures with intervals, against the baselines, and against the model that serves.

All ways of ranking see the same bootstrap resamples of members, so their differences are paired.

The ECE sums absolute gaps, and chance adds to each, in a resample once more than in the members themselves: the
percentiles alone would lie above the figure. So its interval is moved down by the mean of what resampling adds, to 0 at
most, and lies around the figure. The figure still holds what chance adds to it: it never flatters the model.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from svoykrug_server.analytics.churn import bgnbd, metrics
from svoykrug_server.analytics.churn.estimator import Window
from svoykrug_server.analytics.churn.features import bg_nbd_statistics, recency_ranking, rfm_ranking
from svoykrug_server.analytics.churn.metrics import Ranked, Vector, Weighed
from svoykrug_server.analytics.churn.model import CalibrationBin, Difference, Estimate, Measurement

if TYPE_CHECKING:
    import pyarrow as pa

RESAMPLES = 500
MANY_MEMBERS = 10_000
RESAMPLES_OF_MANY = 200
"""With many members the intervals are narrow, and each resample costs milliseconds."""
_INTERVAL = (2.5, 97.5)
_SEED = 20_171_201
_FORECASTS = frozenset({"model", "bg_nbd", "serving"})
_BIASED = frozenset({"ece"})


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of judging a model.

    Attributes:
        measurements: The model, then `recency`, `rfm_sum`, `bg_nbd`.
        differences: The model less each baseline, and less the serving model when there is one, in every figure that
            both have.
        calibration: The model's bins.
    """

    measurements: tuple[Measurement, ...]
    differences: tuple[Difference, ...]
    calibration: tuple[CalibrationBin, ...]


def baselines(window: Window, past: Window, horizon_days: int) -> dict[str, Vector]:
    """Returns the score each baseline gives, the higher the likelier to leave; each of shape (members,).

    Args:
        window: The window to rank.
        past: The last training window: BG/NBD is fitted on it.
        horizon_days: H.
    """
    fitted = bgnbd.fit(*bg_nbd_statistics(past.raw))
    return {
        "recency": recency_ranking(window.raw),
        "rfm_sum": rfm_ranking(window.raw),
        "bg_nbd": fitted.no_purchase_probability(*bg_nbd_statistics(window.raw), horizon_days),
    }


def judge(churned: Vector, scores: dict[str, Vector]) -> Judgement:
    """Measures every way of ranking on the same members and the same resamples.

    Args:
        churned: 1 for churned, else 0, shape (members,).
        scores: By name, each of shape (members,): `model`, the baselines and, where one serves, `serving`.
    """
    resamples = RESAMPLES if len(churned) <= MANY_MEMBERS else RESAMPLES_OF_MANY
    with threadpool_limits(1):
        # Threads of BLAS that wait for each other cost four times the processor time of one.
        samples = _resample(churned, scores, resamples)
    cap = metrics.lift_cap(float(churned.mean()))
    measured = tuple(
        Measurement(name, {figure: _measured(figure, values) for figure, values in sample.items()}, cap)
        for name, sample in samples.items()
        if name != "serving"
    )
    return Judgement(measured, tuple(_differences(samples)), _calibration(churned, scores["model"]))


def grade(parts: "list[pa.Table]") -> tuple[float, float, dict[str, float], tuple[CalibrationBin, ...]]:
    """Grades a forecast.

    Args:
        parts: Blocks with the columns `probability` and `churned`.

    Returns:
        The mean of what was said, the share that left, ROC-AUC, Brier score and ECE, and ten bins of equal mass.
    """
    said = np.concatenate([part["probability"].to_numpy() for part in parts])
    happened = np.concatenate([part["churned"].to_numpy() for part in parts])
    weighed = Weighed.of(Ranked.of(happened, said), np.ones_like(said))
    figures = {name: metrics.FORECAST_FIGURES[name](weighed) for name in ("roc_auc", "brier", "ece")}
    return float(said.mean()), float(happened.mean()), figures, _calibration(happened, said)


def _resample(churned: Vector, scores: dict[str, Vector], resamples: int) -> dict[str, dict[str, Vector]]:
    """Returns each score's figures on the members themselves and then on each resample; arrays (1 + resamples,)."""
    ranked = {name: Ranked.of(churned, score) for name, score in scores.items()}
    figures = {name: metrics.FORECAST_FIGURES if name in _FORECASTS else metrics.RANKING_FIGURES for name in scores}
    values = {name: {figure: np.empty(resamples + 1) for figure in figures[name]} for name in scores}
    random = np.random.default_rng(_SEED)
    members = len(churned)
    for row in range(resamples + 1):
        drawn = np.ones(members)
        if row > 0:
            drawn = np.bincount(random.integers(0, members, members), minlength=members).astype(np.float64)
        for name in scores:
            weighed = Weighed.of(ranked[name], drawn[ranked[name].order])
            for figure, measure in figures[name].items():
                values[name][figure][row] = measure(weighed)
    return values


def _measured(figure: str, values: Vector) -> Estimate:
    """Returns a figure with its interval.

    Args:
        figure: Its name.
        values: Of the members first, then of each resample; shape (1 + resamples,).
    """
    estimate = _estimate(values)
    if figure not in _BIASED:
        return estimate
    bias = float(values[1:].mean()) - estimate.value
    return Estimate(estimate.value, max(0.0, estimate.low - bias), estimate.high - bias)


def _estimate(values: Vector) -> Estimate:
    low, high = np.percentile(values[1:], _INTERVAL)
    return Estimate(float(values[0]), float(low), float(high))


def _differences(samples: dict[str, dict[str, Vector]]) -> list[Difference]:
    found: list[Difference] = []
    for name, sample in samples.items():
        if name == "model":
            continue
        for figure, values in sample.items():
            difference = samples["model"][figure] - values
            better = difference[1:] < 0 if figure in metrics.LOWER_IS_BETTER else difference[1:] > 0
            found.append(Difference(name, figure, _estimate(difference), float(better.mean())))
    return found


def _calibration(churned: Vector, probability: Vector) -> tuple[CalibrationBin, ...]:
    bins = metrics.calibration(Ranked.of(churned, probability))
    return tuple(
        CalibrationBin(float(said), float(happened), int(mass)) for mass, said, happened in zip(*bins, strict=True)
    )
