"""Dashboards, cohorts and the matrix once more, in pandas, from the definitions alone: no code of the server."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pandas as pd

from tests.analytics.circles import Entry

DAY = timedelta(days=1)


def frame(entries: Sequence[Entry], zone: ZoneInfo) -> pd.DataFrame:
    """Returns the ledger with the day and month of each entry in the circle's zone."""
    rows = [
        {
            **asdict(entry),
            "sensitive": entry.sensitive,
            "day": entry.purchase_time.astimezone(zone).date(),
            "month": entry.purchase_time.astimezone(zone).strftime("%Y-%m"),
        }
        for entry in entries
    ]
    return pd.DataFrame(rows)


def _scope(rows: pd.DataFrame, business_id: UUID | None) -> pd.DataFrame:
    return rows[~rows["sensitive"]] if business_id is None else rows[rows["business_id"] == business_id]


def dashboard(rows: pd.DataFrame, business_id: UUID | None, first: date, end: date) -> dict[str, Any]:
    """Returns the figures of the days from `first` to before `end`, without what sensitive businesses add."""
    scope = _scope(rows, business_id)
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
        "days": [_day(scope, first + number * DAY) for number in range(length.days)],
    }


def _day(scope: pd.DataFrame, day: date) -> tuple[date, int, int, int]:
    sold = scope[scope["day"] == day]
    bought = sold[sold["kind"] == "purchase"]
    return day, int(sold["amount_minor"].sum()), len(bought), bought["member_id"].nunique()


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
    rows: pd.DataFrame, business_id: UUID | None, months: Sequence[str], present: str
) -> dict[str, list[tuple[int, int]]]:
    """Returns active members and net revenue of each cohort in each month from its own to the present one."""
    kept = without_returned(_scope(rows, business_id))
    bought = kept[kept["kind"] == "purchase"]
    first = bought.groupby("member_id")["month"].min()
    found: dict[str, list[tuple[int, int]]] = {}
    for month in months:
        members = set(first[first == month].index)
        found[month] = []
        for later in pd.period_range(month, present, freq="M").strftime("%Y-%m"):
            here = kept[(kept["month"] == later) & kept["member_id"].isin(members)]
            active = here[here["kind"] == "purchase"]["member_id"].nunique()
            found[month].append((active, int(here["amount_minor"].sum())))
    return found


def ways(
    rows: pd.DataFrame, start: datetime, end: datetime, within: timedelta, known: datetime | None = None
) -> dict[tuple[UUID, UUID], int]:
    """Returns how many members went from one business to another, those that nobody went left out."""
    known_rows = rows if known is None else rows[rows["ingest_time"] < known]
    kept = without_returned(_scope(known_rows, None))
    bought = kept[(kept["kind"] == "purchase") & (kept["purchase_time"] >= start) & (kept["purchase_time"] < end)]
    members: dict[tuple[UUID, UUID], set[int]] = defaultdict(set)
    for _, hers in bought.groupby("member_id"):
        member_id = int(hers["member_id"].iloc[0])
        visits = list(zip(hers["business_id"], hers["purchase_time"], strict=True))
        for here, earlier in visits:
            for there, later in visits:
                if here != there and earlier < later <= earlier + within:
                    members[here, there].add(member_id)
    return {way: len(who) for way, who in members.items()}
