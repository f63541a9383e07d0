"""The figures of a model, against scikit-learn on the same members."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from svoykrug_server.analytics.churn import metrics
from svoykrug_server.analytics.churn.metrics import Ranked, Vector, Weighed

LABELS_AND_SCORES = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=4, max_size=80).filter(
    lambda rows: 0 < sum(label for label, _ in rows) < len(rows)
)
"""Few distinct scores, so that ties are the rule."""


def arrays(rows: list[tuple[bool, int]]) -> tuple[Vector, Vector]:
    label = np.array([float(label) for label, _ in rows])
    score = np.array([score / 12 for _, score in rows])
    return label, score


@given(LABELS_AND_SCORES)
def test_ranking_figures_equal_scikit_learns_with_any_ties(rows: list[tuple[bool, int]]) -> None:
    label, score = arrays(rows)
    weighed = Weighed.of(Ranked.of(label, score), np.ones(len(label)))
    assert metrics.roc_auc(weighed) == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert metrics.average_precision(weighed) == pytest.approx(average_precision_score(label, score), abs=1e-12)
    staying = average_precision_score(1 - label, -score)
    assert metrics.average_precision_staying(weighed) == pytest.approx(staying, abs=1e-12)
    assert metrics.brier(weighed) == pytest.approx(brier_score_loss(label, score), abs=1e-12)


@given(LABELS_AND_SCORES)
@settings(max_examples=50)
def test_weights_mean_the_same_as_repeating_the_members(rows: list[tuple[bool, int]]) -> None:
    label, score = arrays(rows)
    drawn = np.random.default_rng(len(rows)).integers(0, 4, len(label)).astype(np.float64)
    if not 0 < drawn @ label < drawn.sum():
        return
    ranked = Ranked.of(label, score)
    weighed = Weighed.of(ranked, drawn[ranked.order])
    roc = metrics.roc_auc(weighed)
    repeated = np.repeat(np.arange(len(label)), drawn.astype(int))
    assert roc == pytest.approx(roc_auc_score(label[repeated], score[repeated]), abs=1e-12)
    precision = metrics.average_precision(weighed)
    assert precision == pytest.approx(average_precision_score(label[repeated], score[repeated]), abs=1e-12)


def test_the_calibration_error_is_the_mean_gap_over_ten_bins_of_equal_mass() -> None:
    random = np.random.default_rng(1)
    score = random.random(1_000)
    label = (random.random(1_000) < score).astype(np.float64)
    order = np.argsort(-score, kind="stable")
    expected = sum(abs(label[part].mean() - score[part].mean()) * 100 for part in np.array_split(order, 10)) / 1_000
    weighed = Weighed.of(Ranked.of(label, score), np.ones(1_000))
    assert metrics.expected_calibration_error(weighed) == pytest.approx(expected, abs=1e-12)


def test_calibration_bins_hold_every_member_and_start_with_the_highest() -> None:
    random = np.random.default_rng(2)
    score = random.random(537)
    label = (random.random(537) < score).astype(np.float64)
    mass, said, happened = metrics.calibration(Ranked.of(label, score))
    assert mass.sum() == 537
    assert mass.max() - mass.min() <= 1
    assert list(said) == sorted(said, reverse=True)
    assert mass @ said == pytest.approx(score.sum())
    assert mass @ happened == pytest.approx(label.sum())


def test_a_perfect_ranking_reaches_the_cap_of_the_lift() -> None:
    label = np.array([1.0] * 180 + [0.0] * 820)
    weighed = Weighed.of(Ranked.of(label, label), np.ones(1_000))
    assert metrics.lift_cap(0.18) == pytest.approx(1 / 0.18)
    assert metrics.lift_at_10_percent(weighed) == pytest.approx(1.0 / 0.18)
    assert metrics.lift_cap(0.02) == pytest.approx(10.0)


def test_a_constant_score_has_no_lift_and_no_skill() -> None:
    label = np.array([1.0] * 30 + [0.0] * 70)
    weighed = Weighed.of(Ranked.of(label, np.full(100, 0.3)), np.ones(100))
    assert metrics.lift_at_10_percent(weighed) == pytest.approx(1.0)
    assert metrics.roc_auc(weighed) == pytest.approx(0.5)
    assert metrics.brier_skill(weighed) == pytest.approx(0.0)
    assert metrics.expected_calibration_error(weighed) >= 0


def test_figures_of_one_class_say_nothing_rather_than_fail() -> None:
    weighed = Weighed.of(Ranked.of(np.zeros(10), np.linspace(0, 1, 10)), np.ones(10))
    assert metrics.roc_auc(weighed) == 0.5
    assert metrics.average_precision(weighed) == 0.0
    assert metrics.lift_at_10_percent(weighed) == 0.0
    assert metrics.brier_skill(weighed) == 0.0
