"""The same figures in pandas, by the same definitions, over a table in memory; in a process of its own.

It is given numbers in place of identifiers and has read its table before the time begins: both flatter it.
"""

from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.scale import asked
from benchmarks.scale.circle import ZONE
from svoykrug_server.analytics.churn.features import RAW
from svoykrug_server.analytics.segments import NEW_DAYS, SEGMENT_BY_SCORES, Segment


class InPandas:
    """pandas at the same work.

    Args:
        rows: `purchase_id`, `business`, `member_id`, `kind`, `amount_minor`, `purchase_time`, `ingest_time` and
            `sensitive` of the ledger.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self._rows = rows[rows["sensitive"] == 0].reset_index(drop=True)

    def snapshot(self) -> pd.DataFrame:
        """Returns the members with their segments."""
        known = self._known(self._rows["purchase_time"] < asked.CUTOFF)
        bought = known[known["kind"] == 1].set_index("purchase_id")
        corrections = known[known["kind"] != 1].groupby("purchase_id")
        given_back = corrections["amount_minor"].sum().reindex(bought.index, fill_value=0)
        is_reversed = (corrections["kind"].max() == 3).reindex(bought.index, fill_value=False)
        net = bought["amount_minor"] + given_back
        kept = bought.assign(net=net)[~is_reversed & ((bought["amount_minor"] == 0) | (net > 0))]
        start = asked.CUTOFF.astimezone(ZONE) - timedelta(days=asked.WINDOW_DAYS)
        window = kept[kept["purchase_time"] >= pd.Timestamp(start)].groupby("member_id")
        members = pd.DataFrame({"purchase_count": window.size(), "net_spend_minor": window["net"].sum()})
        times = kept.groupby("member_id")["purchase_time"].agg(["min", "max"]).reindex(members.index)
        members["recency_days"] = _days_before(times["max"], asked.CUTOFF)
        first_days = _days_before(times["min"], asked.CUTOFF)
        members["r"] = _score(-members["recency_days"])
        members["f"] = _score(members["purchase_count"])
        members["m"] = _score(members["net_spend_minor"])
        cells = 100 * members["r"] + 10 * members["f"] + members["m"]
        segment = cells.map({cell: int(name) for cell, name in SEGMENT_BY_SCORES.items()})
        long_known = (segment == Segment.NEW) & (first_days > NEW_DAYS)
        again = np.where(members["f"] > 1, int(Segment.POTENTIAL_LOYALIST), int(Segment.ABOUT_TO_SLEEP))
        members["segment"] = np.where(long_known, again, segment)
        return members

    def snapshot_figures(self) -> asked.Places:
        """Returns the same by member."""
        columns = ["segment", "recency_days", "purchase_count", "net_spend_minor", "r", "f", "m"]
        members = self.snapshot()
        values = members[columns].to_numpy(np.int64).tolist()
        return {int(member_id): tuple(row) for member_id, row in zip(members.index, values, strict=True)}

    def feature_figures(self) -> asked.Features:
        """Returns every member's features."""
        known = self._known(self._rows["purchase_time"] <= asked.CUTOFF)
        kept = _without_returned(known).copy()
        kept["ago"] = _days_before(kept["purchase_time"], asked.CUTOFF)
        tenure = kept[kept["kind"] == 1].groupby("member_id")["ago"].max()
        kept = kept[kept["ago"] <= 365]
        bought = kept[kept["kind"] == 1]
        kept = kept[(kept["kind"] == 1) | kept["purchase_id"].isin(bought["purchase_id"])]
        days = bought[["member_id", "ago"]].drop_duplicates().sort_values(["member_id", "ago"])
        shapes = _shapes(days["member_id"].to_numpy(), days["ago"].to_numpy(), tenure)
        h = asked.HORIZON_DAYS
        shapes["business_count"] = bought.groupby("member_id")["business"].nunique()
        recent = bought[bought["ago"] <= 2 * h].groupby("member_id")["business"].nunique()
        shapes["recent_business_count"] = recent.reindex(shapes.index, fill_value=0)
        for name, span in (("spend_minor", None), ("recent_spend_minor", 4 * h), ("net_spend_minor", 365)):
            of_span = kept if span is None else kept[kept["ago"] <= span]
            spent = of_span.groupby("member_id")["amount_minor"].sum()
            shapes[name] = spent.reindex(shapes.index, fill_value=0)
        return shapes[[*RAW, "net_spend_minor"]].to_numpy(np.float64)

    def dashboard_figures(self) -> asked.Dashboard:
        """Returns a dashboard's figures."""
        length = asked.END_DAY - asked.FIRST_DAY
        edges = [_start(asked.END_DAY - number * length) for number in range(4)]
        times = self._rows["purchase_time"]
        bought = self._rows[(self._rows["kind"] == 1) & (times < edges[0])]
        first = bought.groupby("member_id")["purchase_time"].min()
        counts = [_counts(bought, start, end) for end, start in pairwise(edges)]
        found = []
        for number in (0, 1):
            sold = self._rows[(times >= edges[number + 1]) & (times < edges[number])]
            receipts = sold[sold["kind"] == 1]["amount_minor"]
            now, before = counts[number], counts[number + 1]
            is_new = first.reindex(now.index) >= edges[number + 1]
            returning = ~is_new & ~now.index.isin(before.index)
            lost = ~before.index.isin(now.index)
            buyers = (len(now), is_new.sum(), returning.sum(), lost.sum(), (now > 1).sum())
            figures = (sold["amount_minor"].sum(), receipts.sum(), len(receipts), *buyers)
            found.append(tuple(int(each) for each in figures))
        return found[0], found[1], self._each_day(edges[1], edges[0])

    def cohort_figures(self) -> asked.Cohorts:
        """Returns the cohorts' figures."""
        kept = self._kept_now()
        local = kept["purchase_time"].dt.tz_convert(ZONE)
        keyed = kept.assign(month=local.dt.year * 12 + local.dt.month - 1, is_active=kept["kind"] == 1)
        months = keyed.groupby(["member_id", "month"], as_index=False).agg(
            is_active=("is_active", "any"), net=("amount_minor", "sum")
        )
        cohort = months[months["is_active"]].groupby("member_id")["month"].min()
        months["cohort"] = months["member_id"].map(cohort)
        first, last, present = map(_month, (asked.FIRST_MONTH, asked.LAST_MONTH, asked.PRESENT_MONTH))
        shown = months[months["cohort"].between(first, last) & (months["month"] <= present)]
        table = shown.groupby(["cohort", "month"]).agg(active=("is_active", "sum"), net=("net", "sum"))
        return {(int(key[0]), int(key[1])): (int(row[0]), int(row[1])) for key, row in _rows(table)}

    def way_figures(self) -> asked.Ways:
        """Returns how many members went from where to where."""
        kept = self._kept_now()
        days = _start(asked.MATRIX_FIRST_DAY), _start(asked.MATRIX_END_DAY)
        inside = (kept["purchase_time"] >= days[0]) & (kept["purchase_time"] < days[1])
        bought = kept[(kept["kind"] == 1) & inside][["member_id", "business", "purchase_time"]]
        pairs = bought.merge(bought, on="member_id", suffixes=("", "_next"))
        after = pairs["purchase_time_next"] - pairs["purchase_time"]
        soon = (after > timedelta(0)) & (after <= timedelta(days=asked.WITHIN_DAYS))
        went = pairs[soon & (pairs["business"] != pairs["business_next"])]
        counts = went[["member_id", "business", "business_next"]].drop_duplicates()
        table = counts.groupby(["business", "business_next"]).size()
        return {(int(key[0]), int(key[1])): int(row[0]) for key, row in _rows(table.to_frame()) if row[0] >= 5}

    def _kept_now(self) -> pd.DataFrame:
        return _without_returned(self._rows)

    def _known(self, happened: "pd.Series[bool]") -> pd.DataFrame:
        return self._rows[happened & (self._rows["ingest_time"] <= asked.CUTOFF)]

    def _each_day(self, start: datetime, end: datetime) -> dict[date, tuple[int, int, int]]:
        sold = self._rows[(self._rows["purchase_time"] >= start) & (self._rows["purchase_time"] < end)]
        day = sold["purchase_time"].dt.tz_convert(ZONE).dt.date
        net = sold.groupby(day)["amount_minor"].sum()
        bought = sold[sold["kind"] == 1].groupby(day)["member_id"].agg(["size", "nunique"])
        table = bought.reindex(net.index, fill_value=0)
        return {key: (int(net[key]), int(row[0]), int(row[1])) for key, row in _rows(table)}


def _without_returned(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the entries of purchases that were not wholly given back."""
    touched = rows[rows["purchase_id"].isin(rows[rows["kind"] != 1]["purchase_id"])]
    left = touched.groupby("purchase_id")["amount_minor"].sum()
    return rows[~rows["purchase_id"].isin(left[left <= 0].index)]


def _shapes(member_ids: Any, ago: Any, tenure: "pd.Series[int]") -> pd.DataFrame:
    """Returns the features that days say, of members' purchase days, the latest first."""
    h = asked.HORIZON_DAYS
    days = pd.DataFrame({"member_id": member_ids, "ago": ago})
    by_member = days.groupby("member_id")["ago"]
    days["gap"] = by_member.shift(-1) - days["ago"]
    days["recency"] = by_member.transform("min")
    days["place"] = by_member.cumcount()
    spans = {"quarter_horizon": h / 4, "half_horizon": h / 2, "horizon": h, "two_horizons": 2 * h}
    for name, span in {**spans, "four_horizons": 4 * h}.items():
        days[f"days_in_{name}"] = days["ago"] <= span
    days["long_gap_count"] = days["gap"] > h
    days["outlasted_gap_count"] = days["gap"] > days["recency"]
    days["outlasted_horizon_gap_count"] = days["gap"] > days["recency"] + h
    days["recent_weight"] = np.exp(-days["ago"] / h)
    days["lasting_weight"] = np.exp(-days["ago"] / (3 * h))
    days["last_year_days"] = (days["ago"] <= 365) & (days["ago"] > 365 - h)
    since = days["ago"].clip(lower=1) - 1
    days["period"] = since // h
    days["quarter"] = (since // (h / 4)).where(days["ago"] <= 3 * h)
    of_member = days.groupby("member_id")
    summed = [name for name in RAW if name in days.columns]
    shapes = of_member[summed].sum()
    shapes["recency_days"] = by_member.min()
    shapes["tenure_days"] = tenure.reindex(shapes.index)
    shapes["purchase_days"] = by_member.size()
    shapes["mean_gap_days"] = of_member["gap"].mean()
    shapes["gap_deviation_days"] = of_member["gap"].std(ddof=0)
    shapes["recent_gap_days"] = days[days["place"] < 5].groupby("member_id")["gap"].mean()
    shapes["active_quarter_count"] = of_member["quarter"].nunique()
    periods = (shapes["tenure_days"].clip(1, 365) - 1) // h + 1
    shapes["active_period_share"] = of_member["period"].nunique() / periods
    return shapes.fillna(0.0)


def _score(values: "pd.Series[int]") -> "pd.Series[int]":
    worse = values.rank(method="min").astype("int64") - 1
    return (1 + 5 * worse // len(values)).clip(upper=5)


def _counts(bought: pd.DataFrame, start: datetime, end: datetime) -> "pd.Series[int]":
    inside = (bought["purchase_time"] >= start) & (bought["purchase_time"] < end)
    return bought[inside].groupby("member_id").size()


def _days_before(times: "pd.Series[pd.Timestamp]", cutoff: datetime) -> "pd.Series[int]":
    local = times.dt.tz_convert(ZONE).dt.tz_localize(None).dt.normalize()
    return (pd.Timestamp(cutoff.astimezone(ZONE).date()) - local).dt.days


def _start(day: date) -> datetime:
    return pd.Timestamp(day, tz=ZONE).to_pydatetime()


def _month(day: date) -> int:
    return day.year * 12 + day.month - 1


def _rows(table: pd.DataFrame) -> Any:
    return zip(table.index, table.itertuples(index=False), strict=True)
