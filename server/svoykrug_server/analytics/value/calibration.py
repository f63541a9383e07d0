"""Intervals that hold as often as they say: the tails they leave out are measured on windows that have closed.

Split conformal prediction with the distributions of `outlook` (Chernozhukov, Wuthrich, Zhu: Distributional conformal
prediction, PNAS 2021), for groups of members apart (Vovk: Conditional validity, 2012).
How well a member's truth y fits her distribution F is min(F(y), 1 - F(just below y)): the interval from the quantile t
to the quantile 1 - t holds y where this is at least t. So t is the value that all but a fifth of the members reach. The
groups are by the probability of no purchase: one t for all would be too wide for those who hardly come, and too narrow
for the others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from svoykrug_server.analytics.churn.features import Vector
from svoykrug_server.analytics.value.outlook import Outlook

COVERAGE = 0.8
GROUP_EDGES = (0.02, 0.1, 0.4)
"""Probabilities of no purchase between two groups of members."""
_GROUPS = len(GROUP_EDGES) + 1
_LEAST_TAIL, _MOST_TAIL = 0.01, 0.5


@dataclass(frozen=True, slots=True)
class Tails:
    """How much of a member's distribution her interval leaves out at either end, by group.

    Attributes:
        counts: For days with a purchase, those likeliest to come first.
        spend: For spend.
    """

    counts: tuple[float, ...]
    spend: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuses what is no tail.

        Raises:
            ValueError: The document is damaged.
        """
        for tails in (self.counts, self.spend):
            if len(tails) != _GROUPS or not all(0 < tail <= _MOST_TAIL for tail in tails):
                raise ValueError(f"an interval has {_GROUPS} tails of more than 0 and at most {_MOST_TAIL}")

    def of_counts(self, outlook: Outlook) -> Vector:
        """Returns the tail of each member for days with a purchase, shape (members,)."""
        return np.array(self.counts)[_groups(outlook)]

    def of_spend(self, outlook: Outlook) -> Vector:
        """Returns the tail of each member for spend, shape (members,)."""
        return np.array(self.spend)[_groups(outlook)]

    def document(self) -> dict[str, list[float]]:
        """Returns the tails as JSON values."""
        return {"count_tails": list(self.counts), "spend_tails": list(self.spend)}

    @classmethod
    def from_document(cls, document: dict[str, Any] | None) -> "Tails":
        """Reads what `document` wrote; None, as in models made before intervals were calibrated, is `NOMINAL`.

        Raises:
            ValueError: The document is damaged.
        """
        if document is None:
            return NOMINAL
        try:
            counts, spend = (tuple(map(float, document[name])) for name in ("count_tails", "spend_tails"))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("the tails of the intervals of a model are damaged") from error
        return cls(counts, spend)


_TENTH = ((1.0 - COVERAGE) / 2.0,) * _GROUPS
NOMINAL = Tails(_TENTH, _TENTH)
"""A tenth at either end: right where members follow the distributions, too wide for whole numbers."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was foreseen of members at a cutoff, and what came; every array has shape (members,).

    Attributes:
        outlook: Their distributions.
        days: Days with a purchase within the horizon.
        spend_minor: What they spent in it.
    """

    outlook: Outlook
    days: Vector
    spend_minor: Vector

    def count_fit(self) -> Vector:
        """Returns how well the days fit the distributions, 0 to 1."""
        return np.minimum(self.outlook.count_below(self.days), 1.0 - self.outlook.count_below(self.days - 1.0))

    def spend_fit(self) -> Vector:
        """Returns how well the spend fits the distributions, 0 to 1; only spending nothing has a probability."""
        upto = self.outlook.spend_below(np.maximum(self.spend_minor, 0.0))
        return np.minimum(upto, np.where(self.spend_minor > 0, 1.0 - upto, 1.0))


def calibrate(outcomes: Sequence[Outcome]) -> Tails:
    """Returns the tails with which four of five of these members, and of later ones like them, are inside.

    Args:
        outcomes: Of windows that closed before anybody is scored, at least one.
    """
    groups = np.concatenate([_groups(outcome.outlook) for outcome in outcomes])
    return Tails(
        _tails(np.concatenate([outcome.count_fit() for outcome in outcomes]), groups),
        _tails(np.concatenate([outcome.spend_fit() for outcome in outcomes]), groups),
    )


def _tails(fit: Vector, groups: npt.NDArray[np.int64]) -> tuple[float, ...]:
    return tuple(_tail(np.sort(fit[groups == group])) for group in range(_GROUPS))


def _tail(ascending: Vector) -> float:
    """Returns the conformal quantile; of fewer than four members it promises nothing: the least tail."""
    rank = math.floor((len(ascending) + 1) * (1.0 - COVERAGE) + 1e-9)
    return _LEAST_TAIL if rank == 0 else float(np.clip(ascending[rank - 1], _LEAST_TAIL, _MOST_TAIL))


def _groups(outlook: Outlook) -> npt.NDArray[np.int64]:
    return np.digitize(outlook.nothing, GROUP_EDGES)
