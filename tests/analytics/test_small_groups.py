"""The floor of five: neither a small group nor what it can be computed from is shown."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svoykrug_server.analytics.model import SegmentFigures, SegmentMovement
from svoykrug_server.analytics.segments import Segment
from svoykrug_server.analytics.small_groups import without_small_movements, without_small_segments


def segments(*counts: int) -> list[SegmentFigures]:
    return [
        SegmentFigures(segment, count, 100 * count, 2 * count, 3.0)
        for segment, count in zip(Segment, counts, strict=False)
    ]


def shown(*counts: int) -> list[int | None]:
    figures = without_small_segments(segments(*counts))
    return [None if each.withheld else each.member_count for each in figures]


@pytest.mark.parametrize(
    ("counts", "answer"),
    [
        ((5, 60, 7), [5, 60, 7]),
        ((4, 60, 7), [None, 60, None]),
        ((4, 3, 60), [None, None, 60]),
        ((2, 2, 60), [None, None, None]),
        ((0, 4, 0, 60), [0, None, 0, None]),
        ((0, 0), [0, 0]),
        ((3,), [None]),
    ],
)
def test_small_groups_are_withheld_and_never_alone(counts: tuple[int, ...], answer: list[int | None]) -> None:
    assert shown(*counts) == answer


def test_a_withheld_segment_tells_nothing() -> None:
    (figures, *_) = without_small_segments(segments(4, 60, 7))
    assert figures == SegmentFigures(Segment.CHAMPIONS, withheld=True)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=11))
def test_the_total_less_what_is_shown_is_never_a_small_group(counts: list[int]) -> None:
    answer = shown(*counts)
    hidden = [count for count, each in zip(counts, answer, strict=True) if each is None]
    assert all(each is None or each == 0 or each >= 5 for each in answer)
    if hidden and len([count for count in counts if count]) > 1:
        assert len(hidden) > 1
    if sum(counts) >= 5 and hidden:
        assert sum(hidden) >= 5


def test_movements_of_few_members_are_left_out() -> None:
    movements = [
        SegmentMovement(here, there, count) for (here, there), count in zip(pairwise(Segment), (4, 9, 50), strict=False)
    ]
    assert [movement.member_count for movement in without_small_movements(movements)] == [50]
