"""Why a member may leave: the things about her that move her probability most against a typical member of her segment.

Each group of columns is replaced by the segment's medians, one group at a time; the effect is how much that lowers or
raises her probability. Columns of one group say one thing, so they are replaced together.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from svoykrug_server.analytics.churn.features import COLUMN, REASON_GROUPS, Matrix, Vector
from svoykrug_server.analytics.churn.scorer import Scorer

REASONS_PER_MEMBER = 3
MIN_SEGMENT_MEMBERS = 5
"""A smaller segment has no typical member; the whole scope's stands in."""


@dataclass(frozen=True, slots=True)
class Typical:
    """The typical member of each segment.

    Attributes:
        of_scope: Medians of the columns `features.RAW` over the whole scope, shape (23,).
        of_segment: The same by segment.
    """

    of_scope: Vector
    of_segment: dict[int, Vector]

    @classmethod
    def of(cls, raw: Matrix, segments: npt.NDArray[np.int64]) -> "Typical":
        """Takes the medians of a sample of members.

        Args:
            raw: The warehouse's columns, shape (members, 23).
            segments: Each member's segment, shape (members,).
        """
        medians: dict[int, Vector] = {}
        for segment in np.unique(segments):
            members = raw[segments == segment]
            if len(members) >= MIN_SEGMENT_MEMBERS:
                medians[int(segment)] = np.median(members, axis=0)
        return cls(np.median(raw, axis=0), medians)

    def rows(self, segments: npt.NDArray[np.int64]) -> Matrix:
        """Returns the typical member of each member's segment, shape (members, 23)."""
        kinds, positions = np.unique(segments, return_inverse=True)
        typical = [self.of_segment.get(int(kind), self.of_scope) for kind in kinds]
        rows: Matrix = np.array(typical).reshape(len(kinds), len(self.of_scope))[positions]
        return rows


@dataclass(frozen=True, slots=True)
class Reasons:
    """The strongest reasons of a block of members; every array has shape (members, 3), the strongest first.

    Attributes:
        groups: Positions in `features.REASON_GROUPS`.
        values: Her values of the groups' headlines.
        typical_values: Those of a typical member of her segment.
        effects: How much each moves her probability.
    """

    groups: npt.NDArray[np.int64]
    values: Matrix
    typical_values: Matrix
    effects: Matrix


def explain(scorer: Scorer, raw: Matrix, probability: Vector, typical: Matrix) -> Reasons:
    """Finds the three strongest reasons of each member.

    Args:
        scorer: The model.
        raw: The warehouse's columns, shape (members, 23).
        probability: What the model says of them, shape (members,).
        typical: The typical member of each one's segment, shape (members, 23).
    """
    effects = np.empty((len(raw), len(REASON_GROUPS)))
    for index, group in enumerate(REASON_GROUPS):
        columns = [COLUMN[name] for name in group.columns]
        replaced = raw.copy()
        replaced[:, columns] = typical[:, columns]
        effects[:, index] = probability - scorer.probability(replaced)
    strongest = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :REASONS_PER_MEMBER]
    headlines = np.array([COLUMN[group.headline] for group in REASON_GROUPS])[strongest]
    return Reasons(
        groups=strongest.astype(np.int64),
        values=np.take_along_axis(raw, headlines, axis=1),
        typical_values=np.take_along_axis(typical, headlines, axis=1),
        effects=np.take_along_axis(effects, strongest, axis=1),
    )
