"""What is known of a member at a cutoff: the columns the warehouse gives, and what the models make of them.

Day counts are in units of the horizon H, so that one definition serves a grocery's four weeks and a dentist's half
year. The SQL is in `warehouse`; the columns here are its result, in this order.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from svoykrug_server.analytics.churn.bgnbd import BgNbd
from svoykrug_server.analytics.churn.statements import LOOK_BACK_DAYS

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]

FEATURES_VERSION = "2"
"""Changes when a column or its meaning changes: a model reads only the version it learned from."""

RAW = (
    "recency_days",
    "tenure_days",
    "purchase_days",
    "mean_gap_days",
    "gap_deviation_days",
    "recent_gap_days",
    "long_gap_count",
    "outlasted_gap_count",
    "outlasted_horizon_gap_count",
    "days_in_quarter_horizon",
    "days_in_half_horizon",
    "days_in_horizon",
    "days_in_two_horizons",
    "days_in_four_horizons",
    "recent_weight",
    "lasting_weight",
    "active_period_share",
    "active_quarter_count",
    "business_count",
    "recent_business_count",
    "spend_minor",
    "recent_spend_minor",
    "last_year_days",
)
"""The warehouse's columns, shape (members, 23), all float64 and none missing, of the year before the cutoff.

- recency_days, tenure_days: from the last, the first purchase day to the cutoff; a purchase the day before is 1. Only
  the first may lie before that year.
- purchase_days: days with a purchase. Gaps are between successive ones, 0 where she has only one.
- mean_gap_days, gap_deviation_days: of all gaps. recent_gap_days: mean of the last five.
- long_gap_count: gaps longer than H. outlasted_*: gaps longer than her present silence, and than it plus H.
- days_in_*: purchase days in the last H/4, H/2, H, 2 H, 4 H.
- recent_weight, lasting_weight: purchase days weighted by exp(-days/H), exp(-days/(3 H)).
- active_period_share: share of the periods of H since her first purchase, or of the year, in which she bought.
- active_quarter_count: in how many of the last twelve H/4 she bought.
- business_count, recent_business_count: businesses she bought at, in all and in the last 2 H.
- spend_minor, recent_spend_minor: net, in all and in the last 4 H.
- last_year_days: purchase days in the H days that begin a year before the cutoff: the season.
"""
COLUMN = {name: index for index, name in enumerate(RAW)}

DESIGN = (
    "bg_nbd",
    "log_recency",
    "log_tenure",
    "log_purchase_days",
    "relative_silence",
    "log_mean_gap",
    "gap_variation",
    "relative_silence_recent",
    "log_days_in_quarter_horizon",
    "log_days_in_half_horizon",
    "log_days_in_horizon",
    "log_days_in_two_horizons",
    "log_days_in_four_horizons",
    "log_recent_weight",
    "log_lasting_weight",
    "business_count",
    "recent_business_count",
    "log_spend_per_day",
    "log_recent_spend",
    "long_gap_count",
    "survival",
    "active_period_share",
    "active_quarter_count",
    "log_last_year_days",
)
"""What the models read, shape (members, 24)."""


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """Columns that say one thing about a member, so that a reason replaces them together.

    Attributes:
        headline: The column whose value is shown.
        columns: All columns of the group.
    """

    headline: str
    columns: tuple[str, ...]


REASON_GROUPS = (
    ReasonGroup("recency_days", ("recency_days", "outlasted_gap_count", "outlasted_horizon_gap_count")),
    ReasonGroup(
        "days_in_horizon",
        (
            "days_in_quarter_horizon",
            "days_in_half_horizon",
            "days_in_horizon",
            "days_in_two_horizons",
            "recent_weight",
        ),
    ),
    ReasonGroup("days_in_four_horizons", ("days_in_four_horizons", "lasting_weight", "active_quarter_count")),
    ReasonGroup("mean_gap_days", ("purchase_days", "mean_gap_days", "gap_deviation_days", "recent_gap_days")),
    ReasonGroup("long_gap_count", ("long_gap_count",)),
    ReasonGroup("active_period_share", ("active_period_share",)),
    ReasonGroup("tenure_days", ("tenure_days",)),
    ReasonGroup("recent_business_count", ("business_count", "recent_business_count")),
    ReasonGroup("recent_spend_minor", ("spend_minor", "recent_spend_minor")),
    ReasonGroup("last_year_days", ("last_year_days",)),
)
"""Every column is in exactly one group."""


def logit(probability: Vector) -> Vector:
    """Returns the log odds, finite also for 0 and 1."""
    clipped = np.clip(probability, 1e-9, 1.0 - 1e-9)
    return np.log(clipped / (1.0 - clipped))


def bg_nbd_statistics(raw: Matrix) -> tuple[Vector, Vector, Vector]:
    """Returns x, t_x and T of each member, each of shape (members,).

    Of a member who first bought before the year that is read, T is that year, and all of its days are after the first.
    A member whose columns were made typical one group at a time (see `reasons`) may be silent for longer than she is
    known: then she was silent since her first purchase.
    """
    recency = np.maximum(raw[:, COLUMN["recency_days"]], 0.0)
    tenure = raw[:, COLUMN["tenure_days"]]
    observed = np.maximum(observed_days(raw), recency)
    later_days = raw[:, COLUMN["purchase_days"]] - np.where(tenure > LOOK_BACK_DAYS, 0.0, 1.0)
    return np.maximum(later_days, 0.0), observed - recency, observed


def observed_days(raw: Matrix) -> Vector:
    """Returns for how many days each member is observed: since her first purchase, or the year; shape (members,)."""
    return np.minimum(raw[:, COLUMN["tenure_days"]], float(LOOK_BACK_DAYS))


def design(raw: Matrix, bg_nbd: BgNbd, horizon_days: int) -> Matrix:
    """Turns the warehouse's columns into what the models read.

    Args:
        raw: Columns `RAW`, shape (members, 23).
        bg_nbd: Parameters learned on the training cutoffs.
        horizon_days: H.

    Returns:
        Columns `DESIGN`, shape (members, 24), all finite.
    """
    column = {name: raw[:, index] for name, index in COLUMN.items()}
    log = {name: np.log1p(np.maximum(values, 0.0)) for name, values in column.items()}
    once = column["purchase_days"] < 2
    log_gap = np.where(once, np.log1p(np.maximum(column["tenure_days"], horizon_days)), log["mean_gap_days"])
    log_recent_gap = np.where(once, log_gap, log["recent_gap_days"])
    spend_per_day = np.maximum(column["spend_minor"], 0.0) / np.maximum(column["purchase_days"], 1.0)
    no_purchase = bg_nbd.no_purchase_probability(*bg_nbd_statistics(raw), horizon_days)
    columns = (
        logit(no_purchase),
        log["recency_days"],
        log["tenure_days"],
        log["purchase_days"],
        log["recency_days"] - log_gap,
        log_gap,
        np.where(once, 1.0, column["gap_deviation_days"] / np.maximum(column["mean_gap_days"], 1.0)),
        log["recency_days"] - log_recent_gap,
        *(log[f"days_in_{span}"] for span in _SPANS),
        np.log(np.maximum(column["recent_weight"], 0.0) + 0.01),
        np.log(np.maximum(column["lasting_weight"], 0.0) + 0.01),
        column["business_count"],
        column["recent_business_count"],
        np.log1p(spend_per_day),
        log["recent_spend_minor"],
        column["long_gap_count"],
        (column["outlasted_horizon_gap_count"] + 0.5) / (np.maximum(column["outlasted_gap_count"], 0.0) + 1.5),
        column["active_period_share"],
        column["active_quarter_count"],
        log["last_year_days"],
    )
    return np.column_stack(columns)


_SPANS = ("quarter_horizon", "half_horizon", "horizon", "two_horizons", "four_horizons")


def recency_ranking(raw: Matrix) -> Vector:
    """Returns the first baseline: the longer silent, the likelier to leave; shape (members,)."""
    return raw[:, COLUMN["recency_days"]]


def rfm_ranking(raw: Matrix) -> Vector:
    """Returns the second baseline: the sum of the R, F and M scores by share, negated; shape (members,)."""
    recency = _score(-raw[:, COLUMN["recency_days"]])
    frequency = _score(raw[:, COLUMN["purchase_days"]])
    monetary = _score(raw[:, COLUMN["spend_minor"]])
    return -(recency + frequency + monetary)


def _score(values: Vector) -> Vector:
    """Scores 1-5 by the share of strictly worse members; equal values get equal scores."""
    worse = np.searchsorted(np.sort(values), values, side="left")
    return np.minimum(5.0, 1.0 + np.floor(5.0 * worse / len(values)))
