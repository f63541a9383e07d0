"""A model as numbers: scored by numpy, stored as JSON that cannot run code.

The document is an object of numbers, texts and arrays (see `docs/decisions/churn-model-format.md`). Reading it checks
every shape and index, so a damaged or foreign document is refused before it scores anybody.

A tree of at most 8 leaves becomes comparisons on ranks and one table lookup (Lucchese et al., QuickScorer, SIGIR 2015):
each failed comparison removes the leaves of its left branch from a byte; the lowest bit left is the member's leaf. 150
trees on a million members take a second, without scikit-learn.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from svoykrug_server.analytics.churn.bgnbd import BgNbd
from svoykrug_server.analytics.churn.features import DESIGN, FEATURES_VERSION, Matrix, Vector, design
from svoykrug_server.analytics.versions import refuse_unknown

FORMAT = "svoykrug-churn/1"
MAX_LEAVES = 8
_BLOCK_ROWS = 16_384
"""At a time, which bounds memory; more than a block of a scoring, whose last bits so depend on its members alone."""
_ALL_LEAVES = np.uint8(255)


@dataclass(frozen=True, slots=True)
class Logistic:
    """A logistic regression on standardised columns; each array has shape (features,)."""

    mean: Vector
    scale: Vector
    coefficients: Vector
    intercept: float

    def __post_init__(self) -> None:
        """Refuses shapes that do not fit and columns without a scale.

        Raises:
            ValueError: The document is damaged.
        """
        shapes = {self.mean.shape, self.scale.shape, self.coefficients.shape}
        if shapes != {(len(DESIGN),)} or not bool(np.all(self.scale > 0)):
            raise ValueError("the logistic regression does not fit the features")

    def log_odds(self, columns: Matrix) -> Vector:
        """Returns the log odds of leaving, shape (members,)."""
        standard: Vector = (columns - self.mean) / self.scale
        return standard @ self.coefficients + self.intercept


@dataclass(frozen=True, slots=True)
class Tree:
    """A regression tree of at most 8 leaves, numbered from left to right.

    Attributes:
        features: The column each inner node asks about, shape (nodes,).
        thresholds: A value up to this goes left, shape (nodes,).
        keeps: The leaves that stay possible when the answer is no, as bits, shape (nodes,).
        leaves: What each leaf adds to the log odds, shape (leaves,).
    """

    features: npt.NDArray[np.int64]
    thresholds: Vector
    keeps: npt.NDArray[np.uint8]
    leaves: Vector

    def __post_init__(self) -> None:
        """Refuses a tree that is none.

        Raises:
            ValueError: The document is damaged.
        """
        nodes = len(self.leaves) - 1
        fits = self.features.shape == self.thresholds.shape == self.keeps.shape == (nodes,)
        known = bool(np.all((self.features >= 0) & (self.features < len(DESIGN))))
        last_stays = bool(np.all(self.keeps >> max(nodes, 0) & 1))
        if not (fits and known and last_stays and nodes < MAX_LEAVES):
            raise ValueError("a tree does not fit the features")

    def table(self) -> Vector:
        """Returns what the tree adds, by the byte of leaves still possible; shape (256,)."""
        possible = np.arange(1, 256)
        lowest = np.log2(possible & -possible).astype(np.int64)
        return np.append(0.0, self.leaves[np.minimum(lowest, len(self.leaves) - 1)])


@dataclass(frozen=True, slots=True)
class Boosting:
    """Gradient boosting: a start and trees that each add to the log odds."""

    start: float
    trees: tuple[Tree, ...]

    def log_odds(self, columns: Matrix) -> Vector:
        """Returns the log odds of leaving, shape (members,)."""
        tables = [tree.table() for tree in self.trees]
        columns = np.asfortranarray(columns)
        total = np.full(len(columns), self.start)
        for tree, table in zip(self.trees, tables, strict=True):
            possible = np.full(len(columns), _ALL_LEAVES)
            for feature, threshold, keep in zip(tree.features, tree.thresholds, tree.keeps, strict=True):
                yes = columns[:, feature] <= threshold
                possible &= np.negative(yes.view(np.uint8)) | keep
            total += table[possible]
        return total


@dataclass(frozen=True, slots=True)
class Scorer:
    """A whole model: features, both parts, their calibration.

    Attributes:
        horizon_days: H.
        bg_nbd: Learned on the training cutoffs, a feature of both parts.
        logistic: The logistic regression.
        boosting: The gradient boosting.
        slope: Of the calibration on the log odds.
        offset: Of the calibration on the log odds.
    """

    horizon_days: int
    bg_nbd: BgNbd
    logistic: Logistic
    boosting: Boosting
    slope: float
    offset: float

    def __post_init__(self) -> None:
        """Refuses a calibration that would turn the order around, and numbers that are none.

        Raises:
            ValueError: The document is damaged.
        """
        numbers = (self.slope, self.offset, self.logistic.intercept, self.boosting.start)
        if self.horizon_days < 1 or not self.slope > 0 or not bool(np.all(np.isfinite(numbers))):
            raise ValueError("the calibration of a model keeps the order and is finite")

    def probability(self, raw: Matrix) -> Vector:
        """Returns the probability of no purchase within the horizon.

        Args:
            raw: The warehouse's columns `features.RAW`, shape (members, 23).

        Returns:
            Shape (members,).
        """
        answer = np.empty(len(raw))
        for first in range(0, len(raw), _BLOCK_ROWS):
            columns = design(raw[first : first + _BLOCK_ROWS], self.bg_nbd, self.horizon_days)
            mean_log_odds = (self.logistic.log_odds(columns) + self.boosting.log_odds(columns)) / 2.0
            answer[first : first + _BLOCK_ROWS] = sigmoid(self.slope * mean_log_odds + self.offset)
        return answer

    def document(self) -> dict[str, Any]:
        """Returns the model as JSON values."""
        return {
            "format": FORMAT,
            "features_version": FEATURES_VERSION,
            "features": list(DESIGN),
            "horizon_days": self.horizon_days,
            "bg_nbd": [self.bg_nbd.r, self.bg_nbd.alpha, self.bg_nbd.a, self.bg_nbd.b],
            "logistic": {
                "mean": self.logistic.mean.tolist(),
                "scale": self.logistic.scale.tolist(),
                "coefficients": self.logistic.coefficients.tolist(),
                "intercept": self.logistic.intercept,
            },
            "boosting": {"start": self.boosting.start, "trees": [_tree_document(tree) for tree in self.boosting.trees]},
            "calibration": {"slope": self.slope, "offset": self.offset},
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Scorer":
        """Reads a model that `document` wrote.

        Raises:
            UnknownVersion: A newer program wrote it.
            ValueError: The document is of an earlier format or features, or damaged.
        """
        refuse_unknown(str(document.get("format", FORMAT)), FORMAT)
        refuse_unknown(str(document.get("features_version", FEATURES_VERSION)), FEATURES_VERSION)
        known = {"format": FORMAT, "features_version": FEATURES_VERSION, "features": list(DESIGN)}
        if any(document.get(name) != value for name, value in known.items()):
            raise ValueError(f"this server reads models of format {FORMAT} with features {FEATURES_VERSION} only")
        try:
            return cls(
                horizon_days=int(document["horizon_days"]),
                bg_nbd=BgNbd(*(float(value) for value in document["bg_nbd"])),
                logistic=_logistic(document["logistic"]),
                boosting=_boosting(document["boosting"]),
                slope=float(document["calibration"]["slope"]),
                offset=float(document["calibration"]["offset"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError("the document of a model is damaged") from error


def sigmoid(log_odds: Vector) -> Vector:
    """Returns the probability of log odds."""
    return 1.0 / (1.0 + np.exp(-np.clip(log_odds, -700.0, 700.0)))


def _tree_document(tree: Tree) -> dict[str, Any]:
    return {
        "features": tree.features.tolist(),
        "thresholds": tree.thresholds.tolist(),
        "keeps": tree.keeps.tolist(),
        "leaves": tree.leaves.tolist(),
    }


def _logistic(document: dict[str, Any]) -> Logistic:
    return Logistic(
        mean=_numbers(document["mean"]),
        scale=_numbers(document["scale"]),
        coefficients=_numbers(document["coefficients"]),
        intercept=float(document["intercept"]),
    )


def _boosting(document: dict[str, Any]) -> Boosting:
    trees = tuple(
        Tree(
            features=np.asarray(tree["features"], dtype=np.int64),
            thresholds=_numbers(tree["thresholds"]),
            keeps=np.asarray(tree["keeps"], dtype=np.uint8),
            leaves=_numbers(tree["leaves"]),
        )
        for tree in document["trees"]
    )
    return Boosting(float(document["start"]), trees)


def _numbers(values: Any) -> Vector:
    numbers = np.asarray(values, dtype=np.float64)
    if not bool(np.all(np.isfinite(numbers))):
        raise ValueError("the document of a model holds a number that is none")
    return numbers
