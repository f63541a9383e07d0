"""Expected purchases and spend within a horizon, with 80 % intervals; all of it in closed form.

A member's rate is gamma-distributed, and what she did long ago counts less: a purchase day that lies d days back has
the weight exp(-d / 3H), and so has a day that was observed. So the rate follows her when she comes more or less often,
or leaves. The weighted days are as sure as E^2 / integral of weight^2 unweighted ones. Days with a purchase are then
negative binomial. Spend is their compound with `spending`; its part above zero is taken for a gamma distribution of the
same first two moments.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, gammaincinv

from svoykrug_server.analytics.churn.features import COLUMN, Matrix, Vector
from svoykrug_server.analytics.value.spending import GammaGamma

LOW, HIGH = 0.1, 0.9
_MEMORY_HORIZONS = 3.0
"""The weight of the column `lasting_weight`."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a block of members is expected to buy; every array has shape (members,)."""

    purchase_count: Vector
    purchase_count_low: npt.NDArray[np.int64]
    purchase_count_high: npt.NDArray[np.int64]
    spend_minor: Vector
    spend_low_minor: Vector
    spend_high_minor: Vector


@dataclass(frozen=True, slots=True)
class Rates:
    """How often members buy, a gamma distribution for each of them.

    Attributes:
        shape: Its shape, shape (members,).
        days: The days that it rests on, shape (members,).
    """

    shape: Vector
    days: Vector

    @classmethod
    def of(cls, raw: Matrix, prior_shape: float, prior_days: float, horizon_days: int) -> "Rates":
        """Returns what the members' columns say of their rates.

        Args:
            raw: The warehouse's columns `features.RAW`, shape (members, 23).
            prior_shape: r of the scope's BG/NBD.
            prior_days: Its alpha.
            horizon_days: H.
        """
        memory = _MEMORY_HORIZONS * horizon_days
        tenure = np.maximum(raw[:, COLUMN["tenure_days"]], 1.0)
        seen = memory * -np.expm1(-tenure / memory)
        sureness = seen / (memory / 2.0 * -np.expm1(-2.0 * tenure / memory))
        return cls(
            sureness * (prior_shape + np.maximum(raw[:, COLUMN["lasting_weight"]], 0.0)),
            sureness * (prior_days + seen),
        )


def forecast(raw: Matrix, rates: Rates, spending: GammaGamma, horizon_days: int) -> Forecast:
    """Returns what members are expected to buy within a horizon.

    Args:
        raw: The warehouse's columns `features.RAW`, shape (members, 23).
        rates: How often they buy.
        spending: What the scope's members spend on a day.
        horizon_days: H; nobody has more days with a purchase than this.
    """
    count = rates.shape * horizon_days / rates.days
    none = rates.days / (rates.days + horizon_days)
    days, spend = raw[:, COLUMN["purchase_days"]], np.maximum(raw[:, COLUMN["spend_minor"]], 0.0)
    first, second = spending.day_moments(days, spend)
    p = spending.p
    mean = p * count * first
    square = p * (p * (count + count**2 * (1.0 + 1.0 / rates.shape)) + count) * second
    nothing = none**rates.shape
    return Forecast(
        purchase_count=np.minimum(count, horizon_days),
        purchase_count_low=_count_quantile(LOW, rates.shape, none, horizon_days),
        purchase_count_high=_count_quantile(HIGH, rates.shape, none, horizon_days),
        spend_minor=mean,
        spend_low_minor=_spend_quantile(LOW, nothing, mean, square),
        spend_high_minor=_spend_quantile(HIGH, nothing, mean, square),
    )


def _count_quantile(level: float, shape: Vector, none: Vector, most: int) -> npt.NDArray[np.int64]:
    """Returns the least count whose negative binomial distribution function reaches a level."""
    counts = np.zeros(len(shape), dtype=np.int64)
    below = np.arange(len(shape))
    for count in range(most):
        below = below[betainc(shape[below], count + 1.0, none[below]) < level]
        if not len(below):
            break
        counts[below] += 1
    return counts


def _spend_quantile(level: float, nothing: Vector, mean: Vector, square: Vector) -> Vector:
    """Returns a quantile of a spend that is nothing with one probability, else gamma-distributed."""
    something = np.maximum(1.0 - nothing, 1e-12)
    if_any = mean / something
    variance = np.maximum(square / something - if_any**2, 1e-12 * if_any**2)
    rest = np.clip((level - nothing) / something, 0.0, 1.0)
    quantile: Vector = gammaincinv(if_any**2 / variance, rest) * variance / if_any
    return quantile
