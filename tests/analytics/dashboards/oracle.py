"""Dashboards, cohorts and the matrix once more, in pandas, from the definitions alone: no code of the server."""

from collections.abc import Hashable, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from tests.analytics.circles import Entry
from tests.analytics.oracle import in_scope, ledger

DAY = timedelta(days=1)


def frame(entries: Sequence[Entry], zone: ZoneInfo) -> pd.DataFrame:
    """Returns the ledger of a random circle with the day and month of each entry in the circle's zone."""
    return with_days(ledger(entries), zone)


def with_days(rows: pd.DataFrame, zone: ZoneInfo) -> pd.DataFrame:
    """Returns a ledger with the day and month of each entry in the circle's zone."""
    local = rows["purchase_time"].dt.tz_convert(zone)
    return rows.assign(day=local.dt.date, month=local.dt.strftime("%Y-%m"))


def dashboard(rows: pd.DataFrame, business_id: Hashable | None, first: date, end: date) -> dict[str, Any]:
    """Returns the figures of the days from `first` to before `end`, without what sensitive businesses add."""
    scope = in_scope(rows, business_id)
    length = end - first
    bought = scope[scope["kind"] == "purchase"]

    def members(start: date, stop: date) -> "pd.Series[int]":
        return bought[(bought["day"] >= start) & (bought["day"] < stop)].groupby("member_id").size()

    now, before = members(first, end), members(first - length, first)
    ever = set(bought[bought["day"] < first]["member_id"])
    sold = scope[(scope["day"] >= first) & (scope["day"] < end)]
    receipts = sold[sold["kind"] == "purchase"]["amount_minor"]
    return {
        "net": int(sold["amount_minor"].sum()),
        "count": len(receipts),
        "average": round(int(receipts.sum()) / len(receipts)) if len(receipts) else 0,
        "active": len(now),
        "new": len(set(now.index) - ever),
        "returning": len((set(now.index) & ever) - set(before.index)),
        "lost": len(set(before.index) - set(now.index)),
        "repeat": int((now > 1).sum()),
        "days": _each_day(sold, first, length.days),
    }


def _each_day(sold: pd.DataFrame, first: date, count: int) -> list[tuple[date, int, int, int]]:
    """Returns net revenue, receipts and active members of each day."""
    net = {day: int(sum_minor) for day, sum_minor in sold.groupby("day")["amount_minor"].sum().items()}
    bought = sold[sold["kind"] == "purchase"].groupby("day")["member_id"]
    receipts, active = bought.size().to_dict(), bought.nunique().to_dict()
    days = [first + number * DAY for number in range(count)]
    return [(day, net.get(day, 0), int(receipts.get(day, 0)), int(active.get(day, 0))) for day in days]


def sensitive(rows: pd.DataFrame, first: date, end: date) -> tuple[int, int]:
    """Returns net and receipts that the floor lets be seen of sensitive businesses, week by week, batch by batch."""
    net, count = 0, 0
    secret = rows[rows["sensitive"]]
    monday = first
    while monday.weekday():
        monday += DAY
    while monday + 7 * DAY <= end:
        week = secret[(secret["day"] >= monday) & (secret["day"] < monday + 7 * DAY)]
        waiting: list[pd.DataFrame] = []
        for _, batch in week.groupby("ingest_time", sort=True):
            waiting.append(batch)
            together = pd.concat(waiting)
            bought = together[together["kind"] == "purchase"]
            if bought["member_id"].nunique() >= 5:
                net, count, waiting = net + int(together["amount_minor"].sum()), count + len(bought), []
        monday += 7 * DAY
    return net, count


def without_returned(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the entries of purchases that were neither reversed nor given back in full."""
    left = rows.groupby("purchase_id")["amount_minor"].transform("sum")
    corrected = (rows["kind"] != "purchase").groupby(rows["purchase_id"]).transform("any")
    return rows[~(corrected & (left <= 0))]


def cohorts(
    rows: pd.DataFrame, business_id: Hashable | None, months: Sequence[str], present: str
) -> dict[str, list[tuple[int, int]]]:
    """Returns active members and net revenue of each cohort in each month from its own to the present one."""
    kept = without_returned(in_scope(rows, business_id))
    first = kept[kept["kind"] == "purchase"].groupby("member_id")["month"].min()
    kept = kept.assign(cohort=kept["member_id"].map(first))
    net = kept.groupby(["cohort", "month"])["amount_minor"].sum().to_dict()
    bought = kept[kept["kind"] == "purchase"]
    active = bought.groupby(["cohort", "month"])["member_id"].nunique().to_dict()
    return {
        month: [
            (int(active.get((month, later), 0)), int(net.get((month, later), 0)))
            for later in pd.period_range(month, present, freq="M").strftime("%Y-%m")
        ]
        for month in months
    }


def matrix_purchases(rows: pd.DataFrame, start: datetime, end: datetime, known: datetime | None = None) -> pd.DataFrame:
    """Returns the purchases that a matrix is made of: between two instants, not given back, as known before a third."""
    known_rows = rows if known is None else rows[rows["ingest_time"] < known]
    kept = without_returned(in_scope(known_rows, None))
    return kept[(kept["kind"] == "purchase") & (kept["purchase_time"] >= start) & (kept["purchase_time"] < end)]


def ways(bought: pd.DataFrame, within: timedelta) -> dict[tuple[Hashable, Hashable], int]:
    """Returns how many members went from one business to another, those that nobody went left out.

    Args:
        bought: What `matrix_purchases` returns.
        within: How much later the next purchase comes at most; it is never at the same instant.
    """
    visits = bought[["member_id", "purchase_time", "business_id"]].sort_values("purchase_time")
    by_business = dict(list(visits.groupby("business_id")))
    found: dict[tuple[Hashable, Hashable], int] = {}
    for here, earlier in by_business.items():
        for there, later in by_business.items():
            if here != there:
                nearest = pd.merge_asof(
                    earlier, later, on="purchase_time", by="member_id", direction="forward",
                    allow_exact_matches=False, tolerance=pd.Timedelta(within),
                )  # fmt: skip
                went = nearest[nearest["business_id_y"].notna()]["member_id"].nunique()
                if went:
                    found[here, there] = int(went)
    return found
