"""What may come of members within a horizon: distributions of their purchases and spend, all of it in closed form.

A member's rate is gamma-distributed, and what she did long ago counts less: a purchase day that lies d days back has
the weight exp(-d / 3H), and so has a day that was observed. So the rate follows her when she comes more or less often,
or leaves. The weighted days are as sure as E^2 / integral of weight^2 unweighted ones. Days with a purchase are then
negative binomial. Spend is their compound with `spending`; its part above zero is taken for a gamma distribution of the
same first two moments.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, gammainc, gammaincinv

from svoykrug_server.analytics.churn.features import COLUMN, Matrix, Vector, observed_days
from svoykrug_server.analytics.value.spending import GammaGamma

_MEMORY_HORIZONS = 3.0
"""The weight of the column `lasting_weight`."""


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
        tenure = np.maximum(observed_days(raw), 1.0)
        seen = memory * -np.expm1(-tenure / memory)
        sureness = seen / (memory / 2.0 * -np.expm1(-2.0 * tenure / memory))
        return cls(
            sureness * (prior_shape + np.maximum(raw[:, COLUMN["lasting_weight"]], 0.0)),
            sureness * (prior_days + seen),
        )


@dataclass(frozen=True, slots=True)
class Outlook:
    """The distributions of a block of members; every array has shape (members,).

    Attributes:
        horizon_days: H; nobody has more days with a purchase than this.
        count_shape: Shape of the negative binomial number of days with a purchase.
        none: The probability of each of its failures.
        nothing: The probability of no purchase.
        spend_mean: The mean of the spend.
        spend_shape: Shape of the spend of those who buy.
        spend_scale: Its scale, in minor units.
    """

    horizon_days: int
    count_shape: Vector
    none: Vector
    nothing: Vector
    spend_mean: Vector
    spend_shape: Vector
    spend_scale: Vector

    @classmethod
    def of(cls, raw: Matrix, rates: Rates, spending: GammaGamma, horizon_days: int) -> "Outlook":
        """Returns the distributions of members.

        Args:
            raw: The warehouse's columns `features.RAW`, shape (members, 23).
            rates: How often they buy.
            spending: What the scope's members spend on a day.
            horizon_days: H.
        """
        count = rates.shape * horizon_days / rates.days
        none = rates.days / (rates.days + horizon_days)
        days, spend = raw[:, COLUMN["purchase_days"]], np.maximum(raw[:, COLUMN["spend_minor"]], 0.0)
        first, second = spending.day_moments(days, spend)
        p = spending.p
        mean = p * count * first
        square = p * (p * (count + count**2 * (1.0 + 1.0 / rates.shape)) + count) * second
        nothing = none**rates.shape
        something = np.maximum(1.0 - nothing, 1e-12)
        if_any = mean / something
        variance = np.maximum(square / something - if_any**2, 1e-12 * if_any**2)
        return cls(horizon_days, rates.shape, none, nothing, mean, if_any**2 / variance, variance / if_any)

    @property
    def count_mean(self) -> Vector:
        """The expected number of days with a purchase, at most H."""
        return np.minimum(self.count_shape * (1.0 - self.none) / self.none, self.horizon_days)

    def count_below(self, counts: Vector) -> Vector:
        """Returns the probability of so many days with a purchase or fewer; 0 below none, 1 from H on."""
        upto = np.clip(counts, 0.0, None)
        share = np.where(counts < self.horizon_days, betainc(self.count_shape, upto + 1.0, self.none), 1.0)
        below: Vector = np.where(counts < 0, 0.0, share)
        return below

    def count_quantile(self, level: Vector) -> npt.NDArray[np.int64]:
        """Returns the least number of days with a purchase whose distribution function reaches each member's level."""
        counts = np.zeros(len(level), dtype=np.int64)
        below = np.arange(len(level))
        for count in range(self.horizon_days):
            below = below[betainc(self.count_shape[below], count + 1.0, self.none[below]) < level[below]]
            if not len(below):
                break
            counts[below] += 1
        return counts

    def spend_below(self, spend: Vector) -> Vector:
        """Returns the probability of spending so much or less, in minor units, of at least 0."""
        below: Vector = self.nothing + (1.0 - self.nothing) * gammainc(self.spend_shape, spend / self.spend_scale)
        return below

    def spend_quantile(self, level: Vector) -> Vector:
        """Returns the least spend whose distribution function reaches each member's level."""
        rest = np.clip((level - self.nothing) / np.maximum(1.0 - self.nothing, 1e-12), 0.0, 1.0)
        quantile: Vector = gammaincinv(self.spend_shape, rest) * self.spend_scale
        return quantile
