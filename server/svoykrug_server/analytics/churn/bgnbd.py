"""BG/NBD: purchases as a Poisson process that may end after any purchase.

Fader, Hardie, Lee: "Counting Your Customers" the Easy Way, Marketing Science 24(2), 2005. A member is summed up by x
(purchase days after her first), t_x (days from her first to her last) and T (days from her first to the cutoff).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import gammaln

Vector = npt.NDArray[np.float64]

_LOG_BOUND = 12.0
"""Parameters are kept within e^-12..e^12: beyond, the likelihood is flat where nobody ever leaves."""
_PRIOR_WEIGHT = 1e-4
"""A faint pull of the log parameters to the start, so that a flat likelihood has one maximum."""
_START = np.log(np.array([1.0, 10.0, 0.5, 2.5]))


@dataclass(frozen=True, slots=True)
class BgNbd:
    """The four parameters.

    Attributes:
        r: Shape of the gamma distribution of purchase rates.
        alpha: Its scale, in days.
        a: First shape of the beta distribution of leaving after a purchase.
        b: Its second shape.
    """

    r: float
    alpha: float
    a: float
    b: float

    def __post_init__(self) -> None:
        """Refuses parameters outside their domain.

        Raises:
            ValueError: One is not a positive finite number.
        """
        for name in ("r", "alpha", "a", "b"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} of a BG/NBD model must be a positive number")

    def no_purchase_probability(self, x: Vector, t_x: Vector, observed_days: Vector, horizon_days: float) -> Vector:
        """Returns the probability of no purchase within the horizon.

        It is `1 - P(alive) (1 - ((alpha+T)/(alpha+T+H))^(r+x))`. P(alive) alone is 1 for every one-time buyer and ranks
        worse than chance, so it is never used by itself.

        Args:
            x: Purchase days after the first, shape (members,).
            t_x: Days from the first to the last, shape (members,).
            observed_days: T, days from the first to the cutoff, shape (members,).
            horizon_days: H.
        """
        after = (self.alpha + observed_days) / (self.alpha + observed_days + horizon_days)
        silent_if_alive = after ** (self.r + x)
        return 1.0 - self._alive(x, t_x, observed_days) * (1.0 - silent_if_alive)

    def _alive(self, x: Vector, t_x: Vector, observed_days: Vector) -> Vector:
        ratio = np.log((self.alpha + observed_days) / (self.alpha + t_x))
        log_odds_left = np.log(self.a) - np.log(self.b + np.maximum(x, 1.0) - 1.0) + (self.r + x) * ratio
        left = 1.0 / (1.0 + np.exp(np.clip(-log_odds_left, -700.0, 700.0)))
        return np.where(x > 0, 1.0 - left, 1.0)


def log_likelihood(log_parameters: Vector, x: Vector, t_x: Vector, observed_days: Vector) -> Vector:
    """Returns each member's log likelihood, equation (6) of the paper in logarithms.

    Args:
        log_parameters: Logarithms of r, alpha, a, b, shape (4,).
        x: Purchase days after the first, shape (members,).
        t_x: Days from the first to the last, shape (members,).
        observed_days: T, shape (members,).
    """
    r, alpha, a, b = np.exp(log_parameters)
    rate = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stays = gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
    alive = -(r + x) * np.log(alpha + observed_days)
    left = np.log(a) - np.log(b + np.maximum(x, 1.0) - 1.0) - (r + x) * np.log(alpha + t_x)
    either: Vector = rate + stays + np.logaddexp(alive, np.where(x > 0, left, -np.inf))
    return either


def fit(x: Vector, t_x: Vector, observed_days: Vector) -> BgNbd:
    """Fits the four parameters by maximum likelihood on the distinct (x, t_x, T) and how often each occurs.

    Args:
        x: Purchase days after the first, shape (members,).
        t_x: Days from the first to the last, shape (members,).
        observed_days: T, shape (members,).
    """
    rows, counts = np.unique(np.column_stack([x, t_x, observed_days]), axis=0, return_counts=True)
    weights = counts / counts.sum()

    def loss(log_parameters: Vector) -> float:
        likelihood = log_likelihood(log_parameters, rows[:, 0], rows[:, 1], rows[:, 2])
        return float(-weights @ likelihood + _PRIOR_WEIGHT * np.sum((log_parameters - _START) ** 2))

    bounds = [(-_LOG_BOUND, _LOG_BOUND)] * 4
    best = minimize(loss, _START, method="L-BFGS-B", bounds=bounds)
    r, alpha, a, b = np.exp(best.x)
    return BgNbd(float(r), float(alpha), float(a), float(b))
