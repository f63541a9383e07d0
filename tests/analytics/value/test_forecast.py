"""Member value: against simulation of the same model, and on real purchases that came after."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from svoykrug_server.analytics.churn import bgnbd
from svoykrug_server.analytics.churn.features import COLUMN, Matrix, Vector, bg_nbd_statistics
from svoykrug_server.analytics.value import spending
from svoykrug_server.analytics.value.calibration import NOMINAL
from svoykrug_server.analytics.value.forecast import Forecast, forecast
from svoykrug_server.analytics.value.outlook import Outlook, Rates
from svoykrug_server.analytics.value.spending import GammaGamma
from tests.analytics.value.household_days import HORIZON_DAYS, all_household_days, happened, known_at, members

DRAWS = 60_000


SOME = members(
    purchase_days=[1, 3, 40, 200],
    lasting_weight=[0.01, 1.5, 12.0, 55.0],
    tenure_days=[300, 30, 250, 330],
    spend_minor=[50_000, 900_000, 2_000_000, 40_000_000],
)
SPENDING = GammaGamma(0.8, 4.0, 200_000.0)


def test_figures_and_intervals_are_those_of_the_simulated_model() -> None:
    rates = Rates.of(SOME, 1.4, 9.6, HORIZON_DAYS)
    said = forecast(Outlook.of(SOME, rates, SPENDING, HORIZON_DAYS), NOMINAL)
    random = np.random.default_rng(1)
    size = (DRAWS, len(SOME))
    counts = random.poisson(random.gamma(rates.shape, 1 / rates.days, size) * HORIZON_DAYS)
    days, spend = SOME[:, COLUMN["purchase_days"]], SOME[:, COLUMN["spend_minor"]]
    nu = random.gamma(SPENDING.q + SPENDING.p * days, 1 / (SPENDING.gamma + spend), size)
    spends = np.where(counts > 0, random.gamma(np.maximum(SPENDING.p * counts, 1e-9)) / nu, 0.0)
    assert said.purchase_count == pytest.approx(counts.mean(axis=0), rel=0.03)
    assert said.spend_minor == pytest.approx(spends.mean(axis=0), rel=0.03)
    assert said.purchase_count_low.tolist() == np.quantile(counts, 0.1, axis=0, method="inverted_cdf").tolist()
    assert said.purchase_count_high.tolist() == np.quantile(counts, 0.9, axis=0, method="inverted_cdf").tolist()
    above, below = np.mean(spends > said.spend_high_minor, axis=0), np.mean(spends < said.spend_low_minor, axis=0)
    assert above == pytest.approx(0.1, abs=0.02)
    assert np.all(below < 0.13)
    assert said.spend_low_minor[0] == 0


def test_nobody_buys_on_more_days_than_there_are() -> None:
    daily = members(purchase_days=[300.0], lasting_weight=[84.0], tenure_days=[300.0], spend_minor=[3e7])
    rates = Rates.of(daily, 50.0, 1.0, HORIZON_DAYS)
    said = forecast(Outlook.of(daily, rates, SPENDING, HORIZON_DAYS), NOMINAL)
    assert said.purchase_count[0] == HORIZON_DAYS
    assert said.purchase_count_high[0] == HORIZON_DAYS


def test_the_parameters_of_spending_are_found_again() -> None:
    random = np.random.default_rng(2)
    days = random.integers(1, 60, 20_000).astype(np.float64)
    nu = random.gamma(3.5, 1 / 150_000, len(days))
    spend = random.gamma(0.9 * days) / nu
    found = spending.fit(days, spend)
    assert (found.p, found.q) == pytest.approx((0.9, 3.5), rel=0.08)
    assert found.gamma == pytest.approx(150_000, rel=0.1)
    assert abs(spending.independence(days, spend)) < 0.05


def test_members_who_never_paid_are_expected_to_pay_next_to_nothing() -> None:
    free = members(purchase_days=[2.0, 3.0], lasting_weight=[1.0, 1.0], tenure_days=[90.0, 90.0])
    found = spending.fit(free[:, COLUMN["purchase_days"]], free[:, COLUMN["spend_minor"]])
    said = forecast(Outlook.of(free, Rates.of(free, 1.4, 9.6, HORIZON_DAYS), found, HORIZON_DAYS), NOMINAL)
    assert np.all(said.spend_minor < 10)
    assert np.all(np.isfinite(said.spend_high_minor))
    assert spending.independence(free[:, COLUMN["purchase_days"]], free[:, COLUMN["spend_minor"]]) == 0


@pytest.fixture(scope="module")
def household_days() -> pd.DataFrame:
    """What each household of Complete Journey spent on each day."""
    return all_household_days()


def error(said: npt.NDArray[np.float64], truth: Vector) -> float:
    return float(np.mean(np.abs(said - truth)))


def said_of(raw: Matrix) -> Forecast:
    bg_nbd = bgnbd.fit(*bg_nbd_statistics(raw))
    found = spending.fit(raw[:, COLUMN["purchase_days"]], raw[:, COLUMN["spend_minor"]])
    rates = Rates.of(raw, bg_nbd.r, bg_nbd.alpha, HORIZON_DAYS)
    return forecast(Outlook.of(raw, rates, found, HORIZON_DAYS), NOMINAL)


def test_december_of_complete_journey_is_foreseen_better_than_by_the_baselines(household_days: pd.DataFrame) -> None:
    cutoff = pd.Timestamp(2017, 12, 1)
    raw, whose = known_at(household_days, cutoff)
    counts, spends = happened(household_days, cutoff, whose)
    last_counts, last_spends = happened(household_days, cutoff - pd.Timedelta(days=HORIZON_DAYS), whose)
    said = said_of(raw)
    rate = HORIZON_DAYS / raw[:, COLUMN["tenure_days"]]
    assert len(whose) == 2_463
    assert abs(spending.independence(raw[:, COLUMN["purchase_days"]], raw[:, COLUMN["spend_minor"]])) < 0.05
    assert error(said.purchase_count, counts) < 1.53
    assert error(last_counts, counts) > 1.65
    assert error(rate * raw[:, COLUMN["purchase_days"]], counts) > 1.69
    assert abs(said.purchase_count.sum() / counts.sum() - 1) < 0.03
    assert error(said.spend_minor, spends) < 7_300
    assert error(last_spends, spends) > 7_600
    assert error(rate * raw[:, COLUMN["spend_minor"]], spends) > 7_400
    assert abs(said.spend_minor.sum() / spends.sum() - 1) < 0.05
