"""Fits a churn model: logistic regression and gradient boosting, averaged in log odds, calibrated on a later window.

This module imports scikit-learn (0.8 s): import it only in a thread that trains.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from svoykrug_server.analytics.churn import bgnbd
from svoykrug_server.analytics.churn.features import DESIGN, Matrix, Vector, bg_nbd_statistics, design
from svoykrug_server.analytics.churn.scorer import MAX_LEAVES, Boosting, Logistic, Scorer, Tree

ALGORITHM = "logistic regression + gradient boosting, averaged in log odds, Platt calibration"

# Chosen on windows before the test window only: see docs/decisions/churn-model.md
_INVERSE_PENALTY = 0.005
_LEARNING_RATE = 0.03
_TREES = 150
_MIN_LEAF_MEMBERS = 40
_LEAF_PENALTY = 5.0
_COLUMNS_PER_SPLIT = 0.2
_CALIBRATION_WINDOWS = 3
_CALIBRATION_PULL = 0.1
_BLOCK_MEMBERS = 10_000
"""At a time, where numpy and scikit-learn make copies of what they work on."""
_CALIBRATION_MEMBERS = 50_000
"""Members of all windows together, a random sample: two numbers are learned of them, and the models are fitted anew."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was known at a cutoff, and what happened within the horizon after it.

    Attributes:
        raw: The warehouse's columns `features.RAW`, shape (members, 23).
        churned: 1 for no purchase, else 0, shape (members,).
        later_days: Days with a purchase, shape (members,).
        later_spend_minor: What was spent, net, shape (members,).
    """

    raw: Matrix
    churned: Vector
    later_days: Vector
    later_spend_minor: Vector

    def part(self, share: float) -> "Window":
        """Returns the first members, this share of them: in the order of their random ids they are a random sample."""
        first = slice(int(np.ceil(share * len(self.churned))))
        return Window(self.raw[first], self.churned[first], self.later_days[first], self.later_spend_minor[first])


def fit(windows: list[Window], horizon_days: int) -> Scorer:
    """Fits on all windows, and calibrates on forecasts of the last ones by models of the windows before each.

    With one window there is nothing later to calibrate on, and the probabilities stay as the parts say them. It runs on
    one thread: it shares the machine with calls being served, and OpenMP threads that wait for each other cost more
    than they bring.

    Args:
        windows: Earliest cutoff first, at least one.
        horizon_days: H.
    """
    with threadpool_limits(1):
        slope, offset = _calibrate(windows, horizon_days) if len(windows) > 1 else (1.0, 0.0)
        parts = _fit_parts(windows, horizon_days)
    return replace(parts, slope=slope, offset=offset)


def _fit_parts(windows: list[Window], horizon_days: int) -> Scorer:
    """Returns an uncalibrated model of the windows; BG/NBD is fitted on the last of them."""
    bg_nbd = bgnbd.fit(*bg_nbd_statistics(windows[-1].raw))
    churned = np.concatenate([window.churned for window in windows])
    columns = _columns(windows, bg_nbd, horizon_days)
    boosting = _fit_boosting(columns, churned)
    # Last, because it scales the columns in place: a scaled copy beside them would be most of the memory of a training.
    logistic = _fit_logistic(columns, churned)
    return Scorer(horizon_days, bg_nbd, logistic, boosting, 1.0, 0.0)


def _columns(windows: list[Window], bg_nbd: bgnbd.BgNbd, horizon_days: int) -> Matrix:
    """Returns the columns `features.DESIGN` of all members, filled block by block; shape (members, 24)."""
    columns = np.empty((sum(len(window.churned) for window in windows), len(DESIGN)))
    begin = 0
    for window in windows:
        for first in range(0, len(window.raw), _BLOCK_MEMBERS):
            block = design(window.raw[first : first + _BLOCK_MEMBERS], bg_nbd, horizon_days)
            columns[begin : begin + len(block)] = block
            begin += len(block)
    return columns


def _fit_logistic(columns: Matrix, churned: Vector) -> Logistic:
    """Fits on the columns, which are scaled in place."""
    scaler = StandardScaler(copy=False)
    for begin in range(0, len(columns), _BLOCK_MEMBERS):
        scaler.partial_fit(columns[begin : begin + _BLOCK_MEMBERS])
    fitted = LogisticRegression(C=_INVERSE_PENALTY, max_iter=2_000).fit(scaler.transform(columns), churned)
    return Logistic(scaler.mean_, scaler.scale_, fitted.coef_[0], float(fitted.intercept_[0]))


def _fit_boosting(columns: Matrix, churned: Vector) -> Boosting:
    fitted = HistGradientBoostingClassifier(
        learning_rate=_LEARNING_RATE,
        max_iter=_TREES,
        max_leaf_nodes=MAX_LEAVES,
        min_samples_leaf=_MIN_LEAF_MEMBERS,
        l2_regularization=_LEAF_PENALTY,
        max_features=_COLUMNS_PER_SPLIT,
        early_stopping=False,
        random_state=0,
    ).fit(columns, churned)
    return boosting_of(fitted)


def boosting_of(fitted: HistGradientBoostingClassifier) -> Boosting:
    """Reads the trees out of scikit-learn's fitted classifier of two classes.

    scikit-learn keeps them in private attributes; a test compares every score, so a release that moves them is noticed.
    """
    trees = [_tree(stage[0].nodes) for stage in fitted._predictors]  # noqa: SLF001  there is no public way to the trees
    start = float(np.ravel(fitted._baseline_prediction)[0])  # noqa: SLF001  as above
    return Boosting(start, tuple(trees))


def _tree(nodes: npt.NDArray[np.void]) -> Tree:
    leaves: list[float] = []
    inner: list[tuple[int, float, int]] = []

    def walk(index: int) -> int:
        """Numbers the leaves below a node from left to right and returns them as bits."""
        node = nodes[index]
        if node["is_leaf"]:
            leaves.append(float(node["value"]))
            return 1 << (len(leaves) - 1)
        left = walk(int(node["left"]))
        inner.append((int(node["feature_idx"]), float(node["num_threshold"]), 255 & ~left))
        return left | walk(int(node["right"]))

    walk(0)
    return Tree(
        features=np.array([feature for feature, _, _ in inner], dtype=np.int64),
        thresholds=np.array([threshold for _, threshold, _ in inner], dtype=np.float64),
        keeps=np.array([keep for _, _, keep in inner], dtype=np.uint8),
        leaves=np.array(leaves, dtype=np.float64),
    )


def _mean_log_odds(scorer: Scorer, raw: Matrix) -> Vector:
    columns = design(raw, scorer.bg_nbd, scorer.horizon_days)
    mean: Vector = (scorer.logistic.log_odds(columns) + scorer.boosting.log_odds(columns)) / 2.0
    return mean


def _calibrate(windows: list[Window], horizon_days: int) -> tuple[float, float]:
    """Returns slope and offset on the log odds (Platt, 1999), pulled towards leaving them as they are.

    Forecasts of several windows, since one window's base rate is one season's; the pull keeps them from being learned
    by heart.
    """
    members = sum(len(window.churned) for window in windows)
    windows = [window.part(min(1.0, _CALIBRATION_MEMBERS / members)) for window in windows]
    said: list[Vector] = []
    happened: list[Vector] = []
    for later in range(max(1, len(windows) - _CALIBRATION_WINDOWS), len(windows)):
        said.append(_mean_log_odds(_fit_parts(windows[:later], horizon_days), windows[later].raw))
        happened.append(windows[later].churned)
    log_odds, churned = np.concatenate(said), np.concatenate(happened)

    def loss(parameters: Vector) -> float:
        shifted = parameters[0] * log_odds + parameters[1]
        likelihood = np.mean(np.logaddexp(0.0, shifted) - churned * shifted)
        pull = (parameters[0] - 1.0) ** 2 + parameters[1] ** 2
        return float(likelihood + _CALIBRATION_PULL * pull)

    best = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(0.2, 5.0), (-2.0, 2.0)])
    return float(best.x[0]), float(best.x[1])
