"""A business with too little data of its own borrows strength from the other businesses of its category.

The models that serve them are pooled: the mean of their log odds, in the same form as a single model. The borrower adds
a slope and an intercept of its own, pulled towards leaving the pool as it is. So parameters travel, and no row of
another business's members does.
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from svoykrug_server.analytics.churn.bgnbd import BgNbd
from svoykrug_server.analytics.churn.estimator import Window
from svoykrug_server.analytics.churn.features import Vector, logit
from svoykrug_server.analytics.churn.scorer import Boosting, Logistic, Scorer

ALGORITHM = "mean log odds of the category's models, own slope and intercept pulled towards them"

_SLOPE_PULL = 5.0
_OFFSET_PULL = 0.5
"""In members of a window: a business with a few dozen members hears the pool, one with two hundred itself."""


def pool(lenders: list[Scorer]) -> Scorer:
    """Returns one model that says the mean log odds of several; its BG/NBD is their geometric mean.

    Args:
        lenders: Models of one horizon, at least one.
    """
    count = len(lenders)
    parameters = np.array([[each.bg_nbd.r, each.bg_nbd.alpha, each.bg_nbd.a, each.bg_nbd.b] for each in lenders])
    r, alpha, a, b = np.exp(np.log(parameters).mean(axis=0))
    slopes = [each.slope * each.logistic.coefficients / each.logistic.scale / count for each in lenders]
    intercepts = [
        each.slope * (each.logistic.intercept - each.logistic.coefficients @ (each.logistic.mean / each.logistic.scale))
        for each in lenders
    ]
    coefficients = np.sum(slopes, axis=0)
    trees = tuple(
        replace(tree, leaves=each.slope * tree.leaves / count) for each in lenders for tree in each.boosting.trees
    )
    return Scorer(
        horizon_days=lenders[0].horizon_days,
        bg_nbd=BgNbd(float(r), float(alpha), float(a), float(b)),
        logistic=Logistic(
            np.zeros_like(coefficients), np.ones_like(coefficients), coefficients, float(np.mean(intercepts))
        ),
        boosting=Boosting(float(np.mean([each.slope * each.boosting.start for each in lenders])), trees),
        slope=1.0,
        offset=float(np.mean([each.offset for each in lenders])),
    )


def borrow(lenders: list[Scorer], windows: list[Window]) -> Scorer:
    """Returns the pooled model with the borrower's own slope and intercept.

    Args:
        lenders: The models of the category, of one horizon.
        windows: The borrower's training windows, together with at least one member.
    """
    pooled = pool(lenders)
    log_odds = np.concatenate([logit(pooled.probability(window.raw)) for window in windows])
    churned = np.concatenate([window.churned for window in windows])

    def loss(parameters: Vector) -> float:
        shifted = parameters[0] * log_odds + parameters[1]
        likelihood = np.sum(np.logaddexp(0.0, shifted) - churned * shifted) / len(windows)
        return float(likelihood + _SLOPE_PULL * (parameters[0] - 1.0) ** 2 + _OFFSET_PULL * parameters[1] ** 2)

    slope, offset = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(0.2, 5.0), (-5.0, 5.0)]).x
    return replace(pooled, slope=float(slope) * pooled.slope, offset=float(slope) * pooled.offset + float(offset))
