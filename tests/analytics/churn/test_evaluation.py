"""What a judgement says beside its figures: intervals that belong to them."""

import numpy as np
import pytest

from svoykrug_server.analytics.churn import evaluation


@pytest.mark.parametrize("members", [250, 1_000, 4_000])
@pytest.mark.parametrize("tilt", [1.0, 0.7])
def test_every_interval_holds_its_figure_also_of_a_calibration_error_that_is_chance(members: int, tilt: float) -> None:
    random = np.random.default_rng(members)
    said = random.beta(1.0, 4.0, members)
    churned = (random.random(members) < said**tilt).astype(np.float64)
    (row,) = evaluation.judge(churned, {"model": said}).measurements
    for name, figure in row.figures.items():
        assert figure.low < figure.value < figure.high, name
    assert row.figures["ece"].low >= 0


def test_a_calibration_error_beyond_chance_is_told_from_one_that_is_chance() -> None:
    random = np.random.default_rng(3)
    said = random.beta(1.0, 4.0, 3_000)
    honest = (random.random(3_000) < said).astype(np.float64)
    tilted = (random.random(3_000) < np.sqrt(said)).astype(np.float64)
    by_chance, beyond = (
        evaluation.judge(churned, {"model": said}).measurements[0].figures["ece"] for churned in (honest, tilted)
    )
    assert by_chance.high < beyond.low
