"""The floor: a partner never sees a group smaller than five members in an aggregate across businesses.

Withholding one small group is not enough where a total is known: it is the total less the others. So when one group is
withheld alone, or the withheld groups together are still smaller than the floor, the next smallest is withheld too.
"""

from collections.abc import Sequence
from uuid import UUID

from svoykrug_server.analytics.model import SMALLEST_GROUP, SegmentFigures, SegmentMovement
from svoykrug_server.kit.caller import Caller


def sees_small_groups(caller: Caller, business_id: UUID | None) -> bool:
    """Tells whether the floor is of no concern: to admins and services, and to an owner among her own customers."""
    return business_id is not None or caller.is_admin or caller.is_service


def without_small_segments(segments: Sequence[SegmentFigures]) -> tuple[SegmentFigures, ...]:
    """Returns the segments with the figures of small ones withheld; empty ones tell nothing and stay."""
    hidden = hidden_groups([figures.member_count for figures in segments])
    return tuple(
        SegmentFigures(figures.segment, withheld=True) if index in hidden else figures
        for index, figures in enumerate(segments)
    )


def without_small_movements(movements: Sequence[SegmentMovement]) -> tuple[SegmentMovement, ...]:
    """Returns the movements without those of few members."""
    hidden = hidden_groups([movement.member_count for movement in movements])
    return tuple(movement for index, movement in enumerate(movements) if index not in hidden)


def hidden_groups(counts: Sequence[int]) -> set[int]:
    """Returns the indexes of the groups to withhold."""
    filled = sorted((index for index, count in enumerate(counts) if count), key=lambda index: counts[index])
    hidden = {index for index in filled if counts[index] < SMALLEST_GROUP}
    for index in filled:
        if not hidden or (len(hidden) > 1 and sum(counts[each] for each in hidden) >= SMALLEST_GROUP):
            break
        hidden.add(index)
    return hidden
