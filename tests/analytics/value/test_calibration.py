"""Intervals hold as often as they say: on draws from the distributions, on members unlike them, and on real ones."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import nbinom

from svoykrug_server.analytics.churn import bgnbd
from svoykrug_server.analytics.churn.estimator import Window
from svoykrug_server.analytics.churn.features import COLUMN, bg_nbd_statistics
from svoykrug_server.analytics.churn.learning import value_tails
from svoykrug_server.analytics.value.calibration import GROUP_EDGES, NOMINAL, Outcome, Tails, calibrate
from svoykrug_server.analytics.value.forecast import forecast
from svoykrug_server.analytics.value.outlook import Outlook, Rates
from svoykrug_server.analytics.value.spending import GammaGamma, fit
from tests.analytics.value.household_days import HORIZON_DAYS, all_household_days, happened, known_at, members

SPENDING = GammaGamma(0.8, 4.0, 200_000.0)


def outlook(count: int = 8_000, seed: int = 1) -> Outlook:
    """Returns the distributions of members of all sorts."""
    random = np.random.default_rng(seed)
    tenure = random.uniform(30, 330, count)
    weight = random.gamma(0.6, 12, count)
    days = np.maximum(1.0, np.round(weight * 2))
    raw = members(
        purchase_days=days.tolist(),
        lasting_weight=weight.tolist(),
        tenure_days=tenure.tolist(),
        spend_minor=(days * random.gamma(2, 40_000, count)).tolist(),
    )
    return Outlook.of(raw, Rates.of(raw, 0.8, 12.0, HORIZON_DAYS), SPENDING, HORIZON_DAYS)


def drawn(foreseen: Outlook, seed: int) -> Outcome:
    """Returns an outcome drawn from the distributions themselves."""
    random = np.random.default_rng(seed)
    days = np.minimum(nbinom.rvs(foreseen.count_shape, foreseen.none, random_state=random), HORIZON_DAYS)
    buys = random.random(len(days)) >= foreseen.nothing
    spend = np.where(buys, random.gamma(foreseen.spend_shape) * foreseen.spend_scale, 0.0)
    return Outcome(foreseen, days.astype(np.float64), spend)


def regular(foreseen: Outlook, seed: int) -> Outcome:
    """Returns the outcome of members who keep nearer to what is expected than the distributions say."""
    random = np.random.default_rng(seed)
    days = random.binomial(HORIZON_DAYS, foreseen.count_mean / HORIZON_DAYS).astype(np.float64)
    spend = np.where(days > 0, foreseen.spend_mean * random.gamma(9.0, 1 / 9.0, len(days)), 0.0)
    return Outcome(foreseen, days, spend)


def inside(outcome: Outcome, tails: Tails) -> tuple[np.typing.NDArray[np.bool_], np.typing.NDArray[np.bool_]]:
    """Tells of each member whether her interval holds what came: days with a purchase, spend."""
    said = forecast(outcome.outlook, tails)
    counts = (outcome.days >= said.purchase_count_low) & (outcome.days <= said.purchase_count_high)
    return counts, (outcome.spend_minor >= said.spend_low_minor) & (outcome.spend_minor <= said.spend_high_minor)


def test_the_distribution_of_days_is_the_negative_binomial_cut_at_the_horizon() -> None:
    foreseen = outlook(300)
    for count in (0, 1, 5, HORIZON_DAYS - 1):
        expected = nbinom.cdf(count, foreseen.count_shape, foreseen.none)
        assert foreseen.count_below(np.full(300, float(count))) == pytest.approx(expected, abs=1e-12)
    assert np.all(foreseen.count_below(np.full(300, -1.0)) == 0)
    assert np.all(foreseen.count_below(np.full(300, HORIZON_DAYS + 1.0)) == 1)


@pytest.mark.parametrize("level", [0.01, 0.2, 0.5, 0.9, 0.99])
def test_a_quantile_is_the_least_value_whose_distribution_function_reaches_its_level(level: float) -> None:
    foreseen, levels = outlook(300), np.full(300, level)
    counts = foreseen.count_quantile(levels).astype(np.float64)
    assert np.all(foreseen.count_below(counts) >= level)
    assert np.all(foreseen.count_below(counts - 1) < level)
    spend = foreseen.spend_quantile(levels)
    assert foreseen.spend_below(spend) == pytest.approx(np.maximum(level, foreseen.nothing), abs=1e-9)


@pytest.mark.parametrize("tail", [0.02, 0.1, 0.3, 0.5])
def test_an_interval_holds_what_fits_at_least_as_well_as_its_tail(tail: float) -> None:
    outcome = drawn(outlook(2_000), 5)
    counts, spend = inside(outcome, Tails((tail,) * 4, (tail,) * 4))
    assert np.array_equal(counts, outcome.count_fit() >= tail)
    fits = outcome.spend_fit()
    assert np.array_equal(spend[abs(fits - tail) > 1e-9], (fits >= tail)[abs(fits - tail) > 1e-9])


@pytest.mark.parametrize("happen", [drawn, regular])
def test_calibrated_intervals_hold_four_of_five_in_every_group(happen: Any) -> None:
    foreseen = outlook()
    tails, fresh = calibrate([happen(foreseen, 2), happen(foreseen, 3)]), happen(foreseen, 4)
    groups = np.digitize(foreseen.nothing, GROUP_EDGES)
    for held in inside(fresh, tails):
        assert held.mean() == pytest.approx(0.8, abs=0.02)
        for group in range(len(GROUP_EDGES) + 1):
            assert held[groups == group].mean() == pytest.approx(0.8, abs=0.05), group


def test_a_tenth_at_either_end_holds_more_than_it_says_where_members_are_regular() -> None:
    counts, spend = inside(regular(outlook(), 4), NOMINAL)
    assert counts.mean() > 0.9
    assert spend.mean() > 0.9


def test_fewer_than_four_members_get_the_widest_interval_that_is_ever_said() -> None:
    foreseen = outlook(3)
    assert calibrate([drawn(foreseen, 1)]) == Tails((0.01,) * 4, (0.01,) * 4)


def test_tails_survive_their_document_and_a_model_without_them_says_a_tenth() -> None:
    tails = calibrate([drawn(outlook(), 1)])
    assert Tails.from_document(tails.document()) == tails
    assert Tails.from_document(None) is NOMINAL


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"count_tails": [0.1] * 4},
        {"count_tails": [0.1] * 3, "spend_tails": [0.1] * 4},
        {"count_tails": [0.1] * 4, "spend_tails": [0.1, 0.1, 0.1, 0.6]},
        {"count_tails": [0.1] * 4, "spend_tails": [0.1, 0.1, 0.1, float("nan")]},
        {"count_tails": "many", "spend_tails": [0.1] * 4},
        {"count_tails": [0.1] * 4, "spend_tails": None},
    ],
)
def test_damaged_tails_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="tails"):
        Tails.from_document(document)


def window_at(days: pd.DataFrame, cutoff: pd.Timestamp) -> Window:
    raw, whose = known_at(days, cutoff)
    counts, spends = happened(days, cutoff, whose)
    return Window(raw, (counts == 0).astype(np.float64), counts, spends)


def test_december_of_complete_journey_is_inside_as_often_as_said_by_tails_of_closed_windows() -> None:
    days, cutoff = all_household_days(), pd.Timestamp(2017, 12, 1)
    past = [window_at(days, cutoff - pd.Timedelta(days=35 + 28 * back)) for back in (2, 1, 0)]
    bg_nbd = bgnbd.fit(*bg_nbd_statistics(past[-1].raw))
    december = window_at(days, cutoff)
    rates = Rates.of(december.raw, bg_nbd.r, bg_nbd.alpha, HORIZON_DAYS)
    spending = fit(december.raw[:, COLUMN["purchase_days"]], december.raw[:, COLUMN["spend_minor"]])
    came = Outcome(
        Outlook.of(december.raw, rates, spending, HORIZON_DAYS), december.later_days, december.later_spend_minor
    )
    uncalibrated = [held.mean() for held in inside(came, NOMINAL)]
    calibrated = [held.mean() for held in inside(came, value_tails(bg_nbd, past, HORIZON_DAYS))]
    assert min(uncalibrated) > 0.88
    assert calibrated == pytest.approx([0.8, 0.8], abs=0.025)
