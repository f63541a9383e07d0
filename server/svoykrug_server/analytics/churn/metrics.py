"""How good a ranking or a forecast is.

Every member has a weight, so that a bootstrap resample costs no sorting; what several figures need of the weights is
summed once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

CALIBRATION_BINS = 10
LIFT_SHARE = 0.10


@dataclass(frozen=True, slots=True)
class Ranked:
    """Members in the order of a score, the highest first, with what happened to them.

    Attributes:
        order: Positions of the members before sorting, shape (members,).
        label: 1 for churned, else 0, in order; shape (members,).
        score: In order, shape (members,).
        squared_error: Of the score as a probability, in order; shape (members,).
        last_of_tie: Positions where a run of equal scores ends, shape (distinct scores,).
    """

    order: npt.NDArray[np.int64]
    label: Vector
    score: Vector
    squared_error: Vector
    last_of_tie: npt.NDArray[np.int64]

    @classmethod
    def of(cls, label: Vector, score: Vector) -> "Ranked":
        """Sorts members by score.

        Args:
            label: 1 for churned, else 0, shape (members,).
            score: The higher, the likelier to churn, shape (members,).
        """
        order = np.argsort(-score, kind="stable")
        ordered, happened = score[order], label[order].astype(np.float64)
        last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
        return cls(order, happened, ordered, (ordered - happened) ** 2, last)


@dataclass(frozen=True, slots=True)
class Weighed:
    """Ranked members, each so many times.

    Attributes:
        ranked: The members.
        weight: Of each, in order; shape (members,).
        upto: The weight down to each member, shape (members,).
        true: The weight of churned members down to each distinct score, shape (distinct scores,).
        false: The weight of staying members down to each distinct score, shape (distinct scores,).
    """

    ranked: Ranked
    weight: Vector
    upto: Vector
    true: Vector
    false: Vector

    @classmethod
    def of(cls, ranked: Ranked, weight: Vector) -> "Weighed":
        """Weighs members.

        Args:
            ranked: The members.
            weight: Of each, in the order of `ranked`; shape (members,).
        """
        upto = np.cumsum(weight)
        true = np.cumsum(weight * ranked.label)[ranked.last_of_tie]
        return cls(ranked, weight, upto, true, upto[ranked.last_of_tie] - true)

    @property
    def total(self) -> float:
        """The weight of all members."""
        return float(self.upto[-1])


Figure = Callable[[Weighed], float]
"""A figure of weighed members."""


def roc_auc(weighed: Weighed) -> float:
    """Returns the area under the ROC curve, ties counted half; 0.5 when one class is missing."""
    true, false = weighed.true, weighed.false
    if true[-1] == 0 or false[-1] == 0:
        return 0.5
    false_steps = np.diff(false, prepend=0.0)
    heights = true - np.diff(true, prepend=0.0) / 2.0
    return float(false_steps @ heights / (true[-1] * false[-1]))


def average_precision(weighed: Weighed) -> float:
    """Returns the average precision for churn: the sum over thresholds of precision times the step in recall."""
    true, false = weighed.true, weighed.false
    if true[-1] == 0:
        return 0.0
    found = np.maximum(true + false, 1e-12)
    return float(np.diff(true, prepend=0.0) @ (true / found) / true[-1])


def average_precision_staying(weighed: Weighed) -> float:
    """Returns the average precision for staying, the least likely to churn first."""
    true, false = weighed.true, weighed.false
    if false[-1] == 0:
        return 0.0
    steps_true, steps_false = np.diff(true, prepend=0.0)[::-1], np.diff(false, prepend=0.0)[::-1]
    stayed = np.cumsum(steps_false)
    found = np.maximum(stayed + np.cumsum(steps_true), 1e-12)
    return float(steps_false @ (stayed / found) / stayed[-1])


def brier(weighed: Weighed) -> float:
    """Returns the mean squared difference between the probability and what happened."""
    return float(weighed.weight @ weighed.ranked.squared_error / weighed.total)


def brier_skill(weighed: Weighed) -> float:
    """Returns 1 - Brier / Brier of the base rate; 0 when one class is missing."""
    base_rate = weighed.true[-1] / weighed.total
    reference = base_rate * (1.0 - base_rate)
    return 0.0 if reference == 0 else float(1.0 - brier(weighed) / reference)


def expected_calibration_error(weighed: Weighed) -> float:
    """Returns the mean gap between what was said and what happened, over 10 bins of equal mass."""
    mass, said, happened = _bins(weighed)
    return float(np.abs(said - happened).sum() / mass.sum())


def lift_at_10_percent(weighed: Weighed) -> float:
    """Returns the churn rate among the 10 % ranked highest over the base rate; members of a tie count evenly."""
    true, found = weighed.true, weighed.true + weighed.false
    if true[-1] == 0:
        return 0.0
    caught = np.interp(LIFT_SHARE * weighed.total, np.append(0.0, found), np.append(0.0, true))
    return float(caught / (LIFT_SHARE * true[-1]))


def lift_cap(base_rate: float) -> float:
    """Returns the largest lift at 10 % that this base rate allows."""
    return 0.0 if base_rate == 0 else min(1.0 / base_rate, 1.0 / LIFT_SHARE)


def calibration(ranked: Ranked) -> tuple[Vector, Vector, Vector]:
    """Returns members, mean probability and churned share of 10 bins of equal mass, the highest first.

    Returns:
        Three arrays of shape (bins,); fewer than 10 bins when there are fewer members.
    """
    mass, said, happened = _bins(Weighed.of(ranked, np.ones_like(ranked.score)))
    return mass, said / mass, happened / mass


def _bins(weighed: Weighed) -> tuple[Vector, Vector, Vector]:
    """Returns the mass, summed probability and summed churn of each bin that holds anybody."""
    ranked, weight = weighed.ranked, weighed.weight
    before = weighed.upto - weight
    bins = np.minimum((CALIBRATION_BINS * before / weighed.total).astype(np.int64), CALIBRATION_BINS - 1)
    masses = (weight, weight * ranked.score, weight * ranked.label)
    mass, said, happened = (np.bincount(bins, each, CALIBRATION_BINS).astype(np.float64) for each in masses)
    filled = mass > 0
    return mass[filled], said[filled], happened[filled]


RANKING_FIGURES: dict[str, Figure] = {
    "roc_auc": roc_auc,
    "average_precision_churn": average_precision,
    "average_precision_stay": average_precision_staying,
    "lift_at_10_percent": lift_at_10_percent,
}
"""Figures of any ranking."""

FORECAST_FIGURES: dict[str, Figure] = {
    **RANKING_FIGURES,
    "brier": brier,
    "brier_skill": brier_skill,
    "ece": expected_calibration_error,
}
"""Figures of a forecast that says probabilities."""

LOWER_IS_BETTER = frozenset({"brier", "ece"})
