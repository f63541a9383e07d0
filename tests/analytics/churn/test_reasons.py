"""Reasons: what moves a member's probability most against a typical member of her segment."""

import numpy as np
import pytest

from svoykrug_server.analytics.churn import estimator
from svoykrug_server.analytics.churn.features import COLUMN, RAW, REASON_GROUPS
from svoykrug_server.analytics.churn.model import Reason
from svoykrug_server.analytics.churn.promotion import BASELINES
from svoykrug_server.analytics.churn.reasons import Typical, explain
from svoykrug_server.analytics.churn.words import _OBSTACLES, obstacle_text, reason_text
from tests.analytics.churn.made import window

SCORER = estimator.fit([window(seed=1), window(seed=2)], 28)


def test_every_column_is_in_exactly_one_group_and_leads_at_most_one() -> None:
    columns = [name for group in REASON_GROUPS for name in group.columns]
    assert sorted(columns) == sorted(RAW)
    assert all(group.headline in group.columns for group in REASON_GROUPS)


def test_an_effect_is_the_change_of_her_probability_when_the_group_is_made_typical() -> None:
    raw = window(members=40, seed=3).raw
    typical = np.tile(np.median(raw, axis=0), (40, 1))
    said = SCORER.probability(raw)
    reasons = explain(SCORER, raw, said, typical)
    for member in range(40):
        group = REASON_GROUPS[reasons.groups[member, 0]]
        replaced = raw[member : member + 1].copy()
        for name in group.columns:
            replaced[0, COLUMN[name]] = typical[member, COLUMN[name]]
        assert reasons.effects[member, 0] == pytest.approx(said[member] - SCORER.probability(replaced)[0])
        assert reasons.values[member, 0] == raw[member, COLUMN[group.headline]]
        assert reasons.typical_values[member, 0] == typical[member, COLUMN[group.headline]]


def test_reasons_come_strongest_first_and_are_three_different_ones() -> None:
    raw = window(members=100, seed=4).raw
    typical = np.tile(np.median(raw, axis=0), (100, 1))
    reasons = explain(SCORER, raw, SCORER.probability(raw), typical)
    strength = np.abs(reasons.effects)
    assert (strength[:, :-1] >= strength[:, 1:]).all()
    assert all(len(set(groups)) == 3 for groups in reasons.groups.tolist())


def test_a_typical_member_has_nothing_that_moves_her() -> None:
    typical = np.median(window(seed=5).raw, axis=0, keepdims=True)
    reasons = explain(SCORER, typical, SCORER.probability(typical), typical)
    assert (reasons.effects == 0).all()


def test_a_segment_under_five_members_borrows_the_typical_member_of_the_scope() -> None:
    raw = window(members=100, seed=6).raw
    segments = np.array([1] * 96 + [2] * 4)
    typical = Typical.of(raw, segments)
    rows = typical.rows(segments)
    assert np.array_equal(rows[0], np.median(raw[:96], axis=0))
    assert np.array_equal(rows[99], np.median(raw, axis=0))


def test_a_block_without_members_has_no_reasons() -> None:
    raw = window(members=20).raw
    nobody = Typical.of(raw, np.zeros(20, dtype=np.int64)).rows(np.zeros(0, dtype=np.int64))
    assert explain(SCORER, raw[:0], np.zeros(0), nobody).effects.shape == (0, 3)


@pytest.mark.parametrize("locale", ["ru", "en"])
@pytest.mark.parametrize("value", [0.0, 1.0, 3.0, 21.0, 12.5])
def test_every_reason_has_words_in_both_languages(locale: str, value: float) -> None:
    for group in REASON_GROUPS:
        text = reason_text(Reason(group.headline, value, 7.0, 0.1), 28, "ru" if locale == "ru" else "en")
        assert text.endswith(".")
        assert "{" not in text


def test_words_say_the_member_s_value_and_the_typical_one() -> None:
    reason = Reason("recency_days", 41.0, 7.0, 0.2)
    assert reason_text(reason, 28, "en") == "Last purchase 41 days ago; typically 7."
    assert reason_text(reason, 28, "ru") == "Последняя покупка 41 день назад; обычно — 7."
    spend = Reason("recent_spend_minor", 123_456.0, 50.0, 0.2)
    assert reason_text(spend, 28, "ru") == "Потратила за 112 дней: 1 234,56; обычно — 0,50."


def test_every_rule_of_promotion_has_words_in_both_languages() -> None:
    assert {f"not_better_than_{name}" for name in BASELINES} <= _OBSTACLES.keys()
    for obstacle in _OBSTACLES:
        assert obstacle_text(obstacle, "en") != obstacle_text(obstacle, "ru")
