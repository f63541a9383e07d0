"""Asks the service for every kind of figure and pandas for the same: what `demo.check_analytics` prints.

What pandas computes comes from the raw purchases by definitions that share no code with the server:
`tests/analytics/oracle.py` and `tests/analytics/dashboards/oracle.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from svoykrug.analytics.v1.analytics_service_pb2 import (
    CreateSnapshotRequest,
    GetCohortRetentionRequest,
    GetCrossBusinessMatrixRequest,
    GetDashboardRequest,
    GetSegmentMovementsRequest,
    GetSegmentSummaryRequest,
    StreamSegmentMembersRequest,
)
from svoykrug.analytics.v1.dashboard_pb2 import DashboardDay, DashboardFigures
from svoykrug.analytics.v1.snapshot_pb2 import SegmentMember

from demo.words import segment_name
from svoykrug_client import Client
from tests.analytics import oracle
from tests.analytics.dashboards import oracle as dashboard_oracle

if TYPE_CHECKING:
    import pandas as pd

ZONE = ZoneInfo("UTC")
CUTOFFS = (
    datetime(2017, 7, 1, 12, tzinfo=UTC),
    datetime(2017, 10, 15, 9, 30, tzinfo=UTC),
    datetime(2018, 1, 1, tzinfo=UTC),
)
WINDOWS_DAYS = (365, 60)
PERIODS = (
    (date(2017, 12, 1), date(2018, 1, 1)),
    (date(2017, 3, 9), date(2017, 3, 10)),
    (date(2017, 2, 1), date(2018, 1, 2)),
)
MONTHS = [f"2017-{month:02}" for month in range(1, 13)]
MATRIX_DAYS = (date(2017, 2, 1), date(2017, 12, 25))
WITHIN_DAYS = (1, 7, 30)
LEAST_CELL = 5

Values = Mapping[Any, Any]


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure, with every value of it.

    Attributes:
        figure: What is compared.
        ours: The values of the service.
        pandas: The values of pandas.
    """

    figure: str
    ours: Values
    pandas: Values

    @property
    def equal(self) -> bool:
        """Whether every single value is."""
        return self.ours == self.pandas

    @property
    def value_count(self) -> int:
        """How many values pandas has."""
        return _count(list(self.pandas.values()))


def _count(values: Any) -> int:
    return sum(map(_count, values)) if isinstance(values, list | tuple) else 1


def total(values: Values) -> int:
    """Returns the sum of all whole numbers among values: it stands for them where a person looks."""
    return _total(list(values.values()))


def _total(value: Any) -> int:
    if isinstance(value, list | tuple):
        return sum(map(_total, value))
    return value if isinstance(value, int) else 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whom to ask, of whom, and the raw purchases.

    Attributes:
        service: The service.
        households: The household of each user id.
        rows: The ledger with its days; its members are households, its businesses those of the service.
    """

    service: Client
    households: Mapping[str, int]
    rows: "pd.DataFrame"

    async def scope(self, name: str, business_id: str) -> list[Compared]:
        """Compares everything of one scope.

        Args:
            name: What it is called.
            business_id: The business; empty for the circle.
        """
        found = [row for days in WINDOWS_DAYS for row in await self._snapshots(name, business_id, days)]
        found += [await self._dashboard(name, business_id, *period) for period in PERIODS]
        return [*found, await self._cohorts(name, business_id)]

    async def matrix(self, within_days: int) -> Compared:
        """Compares the cells of the cross-business matrix: how many members went, and how many bought at the first."""
        request = GetCrossBusinessMatrixRequest(
            from_date=_date(MATRIX_DAYS[0]), to_date=_date(MATRIX_DAYS[1]), within_days=within_days
        )
        cells = (await self.service.analytics.GetCrossBusinessMatrix(request)).cells
        start, end = (datetime(day.year, day.month, day.day, tzinfo=ZONE) for day in MATRIX_DAYS)
        bought = dashboard_oracle.matrix_purchases(self.rows, start, end)
        buyers = bought.groupby("business_id")["member_id"].nunique().to_dict()
        ways = dashboard_oracle.ways(bought, timedelta(days=within_days))
        return Compared(
            f"cross-business matrix, within {within_days} days",
            {
                (cell.from_business_id, cell.to_business_id): (cell.member_count, cell.from_member_count)
                for cell in cells
            },
            {way: (count, buyers[way[0]]) for way, count in ways.items() if count >= LEAST_CELL},
        )

    async def _snapshots(self, name: str, business_id: str, window_days: int) -> list[Compared]:
        found: list[Compared] = []
        made: list[tuple[str, pd.DataFrame]] = []
        scope, asked_at = business_id or None, datetime.now(UTC)
        for cutoff in CUTOFFS:
            snapshot_id = await self._take(business_id, cutoff, window_days)
            members = oracle.snapshot(self.rows, scope, cutoff, window_days, asked_at, ZONE)
            made.append((snapshot_id, members))
            what = f"{name}, {cutoff:%Y-%m-%d}, {window_days} days"
            found.append(
                Compared(f"RFM of members: {what}", await self._members(business_id, snapshot_id), _rfm(members))
            )
            found.append(
                Compared(f"segments: {what}", await self._segments(business_id, snapshot_id), oracle.summary(members))
            )
        for (from_id, earlier), (to_id, later) in pairwise(made):
            ours = await self._movements(business_id, from_id, to_id)
            what = f"movements: {name}, {window_days} days, {len(earlier):,} to {len(later):,} members"
            found.append(Compared(what, ours, oracle.movements(earlier, later)))
        return found

    async def _take(self, business_id: str, cutoff: datetime, window_days: int) -> str:
        instant = Timestamp()
        instant.FromDatetime(cutoff)
        request = CreateSnapshotRequest(
            business_id=business_id, cutoff_time=instant, window_days=window_days, request_id=str(uuid4())
        )
        operation = (await self.service.analytics.CreateSnapshot(request)).operation
        return (await self.service.wait_for(operation)).result.snapshot_id

    async def _members(self, business_id: str, snapshot_id: str) -> Values:
        request = StreamSegmentMembersRequest(business_id=business_id, snapshot_id=snapshot_id)
        answers = self.service.analytics.StreamSegmentMembers(request)
        return {self.households[member.user_id]: _member(member) async for page in answers for member in page.members}

    async def _segments(self, business_id: str, snapshot_id: str) -> Values:
        request = GetSegmentSummaryRequest(business_id=business_id, snapshot_id=snapshot_id)
        return {
            segment_name(each.segment): (
                each.member_count,
                each.net_spend_minor,
                each.purchase_count,
                round(each.mean_recency_days * each.member_count),
            )
            for each in (await self.service.analytics.GetSegmentSummary(request)).segments
            if each.member_count
        }

    async def _movements(self, business_id: str, from_id: str, to_id: str) -> Values:
        request = GetSegmentMovementsRequest(business_id=business_id, from_snapshot_id=from_id, to_snapshot_id=to_id)
        names = {"none": ""}
        return {
            tuple(names.get(name, name) for name in map(segment_name, (each.from_segment, each.to_segment))): (
                each.member_count
            )
            for each in (await self.service.analytics.GetSegmentMovements(request)).movements
        }

    async def _dashboard(self, name: str, business_id: str, first: date, end: date) -> Compared:
        request = GetDashboardRequest(business_id=business_id, from_date=_date(first), to_date=_date(end))
        answer = (await self.service.analytics.GetDashboard(request)).dashboard
        now = dashboard_oracle.dashboard(self.rows, business_id or None, first, end)
        before = dashboard_oracle.dashboard(self.rows, business_id or None, first - (end - first), first)
        return Compared(
            f"dashboard: {name}, {first} to {end}",
            {"now": _figures(answer.period), "before": _figures(answer.previous_period), "days": _days(answer.days)},
            {"now": _of_oracle(now), "before": _of_oracle(before), "days": now["days"]},
        )

    async def _cohorts(self, name: str, business_id: str) -> Compared:
        first, last = (date.fromisoformat(f"{month}-01") for month in (MONTHS[0], MONTHS[-1]))
        request = GetCohortRetentionRequest(business_id=business_id, from_month=_date(first), to_month=_date(last))
        cohorts = (await self.service.analytics.GetCohortRetention(request)).cohorts
        present = datetime.now(ZONE).strftime("%Y-%m")
        return Compared(
            f"cohorts: {name}",
            {
                f"{each.month.year}-{each.month.month:02}": list(
                    zip(each.active_member_counts, each.net_revenue_minor, strict=True)
                )
                for each in cohorts
            },
            dashboard_oracle.cohorts(self.rows, business_id or None, MONTHS, present),
        )


def _member(member: SegmentMember) -> tuple[str, int, int, int, int, int, int]:
    """Returns a member as `oracle.COLUMNS` has her."""
    return (
        segment_name(member.segment),
        member.recency_days,
        member.purchase_count,
        member.net_spend_minor,
        member.recency_score,
        member.frequency_score,
        member.monetary_score,
    )


def _rfm(members: "pd.DataFrame") -> Values:
    rows = members.to_numpy().tolist()
    return {
        int(household): (str(row[0]), *map(int, row[1:])) for household, row in zip(members.index, rows, strict=True)
    }


def _figures(figures: DashboardFigures) -> tuple[int, ...]:
    return (
        figures.net_revenue_minor,
        figures.purchase_count,
        figures.average_receipt_minor,
        figures.active_member_count,
        figures.new_member_count,
        figures.returning_member_count,
        figures.lost_member_count,
        round(figures.repeat_rate * figures.active_member_count),
    )


def _of_oracle(expected: Mapping[str, Any]) -> tuple[int, ...]:
    names = ("net", "count", "average", "active", "new", "returning", "lost", "repeat")
    return tuple(expected[name] for name in names)


def _days(days: "list[DashboardDay] | Any") -> list[tuple[date, int, int, int]]:
    return [
        (
            date(day.date.year, day.date.month, day.date.day),
            day.net_revenue_minor,
            day.purchase_count,
            day.active_member_count,
        )
        for day in days
    ]


def _date(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)
