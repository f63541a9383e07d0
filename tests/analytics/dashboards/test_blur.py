"""The noise in an owner's matrix: what it hides, by its distribution, and what it leaves to be seen."""

import math
from collections import Counter
from uuid import UUID

import pytest

from svoykrug_server.analytics.dashboards.blur import EPSILON, LEAST_SHOWN, NOISE_VARIANCE, blurred, noise
from svoykrug_server.analytics.dashboards.model import MatrixCell

HERE, THERE = UUID(int=1), UUID(int=2)
DRAWS = 20_000


def cell(members: int, expected: float = 10.0, bought: int = 500) -> MatrixCell:
    return MatrixCell(HERE, THERE, members, bought, expected, 0.5)


def shown(members: int, fingerprint: int, expected: float = 10.0) -> MatrixCell | None:
    cells = blurred([cell(members, expected)], {HERE: fingerprint, THERE: 1})
    return cells[0] if cells else None


def test_the_noise_is_geometric_on_both_sides() -> None:
    drawn = Counter(each for seed in range(DRAWS) for each in noise(str(seed), 3))
    count = 3 * DRAWS
    assert abs(sum(value * times for value, times in drawn.items()) / count) < 0.05
    assert sum(value**2 * times for value, times in drawn.items()) / count == pytest.approx(NOISE_VARIANCE, rel=0.05)
    stay = math.exp(-EPSILON)
    for value in range(-6, 7):
        likely = (1 - stay) / (1 + stay) * stay ** abs(value)
        assert abs(drawn[value] / count - likely) < 5 * math.sqrt(likely / count)


def test_whoever_knows_all_but_one_member_guesses_her_little_better_than_by_a_coin() -> None:
    without = Counter(each.member_count if (each := shown(30, seed)) else 0 for seed in range(DRAWS))
    with_her = Counter(each.member_count if (each := shown(31, DRAWS + seed)) else 0 for seed in range(DRAWS))
    best_rate = sum(max(without[each], with_her[each]) for each in without | with_her) / (2 * DRAWS)
    assert best_rate < math.exp(EPSILON) / (1 + math.exp(EPSILON)) + 0.01


def test_the_fifth_member_makes_a_cell_appear_in_one_of_twenty_cases_only() -> None:
    appeared = sum(shown(5, seed) is not None for seed in range(DRAWS)) / DRAWS
    assert 0.04 < appeared < 0.06


def test_the_same_purchases_get_the_same_noise_and_any_other_purchase_draws_it_anew() -> None:
    assert shown(50, 7) == shown(50, 7)
    assert len({each.member_count for seed in range(50) if (each := shown(50, seed))}) > 5


def test_whoever_owns_several_businesses_sees_one_count_of_the_buyers_of_another() -> None:
    others = [UUID(int=number) for number in range(2, 40)]
    cells = [MatrixCell(HERE, other, 100, 500, 30.0, 0.5) for other in others]
    answer = blurred(cells, {HERE: 7} | {other: other.int for other in others})
    assert len({each.from_member_count for each in answer}) == 1
    assert len({each.member_count for each in answer}) > 5


def test_nothing_that_is_shown_comes_from_an_exact_count() -> None:
    """Whatever the exact expectation and q-value are, the answer is made of three noisy whole numbers."""
    exact = MatrixCell(HERE, THERE, 40, 900, 12.3456789, 0.0001234)
    (answer,) = blurred([exact], {HERE: 3, THERE: 4})
    assert answer.expected_member_count == round(answer.expected_member_count)
    deviation = math.sqrt(answer.expected_member_count + 2 * NOISE_VARIANCE)
    alone = math.erfc((answer.member_count - answer.expected_member_count) / deviation / math.sqrt(2)) / 2
    assert answer.q_value == pytest.approx(alone)
    assert blurred([MatrixCell(HERE, THERE, 40, 900, 12.3, 0.9)], {HERE: 3, THERE: 4}) == (answer,)


def test_a_true_way_is_still_found_and_chance_is_seldom_called_one() -> None:
    true = [shown(80, seed, expected=30) for seed in range(300)]
    chance = [shown(30, seed, expected=30) for seed in range(2_000)]
    assert all(each and each.q_value < 0.001 and 1.5 < each.lift < 6 for each in true)
    assert sum(bool(each and each.q_value <= 0.05) for each in chance) / 2_000 < 0.05


def test_an_expectation_made_of_a_sample_has_as_many_times_the_noise_as_a_member_of_it_stands_for() -> None:
    whole, sampled = (
        [
            blurred([MatrixCell(HERE, THERE, 900, 5_000, 800.0, 0.5, one_in)], {HERE: seed, THERE: 1})[0]
            for seed in range(200)
        ]
        for one_in in (1, 20)
    )
    for here, there in zip(whole, sampled, strict=True):
        assert there.expected_member_count - 800 == 20 * (here.expected_member_count - 800)
        assert there.member_count == here.member_count
    assert sum(each.q_value <= 0.01 for each in sampled) < 100
    assert all(each.q_value <= 0.01 for each in whole)


@pytest.mark.parametrize("members", [5, 6, 9, 12, 200])
def test_no_cell_is_shown_below_the_least(members: int) -> None:
    answers = [each for seed in range(500) if (each := shown(members, seed, expected=0.01))]
    assert all(each.member_count >= LEAST_SHOWN for each in answers)
    assert all(each.from_member_count >= each.member_count for each in answers)
    assert all(each.expected_member_count >= 1 for each in answers)


def test_no_cell_no_answer() -> None:
    assert blurred([], {}) == ()
