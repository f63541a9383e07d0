"""Expected purchases and spend within a horizon, with 80 % intervals cut from the distributions of `outlook`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from svoykrug_server.analytics.churn.features import Vector
from svoykrug_server.analytics.value.calibration import Tails
from svoykrug_server.analytics.value.outlook import Outlook


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a block of members is expected to buy; every array has shape (members,)."""

    purchase_count: Vector
    purchase_count_low: npt.NDArray[np.int64]
    purchase_count_high: npt.NDArray[np.int64]
    spend_minor: Vector
    spend_low_minor: Vector
    spend_high_minor: Vector


def forecast(outlook: Outlook, tails: Tails) -> Forecast:
    """Returns what members are expected to buy within a horizon.

    Args:
        outlook: Their distributions.
        tails: How much of them an interval leaves out at either end.
    """
    counts, spend = tails.of_counts(outlook), tails.of_spend(outlook)
    return Forecast(
        purchase_count=outlook.count_mean,
        purchase_count_low=outlook.count_quantile(counts),
        purchase_count_high=outlook.count_quantile(1.0 - counts),
        spend_minor=outlook.spend_mean,
        spend_low_minor=outlook.spend_quantile(spend),
        spend_high_minor=outlook.spend_quantile(1.0 - spend),
    )
