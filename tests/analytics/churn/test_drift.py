"""Drift: the stability index by its definition, in blocks, and at its edges."""

import math

import numpy as np
import pytest

from svoykrug_server.analytics.churn.drift import DriftMeter, bins_of
from svoykrug_server.analytics.churn.features import COLUMN, RAW
from svoykrug_server.analytics.churn.model import FeatureBins
from tests.analytics.churn.made import window


def one_feature(values: list[float]) -> np.typing.NDArray[np.float64]:
    raw = np.zeros((len(values), len(RAW)))
    raw[:, COLUMN["recency_days"]] = values
    return raw


def test_the_index_is_that_of_its_definition() -> None:
    meter = DriftMeter([FeatureBins("recency_days", (10.0, 20.0), (0.5, 0.3, 0.2))])
    meter.add(one_feature([10.0, 20.0, 20.5, 30.0]))
    shares = ((0.25, 0.5), (0.25, 0.3), (0.5, 0.2))
    expected = sum((now - then) * math.log(now / then) for now, then in shares)
    assert meter.indexes() == {"recency_days": pytest.approx(expected)}


def test_the_members_a_model_learned_from_have_not_moved() -> None:
    raw = window(5_000).raw
    meter = DriftMeter(bins_of(raw))
    meter.add(raw)
    assert max(meter.indexes().values()) < 1e-9
    other = DriftMeter(bins_of(raw))
    other.add(window(5_000, seed=2).raw)
    assert max(other.indexes().values()) < 0.02


def test_blocks_add_up_to_the_whole() -> None:
    bins, raw = bins_of(window(2_000).raw), window(900, seed=3).raw * 1.4
    whole, parts = DriftMeter(bins), DriftMeter(bins)
    whole.add(raw)
    for part in np.array_split(raw, 4):
        parts.add(part)
    assert whole.indexes() == parts.indexes()
    assert list(whole.indexes().values()) == sorted(whole.indexes().values(), reverse=True)


def test_an_empty_bin_keeps_the_index_finite_and_a_constant_never_moves() -> None:
    bins = bins_of(one_feature([1.0] * 50 + [9.0] * 50))
    meter = DriftMeter(bins)
    meter.add(one_feature([9.0] * 100))
    indexes = meter.indexes()
    assert 1 < indexes["recency_days"] < 10
    assert indexes["tenure_days"] == 0


def test_nobody_scored_says_nothing_of_drift() -> None:
    assert DriftMeter(bins_of(window(300).raw)).indexes() == {}
