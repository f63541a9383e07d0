"""Dashboards, cohorts and the matrix over a real server: messages, refusals, and streams that end."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import grpc
import pytest
from google.type.date_pb2 import Date
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.analytics.v1.analytics_service_pb2_grpc import (
    AnalyticsServiceStub,
    add_AnalyticsServiceServicer_to_server,
)

from svoykrug_server.analytics.dashboards.servicer import DashboardServicer
from svoykrug_server.analytics.servicer import AnalyticsServicer
from svoykrug_server.kit.caller import Caller, Role, StaffRole
from svoykrug_server.kit.errors import Unauthenticated
from svoykrug_server.rpc.standing import StandingChecks
from tests.analytics.circles import BUSINESSES, correction, purchase
from tests.analytics.dashboards.shop import next_of
from tests.analytics.dashboards.world import Dashboards
from tests.analytics.horizon import keep_from
from tests.callers import admin, person
from tests.serving import Metadata, Refusal, Served, refusal_of, serving
from tests.waiting import until

FLORIST, BAKER, DENTIST = BUSINESSES[0], BUSINESSES[1], BUSINESSES[3]
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Ended:
    """Knows who has signed out."""

    def __init__(self) -> None:
        self.tokens: set[str] = set()

    async def verify(self, token: str) -> Caller:
        """Refuses a token that was ended."""
        if token in self.tokens:
            raise Unauthenticated("SESSION_REVOKED")
        return admin()


@pytest.fixture
def ended() -> Ended:
    return Ended()


@pytest.fixture
async def served(dashboards: Dashboards, ended: Ended) -> AsyncIterator[Served]:
    elsewhere = cast("Any", None)  # snapshots, freshness and churn have tests of their own
    shown = DashboardServicer(dashboards.service, dashboards.cohorts, dashboards.matrix, StandingChecks(ended))
    servicer = AnalyticsServicer(elsewhere, elsewhere, elsewhere, elsewhere, elsewhere, elsewhere, shown)
    poller = asyncio.create_task(dashboards.changes.run())
    async with serving(lambda server: add_AnalyticsServiceServicer_to_server(servicer, server)) as running:
        yield running
    poller.cancel()
    await asyncio.wait([poller])


def stub(served: Served) -> AnalyticsServiceStub:
    return AnalyticsServiceStub(served.channel)


def as_owner(served: Served, business_id: UUID = FLORIST) -> Metadata:
    return served.tokens.sign_in(person(None, Role.MEMBER, staff={business_id: StaffRole.OWNER}))


def as_admin(served: Served) -> Metadata:
    return served.tokens.sign_in(admin())


def on(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)


async def test_a_dashboard_has_every_day_and_both_periods(dashboards: Dashboards, served: Served) -> None:
    first = purchase(1, 1, 1_001, NOON - DAY, FLORIST)
    await dashboards.ship(
        first,
        purchase(2, 1, 1_000, NOON, FLORIST),
        purchase(3, 2, 500, NOON - 30 * DAY, FLORIST),
        correction(9, first, "refund", 1_001, DAY, timedelta()),
    )
    request = pb.GetDashboardRequest(business_id=str(FLORIST))
    answer = await stub(served).GetDashboard(request, metadata=as_owner(served))
    shown = answer.dashboard
    assert (shown.from_date, shown.to_date) == (on(date(2026, 5, 5)), on(date(2026, 6, 2)))
    assert answer.freshness.watermark.ToDatetime(tzinfo=UTC) == NOON
    period = shown.period
    assert (period.net_revenue_minor, period.purchase_count, period.average_receipt_minor) == (1_000, 2, 1_000)
    assert (period.active_member_count, period.new_member_count, period.lost_member_count) == (1, 1, 1)
    assert (period.repeat_rate, shown.withheld) == (1.0, False)
    assert (shown.previous_period.net_revenue_minor, shown.previous_period.new_member_count) == (500, 1)
    assert len(shown.days) == 28
    assert [(day.net_revenue_minor, day.purchase_count, day.active_member_count) for day in shown.days[-2:]] == [
        (1_001, 1, 1),
        (-1, 1, 1),
    ]


async def test_what_is_not_known_of_a_dashboard_is_said(dashboards: Dashboards, served: Served) -> None:
    await dashboards.ship(purchase(1, 1, 1_000, NOON, FLORIST), purchase(2, 1, 500, NOON - 30 * DAY, FLORIST))
    await keep_from(dashboards.postgres, date(2026, 4, 7))
    told = []
    for first_day in (date(2026, 5, 19), date(2026, 5, 5), date(2026, 4, 20)):
        request = pb.GetDashboardRequest(business_id=str(FLORIST), from_date=on(first_day))
        shown = (await stub(served).GetDashboard(request, metadata=as_owner(served))).dashboard
        before = shown.previous_period
        told.append((shown.period.active_member_count, shown.period.returning_and_lost_unknown))
        told.append((shown.HasField("previous_period"), before.returning_and_lost_unknown))
    assert told == [(1, False), (True, False), (1, False), (True, True), (1, True), (False, False)]


async def test_a_scope_without_a_purchase_is_all_zeros(served: Served) -> None:
    request = pb.GetDashboardRequest()
    shown = (await stub(served).GetDashboard(request, metadata=as_admin(served))).dashboard
    assert shown.withheld
    assert (shown.period.repeat_rate, shown.period.average_receipt_minor) == (0, 0)
    cohorts = await stub(served).GetCohortRetention(pb.GetCohortRetentionRequest(), metadata=as_admin(served))
    assert [len(cohort.active_member_counts) for cohort in cohorts.cohorts] == list(range(13, 0, -1))
    matrix = await stub(served).GetCrossBusinessMatrix(pb.GetCrossBusinessMatrixRequest(), metadata=as_admin(served))
    assert not matrix.cells


async def test_a_purchase_given_back_in_full_founds_no_cohort(dashboards: Dashboards, served: Served) -> None:
    returned = purchase(1, 1, 1_000, NOON - 70 * DAY, FLORIST)
    partly = purchase(2, 2, 1_000, NOON - 70 * DAY, FLORIST)
    await dashboards.ship(
        returned,
        correction(11, returned, "refund", 400, DAY, timedelta()),
        correction(12, returned, "refund", 600, 40 * DAY, timedelta()),
        purchase(3, 1, 300, NOON, FLORIST),
        partly,
        correction(13, partly, "refund", 100, 40 * DAY, timedelta()),
    )
    request = pb.GetCohortRetentionRequest(
        business_id=str(FLORIST), from_month=on(date(2026, 3, 31)), to_month=on(date(2026, 6, 1))
    )
    cohorts = (await stub(served).GetCohortRetention(request, metadata=as_owner(served))).cohorts
    assert [(cohort.month.month, cohort.member_count) for cohort in cohorts] == [(3, 1), (4, 0), (5, 0), (6, 1)]
    assert list(cohorts[0].active_member_counts) == [1, 0, 0, 0]
    assert list(cohorts[0].net_revenue_minor) == [1_000, 0, -100, 0]
    assert list(cohorts[3].net_revenue_minor) == [300]


async def test_the_matrix_says_how_far_chance_goes(dashboards: Dashboards, served: Served) -> None:
    rows = [
        entry
        for member in range(1, 41)
        for entry in (
            purchase(2 * member, member, 100, NOON - 9 * DAY, BAKER),
            purchase(2 * member + 1, member, 100, NOON - 5 * DAY, FLORIST),
        )
    ]
    await dashboards.ship(*rows)
    request = pb.GetCrossBusinessMatrixRequest(within_days=10)
    answer = await stub(served).GetCrossBusinessMatrix(request, metadata=as_admin(served))
    (cell,) = answer.cells
    assert (cell.from_business_id, cell.to_business_id) == (str(BAKER), str(FLORIST))
    assert (cell.member_count, cell.from_member_count) == (40, 40)
    assert 15 < cell.expected_member_count < 25
    assert cell.lift == pytest.approx(40 / cell.expected_member_count)
    assert cell.q_value < 1e-6
    assert answer.permutation_count == 999


@pytest.mark.parametrize(
    ("method", "request_", "path"),
    [
        ("GetDashboard", pb.GetDashboardRequest(from_date=Date(year=2026, month=2, day=30)), "from_date"),
        ("GetDashboard", pb.GetDashboardRequest(from_date=on(date(2026, 6, 2))), "from_date"),
        ("GetDashboard", pb.GetDashboardRequest(to_date=on(date(1999, 1, 1))), "to_date"),
        ("GetCohortRetention", pb.GetCohortRetentionRequest(to_month=Date(year=2026)), "to_month"),
        ("GetCohortRetention", pb.GetCohortRetentionRequest(from_month=on(date(2020, 1, 1))), "from_month"),
        ("GetCrossBusinessMatrix", pb.GetCrossBusinessMatrixRequest(from_date=on(date(2020, 1, 1))), "from_date"),
        ("GetCrossBusinessMatrix", pb.GetCrossBusinessMatrixRequest(within_days=366), "within_days"),
    ],
)
async def test_what_cannot_be_shown_is_refused_by_its_field(
    served: Served, method: str, request_: object, path: str
) -> None:
    refusal = await refusal_of(getattr(stub(served), method)(request_, metadata=as_admin(served)))
    assert refusal == Refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS", (path,))


@pytest.mark.parametrize("business_id", ["", str(BAKER)])
async def test_an_owner_sees_neither_the_circle_nor_another_business(served: Served, business_id: str) -> None:
    caller = as_owner(served)
    for call in (
        stub(served).GetDashboard(pb.GetDashboardRequest(business_id=business_id), metadata=caller),
        stub(served).GetCohortRetention(pb.GetCohortRetentionRequest(business_id=business_id), metadata=caller),
        stub(served).GetCrossBusinessMatrix(pb.GetCrossBusinessMatrixRequest(business_id=business_id), metadata=caller),
        stub(served).WatchDashboard(pb.WatchDashboardRequest(business_id=business_id), metadata=caller).read(),
    ):
        assert await refusal_of(call) == Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


async def test_a_stream_follows_purchases_and_ends_when_its_caller_signs_out(
    dashboards: Dashboards, served: Served, ended: Ended
) -> None:
    caller = as_owner(served)
    stream = stub(served).WatchDashboard(pb.WatchDashboardRequest(business_id=str(FLORIST)), metadata=caller)
    assert (await next_of(stream)).dashboard.period.purchase_count == 0
    await dashboards.ship(purchase(1, 1, 1_000, NOON, FLORIST))
    answer = await next_of(stream)
    assert answer.dashboard.period.purchase_count == 1
    assert answer.freshness.watermark.ToDatetime(tzinfo=UTC) == NOON
    ended.tokens.add(caller[0][1].removeprefix("Bearer "))
    assert await refusal_of(stream.read()) == Refusal(grpc.StatusCode.UNAUTHENTICATED, "SESSION_REVOKED")
    assert dashboards.watchers.count == 0


async def test_too_many_streams_of_one_caller_are_told_to_wait(dashboards: Dashboards, served: Served) -> None:
    caller = as_admin(served)
    streams = [stub(served).WatchDashboard(pb.WatchDashboardRequest(), metadata=caller) for _ in range(2)]
    for stream in streams:
        await stream.read()
    third = stub(served).WatchDashboard(pb.WatchDashboardRequest(), metadata=caller)
    assert await refusal_of(third.read()) == Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    for stream in streams:
        stream.cancel()
    await until(lambda: dashboards.watchers.count == 0)
