"""Complete Journey by household and day: what was known of each household at a cutoff, and what came."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from demo.source import receipts
from svoykrug_server.analytics.churn.features import COLUMN, RAW, Matrix, Vector

HORIZON_DAYS = 28


def members(**columns: Sequence[float]) -> Matrix:
    """Returns the warehouse's columns of members; those not named are 0."""
    raw = np.zeros((len(next(iter(columns.values()))), len(RAW)))
    for name, values in columns.items():
        raw[:, COLUMN[name]] = values
    return raw


def all_household_days() -> pd.DataFrame:
    """Returns what each household spent on each day."""
    days = receipts().assign(day=lambda table: table["purchase_time"].dt.floor("D"))
    return days.groupby(["household", "day"], as_index=False).agg(spend=("amount_minor", "sum"))


def known_at(days: pd.DataFrame, cutoff: pd.Timestamp) -> tuple[Matrix, pd.Index]:
    """Returns the warehouse's columns that value reads, and whose they are."""
    before = days[days["day"] < cutoff].assign(ago=lambda table: (cutoff - table["day"]).dt.days)
    before["weight"] = np.exp(-before["ago"] / (3 * HORIZON_DAYS))
    of = before.groupby("household")
    raw = members(
        recency_days=of["ago"].min().tolist(),
        tenure_days=of["ago"].max().tolist(),
        purchase_days=of.size().tolist(),
        lasting_weight=of["weight"].sum().tolist(),
        spend_minor=of["spend"].sum().tolist(),
    )
    return raw, of.size().index


def happened(days: pd.DataFrame, first: pd.Timestamp, whose: pd.Index) -> tuple[Vector, Vector]:
    """Returns how many days with a purchase and how much spend fell into a horizon from a day on."""
    window = days[(days["day"] >= first) & (days["day"] < first + pd.Timedelta(days=HORIZON_DAYS))]
    of = window.groupby("household")["spend"].agg(["size", "sum"]).reindex(whose).fillna(0)
    return of["size"].to_numpy(np.float64), of["sum"].to_numpy(np.float64)
