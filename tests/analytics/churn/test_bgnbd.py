"""BG/NBD, against the parameters that Fader, Hardie and Lee published for CDNOW (in weeks)."""

import numpy as np
import pytest

from svoykrug_server.analytics.churn import bgnbd
from svoykrug_server.analytics.churn.bgnbd import BgNbd, Vector

CDNOW = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)


def simulate(model: BgNbd, members: int, observed: float, horizon: float) -> tuple[Vector, Vector, Vector, Vector]:
    """Returns x, t_x, T and whether nothing was bought in the horizon, for buyers that follow the model."""
    random = np.random.default_rng(3)
    rates, leaving = random.gamma(model.r, 1 / model.alpha, members), random.beta(model.a, model.b, members)
    x, t_x, silent = np.zeros(members), np.zeros(members), np.ones(members)
    for member in range(members):
        moment = random.exponential(1 / rates[member])
        while moment < observed + horizon:
            if moment >= observed:
                silent[member] = 0
                break
            x[member] += 1
            t_x[member] = moment
            if random.random() < leaving[member]:
                break
            moment += random.exponential(1 / rates[member])
    return x, t_x, np.full(members, observed), silent


def test_the_fit_finds_the_published_parameters_in_simulated_purchases() -> None:
    x, t_x, observed, _ = simulate(CDNOW, 8_000, 78.0, 26.0)
    found = bgnbd.fit(x, t_x, observed)
    assert found.r == pytest.approx(CDNOW.r, rel=0.15)
    assert found.alpha == pytest.approx(CDNOW.alpha, rel=0.25)
    assert found.a / (found.a + found.b) == pytest.approx(CDNOW.a / (CDNOW.a + CDNOW.b), rel=0.2)


def test_the_probability_of_no_purchase_is_calibrated_on_simulated_purchases() -> None:
    x, t_x, observed, silent = simulate(CDNOW, 8_000, 39.0, 26.0)
    said = CDNOW.no_purchase_probability(x, t_x, observed, 26.0)
    assert said.mean() == pytest.approx(silent.mean(), abs=0.01)
    repeat = x >= 2
    assert said[repeat].mean() == pytest.approx(silent[repeat].mean(), abs=0.03)


def test_the_likelihood_of_a_member_equals_the_published_closed_form() -> None:
    r, alpha, a, b = 0.243, 4.414, 0.793, 2.426
    x, t_x, observed = 2.0, 30.43, 38.86
    rising = r * (r + 1)
    beta = b * (b + 1) / ((a + b) * (a + b + 1))
    alive = beta * rising * alpha**r / (alpha + observed) ** (r + x)
    left = a * b / ((a + b) * (a + b + 1)) * rising * alpha**r / (alpha + t_x) ** (r + x)
    found = bgnbd.log_likelihood(np.log([r, alpha, a, b]), np.array([x]), np.array([t_x]), np.array([observed]))
    assert found[0] == pytest.approx(np.log(alive + left), rel=1e-12)


def test_a_one_time_buyer_is_not_taken_for_certain_to_return() -> None:
    once = CDNOW.no_purchase_probability(np.array([0.0]), np.array([0.0]), np.array([30.0]), 4.0)
    assert once[0] == pytest.approx((1 / ((4.414 + 34) / (4.414 + 30))) ** 0.243)
    assert once[0] > 0.9


def test_a_regular_buyer_gone_silent_is_likelier_to_be_gone_than_a_seldom_one() -> None:
    regular, seldom = CDNOW.no_purchase_probability(
        np.array([30.0, 2.0]), np.array([20.0, 20.0]), np.array([39.0, 39.0]), 4.0
    )
    assert regular > 0.95
    assert regular > seldom


def test_purchases_that_never_end_give_finite_parameters() -> None:
    random = np.random.default_rng(4)
    x = random.poisson(30, 2_000).astype(np.float64)
    found = bgnbd.fit(x, np.full(2_000, 99.0), np.full(2_000, 100.0))
    assert np.isfinite(found.no_purchase_probability(x, np.full(2_000, 99.0), np.full(2_000, 100.0), 28.0)).all()


def test_parameters_outside_their_domain_are_refused() -> None:
    with pytest.raises(ValueError, match="alpha of a BG/NBD model must be a positive number"):
        BgNbd(1.0, 0.0, 1.0, 1.0)
