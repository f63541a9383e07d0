"""The null of the matrix: it finds the order that was planted, and nothing where there is none."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, false_discovery_control

from svoykrug_server.analytics.dashboards import matrix, permutations
from svoykrug_server.analytics.dashboards.permutations import Judged, Ways, judge

DAY_US = 86_400_000_000
BUSINESSES = 6
Rows = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]


def random_rows(seed: int, members: int = 400, purchases: int = 8) -> Rows:
    """Returns purchases at random times and places: heavy buyers and favourites, but no order."""
    random = np.random.default_rng(seed)
    counts = random.integers(1, 2 * purchases, members)
    member_ids = np.repeat(np.arange(members), counts)
    taste = random.dirichlet(np.full(BUSINESSES, 0.5), members)
    places = np.array([random.choice(BUSINESSES, p=taste[member]) for member in member_ids], np.uint16)
    times = random.integers(0, 200 * DAY_US, len(member_ids))
    order = np.lexsort((places, times, member_ids))
    return member_ids[order], times[order], places[order]


def counted(rows: Rows, draws: int = 99, block: int = 0) -> Ways:
    ways = Ways(BUSINESSES)
    ways.add_block(*rows, 30 * DAY_US, draws, block)
    return ways


def judged(rows: Rows, draws: int = 99) -> Judged:
    return judge(counted(rows, draws), draws, 5)


def test_where_there_is_no_order_few_ways_are_called_one() -> None:
    found = [float(np.nanmin(judged(random_rows(seed)).q_values)) for seed in range(40)]
    assert sum(q_value <= 0.05 for q_value in found) <= 4


def test_a_planted_order_is_found_and_its_reverse_is_not() -> None:
    member_ids, times, places = random_rows(1)
    both = np.arange(1_000, 1_150)
    planted = (
        np.r_[member_ids, np.repeat(both, 2)],
        np.r_[times, np.tile([10 * DAY_US, 15 * DAY_US], len(both))],
        np.r_[places, np.tile([2, 4], len(both))].astype(np.uint16),
    )
    answer = judged(planted)
    assert answer.q_values[2, 4] < 0.001
    assert answer.q_values[4, 2] == 1
    assert counted(planted).observed[2, 4] / answer.expected[2, 4] > 1.3


def test_shared_taste_alone_is_no_way() -> None:
    members = np.repeat(np.arange(300), 2)
    times = np.tile([DAY_US, 3 * DAY_US], 300)
    pairs = np.array([[0, 1], [1, 0]] * 150, np.uint16).reshape(-1)
    answer = judged((members, times, pairs))
    assert answer.q_values[0, 1] == pytest.approx(1)
    assert answer.expected[0, 1] == pytest.approx(150, rel=0.1)


def test_a_permutation_keeps_every_members_own_purchases() -> None:
    places = np.repeat(np.arange(50), 7)
    businesses = np.random.default_rng(3).integers(0, BUSINESSES, len(places), np.uint16)
    shuffled = permutations._shuffled(places, businesses, np.random.default_rng(4))
    assert (shuffled != businesses).any()
    for member in range(50):
        assert sorted(shuffled[places == member]) == sorted(businesses[places == member])


def test_equal_rows_give_equal_answers_and_another_block_another_order() -> None:
    rows = random_rows(7)
    assert (counted(rows).drawn == counted(rows).drawn).all()
    assert (counted(rows).drawn != counted(rows, block=1).drawn).any()


def test_blocks_and_pieces_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    member_ids, times, places = random_rows(8)
    cut = int(np.searchsorted(member_ids, 200))
    ways = Ways(BUSINESSES)
    for number, part in enumerate((slice(0, cut), slice(cut, None))):
        ways.add_block(member_ids[part], times[part], places[part], 30 * DAY_US, 0, number)
    monkeypatch.setattr(permutations, "_MOST_MARKS", 100 * 10 * BUSINESSES**2)
    whole = counted((member_ids, times, places), 99)
    assert (ways.observed == whole.observed).all()
    assert (ways.shared == whole.shared).all()
    assert ways.drawn.sum() == 0 < whole.drawn.sum()


def test_q_values_are_those_of_scipy() -> None:
    ways = counted(random_rows(9))
    answer = judge(ways, 99, 5)
    mean = (ways.drawn + ways.observed) / 100
    looked_at = ~np.isnan(answer.q_values)
    p_values = np.where(
        ways.observed >= mean + 1,
        binom.sf(ways.observed - 1, np.maximum(ways.shared, 1), np.minimum(mean / np.maximum(ways.shared, 1), 1)),
        1.0,
    )[looked_at]
    assert answer.q_values[looked_at] == pytest.approx(false_discovery_control(p_values))
    assert not np.isnan(answer.expected[looked_at]).any()


def test_no_business_no_cell_and_nothing_breaks() -> None:
    assert judge(Ways(0), 99, 5).expected.shape == (0, 0)


@pytest.mark.parametrize(
    ("purchases", "effort"),
    [
        (0, (999, 1, 1)),
        (10_000, (999, 1, 1)),
        (100_000, (100, 1, 1)),
        (1_000_000, (25, 2, 4)),
        (10_000_000, (25, 2, 40)),
    ],
)
def test_the_work_of_a_matrix_is_bounded_however_much_was_sold(purchases: int, effort: tuple[int, int, int]) -> None:
    assert matrix._effort(purchases) == effort
