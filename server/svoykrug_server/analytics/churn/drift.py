"""Drift: how far the members of a scoring are from those the model learned from, feature by feature.

The population stability index is the sum over the training deciles of (now - then) * ln(now / then), with shares of the
members; above .1 it is worth a look, above .25 the model is out of date.
"""

from collections.abc import Sequence

import numpy as np

from svoykrug_server.analytics.churn.features import COLUMN, RAW, Matrix, Vector
from svoykrug_server.analytics.churn.model import FeatureBins

_DECILES = np.arange(0.1, 0.95, 0.1)
_LEAST_COUNT = 0.5
"""An empty bin counts as half a member, so that the index stays finite."""


def bins_of(*raws: Matrix) -> tuple[FeatureBins, ...]:
    """Returns how each column is distributed.

    Args:
        raws: The warehouse's columns `features.RAW` of each training window, shape (members, 23).
    """
    return tuple(_bins(name, np.concatenate([raw[:, COLUMN[name]] for raw in raws])) for name in RAW)


def _bins(name: str, values: Vector) -> FeatureBins:
    edges = np.unique(np.quantile(values, _DECILES, method="inverted_cdf"))
    return FeatureBins(name, tuple(edges.tolist()), tuple((_counts(values, edges) / len(values)).tolist()))


class DriftMeter:
    """Counts the members of a scoring, block by block.

    Args:
        bins: How the features were distributed in training.
    """

    def __init__(self, bins: Sequence[FeatureBins]) -> None:
        self._bins = bins
        self._counts = [np.zeros(len(row.shares)) for row in bins]

    def add(self, raw: Matrix) -> None:
        """Counts a block of members.

        Args:
            raw: The warehouse's columns `features.RAW`, shape (members, 23).
        """
        for number, row in enumerate(self._bins):
            self._counts[number] += _counts(raw[:, COLUMN[row.feature]], np.array(row.edges))

    def indexes(self) -> dict[str, float]:
        """Returns the stability index of each feature, the most moved one first; empty when nobody was counted."""
        found = {
            row.feature: _index(np.array(row.shares), counts)
            for row, counts in zip(self._bins, self._counts, strict=True)
            if counts.sum()
        }
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def _counts(values: Vector, edges: Vector) -> Vector:
    bins = np.searchsorted(edges, values, side="left")
    return np.bincount(bins, minlength=len(edges) + 1).astype(np.float64)


def _index(then: Vector, counts: Vector) -> float:
    least = _LEAST_COUNT / counts.sum()
    now, before = np.maximum(counts / counts.sum(), least), np.maximum(then, least)
    empty_twice = (counts == 0) & (then == 0)
    return float(np.sum(np.where(empty_twice, 0.0, (now - before) * np.log(now / before))))
