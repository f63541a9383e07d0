"""Gamma-gamma: what a member spends on a day with a purchase.

Fader, Hardie: The Gamma-Gamma Model of Monetary Value, 2013. Spend per day is gamma(p, nu) and nu differs between
members as gamma(q, gamma). It takes for granted that those who come often spend no more or less on a day than others:
`independence` says how true that is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import gammaln

Vector = npt.NDArray[np.float64]

_LOG_BOUND = 6.0
_LEAST_Q = 2.5
"""Below 2 the variance of what the next day brings is infinite."""
_PRIOR_WEIGHT = 1e-4
_START = np.log(np.array([2.0, 4.0, 2.0]))


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """The three parameters.

    Attributes:
        p: Shape of one member's days.
        q: Shape of how members differ.
        gamma: Its scale, in minor units.
    """

    p: float
    q: float
    gamma: float

    def day_moments(self, days: Vector, spend_minor: Vector) -> tuple[Vector, Vector]:
        """Returns the posterior means of 1 / nu and 1 / nu^2 of each member, each of shape (members,).

        Args:
            days: On how many days she bought, shape (members,).
            spend_minor: What she spent on them, shape (members,).
        """
        shape, scale = self.q + self.p * days, self.gamma + spend_minor
        first = scale / (shape - 1.0)
        return first, first * scale / (shape - 2.0)


def fit(days: Vector, spend_minor: Vector) -> GammaGamma:
    """Fits by maximum likelihood on the members who spent anything; they may be none.

    Args:
        days: On how many days each member bought, shape (members,).
        spend_minor: What she spent on them, shape (members,).
    """
    paid = (days > 0) & (spend_minor > 0)
    if not paid.any():
        return GammaGamma(1.0, _LEAST_Q, 1.0)
    n, mean = days[paid], spend_minor[paid] / days[paid]
    unit = float(np.mean(mean))
    mean = mean / unit

    def loss(log_parameters: Vector) -> float:
        p, q, gamma = np.exp(log_parameters)
        pn = p * n
        likelihood = gammaln(pn + q) - gammaln(pn) - gammaln(q) + q * np.log(gamma)
        likelihood += (pn - 1.0) * np.log(mean) + pn * np.log(n) - (pn + q) * np.log(gamma + n * mean)
        return float(-np.mean(likelihood) + _PRIOR_WEIGHT * np.sum((log_parameters - _START) ** 2))

    bounds = [(-_LOG_BOUND, _LOG_BOUND), (np.log(_LEAST_Q), _LOG_BOUND), (-_LOG_BOUND, _LOG_BOUND)]
    p, q, gamma = np.exp(minimize(loss, _START, method="L-BFGS-B", bounds=bounds).x)
    return GammaGamma(float(p), float(q), float(gamma) * unit)


def independence(days: Vector, spend_minor: Vector) -> float:
    """Returns the correlation between how often members buy and what they spend on a day; 0 is ideal.

    It is of the means themselves: logarithms of means of few days are biased down, which looks like dependence.

    Args:
        days: On how many days each member bought, shape (members,).
        spend_minor: What she spent on them, shape (members,).
    """
    paid = (days > 0) & (spend_minor > 0)
    often, much = days[paid], spend_minor[paid] / days[paid]
    if len(often) < 2 or not often.std() or not much.std():
        return 0.0
    return float(np.corrcoef(often, much)[0, 1])
