"""Snapshots, segments and members over a real server: scopes, pages, streams, and what is told to whom."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.analytics.v1 import snapshot_pb2
from svoykrug.analytics.v1.analytics_service_pb2_grpc import (
    AnalyticsServiceStub,
)
from svoykrug.operations.v1 import operation_pb2

from svoykrug_server.analytics.churn.model import MemberScore, Scoring, ScoringPlan
from svoykrug_server.analytics.segments import Segment
from svoykrug_server.analytics.value.model import MemberValue
from svoykrug_server.kit.caller import Role, StaffRole
from tests.analytics.circles import BUSINESSES, CUTOFF, WATERMARK, ingest, random_circle
from tests.analytics.snapshots import Analytics
from tests.callers import admin, person, service
from tests.serving import Metadata, Refusal, Served, refusal_of

DENIED = Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
MISSING = Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
DAY = timedelta(days=1)
BUSINESS = BUSINESSES[0]
VALUE = MemberValue(2.5, 1, 4, 12_000, 3_000, 25_000)


def stub(served: Served) -> AnalyticsServiceStub:
    return AnalyticsServiceStub(served.channel)


def as_admin(served: Served) -> Metadata:
    return served.tokens.sign_in(admin())


def as_owner(served: Served, business_id: UUID = BUSINESS) -> Metadata:
    return served.tokens.sign_in(person(None, Role.MEMBER, staff={business_id: StaffRole.OWNER}))


def at(instant: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp


async def test_a_snapshot_is_asked_for_watched_and_listed(analytics: Analytics, served: Served) -> None:
    await ingest(analytics.warehouse, random_circle(20))
    caller = as_admin(served)
    request = pb.CreateSnapshotRequest(cutoff_time=at(CUTOFF), window_days=90, request_id=str(uuid4()))
    started = (await stub(served).CreateSnapshot(request, metadata=caller)).operation
    assert started.state == operation_pb2.OPERATION_STATE_QUEUED
    assert started.kind == operation_pb2.OPERATION_KIND_CREATE_SNAPSHOT
    await analytics.runner().run_one()
    (snapshot,) = (await stub(served).ListSnapshots(pb.ListSnapshotsRequest(), metadata=caller)).snapshots
    assert snapshot.cutoff_time == at(CUTOFF)
    assert snapshot.watermark == at(WATERMARK)
    assert (snapshot.window_days, snapshot.rules_version, snapshot.business_id) == (90, "rfm-1", "")
    assert snapshot.member_count > 50
    repeated = (await stub(served).CreateSnapshot(request, metadata=caller)).operation
    assert repeated.id == started.id
    assert repeated.result.snapshot_id == snapshot.id


async def test_a_cutoff_ahead_of_the_watermark_names_the_watermark(analytics: Analytics, served: Served) -> None:
    request = pb.CreateSnapshotRequest(cutoff_time=at(WATERMARK + DAY), request_id=str(uuid4()))
    refusal = await refusal_of(stub(served).CreateSnapshot(request, metadata=as_admin(served)))
    assert refusal == Refusal(grpc.StatusCode.FAILED_PRECONDITION, "CUTOFF_AHEAD_OF_WATERMARK")


async def test_an_impossible_instant_is_refused_by_its_field(analytics: Analytics, served: Served) -> None:
    request = pb.CreateSnapshotRequest(cutoff_time=Timestamp(seconds=10**15), request_id=str(uuid4()))
    refusal = await refusal_of(stub(served).CreateSnapshot(request, metadata=as_admin(served)))
    assert (refusal.reason, refusal.paths) == ("INVALID_FIELDS", ("cutoff_time",))


@pytest.mark.parametrize(
    ("request_fields", "path"),
    [
        ({"business_id": str(uuid4())}, "business_id"),
        ({"cutoff_time": Timestamp(seconds=-62_000_000_000)}, "cutoff_time"),
        ({"cutoff_time": at(datetime(1999, 12, 31, tzinfo=UTC))}, "cutoff_time"),
        ({"window_days": 3_661}, "window_days"),
        ({"business_id": "x"}, "business_id"),
    ],
)
async def test_what_cannot_be_computed_is_refused_by_its_field(
    analytics: Analytics, served: Served, request_fields: dict[str, Any], path: str
) -> None:
    request = pb.CreateSnapshotRequest(request_id=str(uuid4()), **request_fields)
    refusal = await refusal_of(stub(served).CreateSnapshot(request, metadata=as_admin(served)))
    assert (refusal.reason, refusal.paths) == ("INVALID_FIELDS", (path,))
    assert not await analytics.runner().run_one()


async def test_snapshots_are_listed_page_by_page_the_latest_cutoff_first(analytics: Analytics, served: Served) -> None:
    cutoffs = [CUTOFF - number * DAY for number in (3, 1, 2)]
    for cutoff in cutoffs:
        await analytics.snapshot(BUSINESS, cutoff)
    await analytics.snapshot(None)
    seen: list[Timestamp] = []
    token = ""
    while True:
        request = pb.ListSnapshotsRequest(business_id=str(BUSINESS), page_size=2, page_token=token)
        page = await stub(served).ListSnapshots(request, metadata=as_owner(served))
        seen += [snapshot.cutoff_time for snapshot in page.snapshots]
        token = page.next_page_token
        if not token:
            break
    assert seen == [at(cutoff) for cutoff in sorted(cutoffs, reverse=True)]


async def test_the_summary_names_all_eleven_segments_with_their_figures(analytics: Analytics, served: Served) -> None:
    await ingest(analytics.warehouse, random_circle(21))
    snapshot = await analytics.snapshot()
    summary = await stub(served).GetSegmentSummary(pb.GetSegmentSummaryRequest(), metadata=as_admin(served))
    assert summary.snapshot.id == str(snapshot.id)
    assert [figures.segment for figures in summary.segments] == list(range(1, 12))
    assert sum(figures.member_count for figures in summary.segments) == snapshot.member_count
    assert not any(figures.withheld for figures in summary.segments)
    assert summary.freshness.watermark == at(WATERMARK)


async def test_an_owner_sees_her_business_and_neither_the_circle_nor_another(
    analytics: Analytics, served: Served
) -> None:
    await ingest(analytics.warehouse, random_circle(22))
    hers, another, circle = [await analytics.snapshot(scope) for scope in (BUSINESS, BUSINESSES[1], None)]
    caller = as_owner(served)
    request = pb.GetSegmentSummaryRequest(business_id=str(BUSINESS))
    assert (await stub(served).GetSegmentSummary(request, metadata=caller)).snapshot.id == str(hers.id)
    for business_id, snapshot_id in (
        ("", ""),
        ("", str(circle.id)),
        (str(BUSINESSES[1]), ""),
        (str(BUSINESS), str(another.id)),
        (str(BUSINESS), str(circle.id)),
        (str(BUSINESS), str(uuid4())),
    ):
        request = pb.GetSegmentSummaryRequest(business_id=business_id, snapshot_id=snapshot_id)
        assert await refusal_of(stub(served).GetSegmentSummary(request, metadata=caller)) == DENIED


@pytest.mark.parametrize("kind", ["admin", "service"])
async def test_admins_and_services_are_told_that_a_snapshot_does_not_exist(served: Served, kind: str) -> None:
    caller = served.tokens.sign_in(admin() if kind == "admin" else service("analytics.read"))
    for snapshot_id in ("", str(uuid4())):
        request = pb.GetSegmentSummaryRequest(snapshot_id=snapshot_id)
        assert await refusal_of(stub(served).GetSegmentSummary(request, metadata=caller)) == MISSING


async def test_pages_and_stream_hold_every_member_once_the_highest_spend_first(
    analytics: Analytics, served: Served
) -> None:
    await ingest(analytics.warehouse, random_circle(23))
    snapshot = await analytics.snapshot()
    members = await analytics.rows.page(snapshot.build_id, None, None, 10_000)
    user_ids = await analytics.join([row.member_id for row in members[1:]])
    expected = [str(user_ids.get(row.member_id, "")) for row in members]
    caller, seen, token = as_admin(served), list[str](), ""
    while True:
        request = pb.ListSegmentMembersRequest(page_size=17, page_token=token)
        page = await stub(served).ListSegmentMembers(request, metadata=caller)
        assert page.snapshot_id == str(snapshot.id)
        seen += [member.user_id for member in page.members]
        token = page.next_page_token
        if not token:
            break
    assert seen == expected
    stream = stub(served).StreamSegmentMembers(pb.StreamSegmentMembersRequest(), metadata=caller)
    assert [member.user_id async for message in stream for member in message.members] == expected


async def test_a_list_goes_on_in_the_snapshot_that_it_began_in(analytics: Analytics, served: Served) -> None:
    await ingest(analytics.warehouse, random_circle(24))
    first = await analytics.snapshot(cutoff=CUTOFF - DAY)
    caller = as_admin(served)
    page = await stub(served).ListSegmentMembers(pb.ListSegmentMembersRequest(page_size=5), metadata=caller)
    await analytics.snapshot()
    request = pb.ListSegmentMembersRequest(page_token=page.next_page_token)
    assert (await stub(served).ListSegmentMembers(request, metadata=caller)).snapshot_id == str(first.id)


async def test_a_list_of_one_segment_holds_no_other(analytics: Analytics, served: Served) -> None:
    await ingest(analytics.warehouse, random_circle(25))
    snapshot = await analytics.snapshot()
    champions = (await analytics.rows.summary(snapshot.build_id))[Segment.CHAMPIONS - 1]
    request = pb.ListSegmentMembersRequest(segment=snapshot_pb2.SEGMENT_CHAMPIONS, page_size=1_000)
    page = await stub(served).ListSegmentMembers(request, metadata=as_admin(served))
    assert len(page.members) == champions.member_count > 0
    assert {member.segment for member in page.members} == {snapshot_pb2.SEGMENT_CHAMPIONS}


async def test_a_page_token_of_another_segment_is_refused(analytics: Analytics, served: Served) -> None:
    await ingest(analytics.warehouse, random_circle(25))
    await analytics.snapshot()
    caller = as_admin(served)
    page = await stub(served).ListSegmentMembers(pb.ListSegmentMembersRequest(page_size=1), metadata=caller)
    request = pb.ListSegmentMembersRequest(segment=snapshot_pb2.SEGMENT_LOST, page_token=page.next_page_token)
    refusal = await refusal_of(stub(served).ListSegmentMembers(request, metadata=caller))
    assert refusal.reason == "INVALID_PAGE_TOKEN"


async def test_movements_add_up_to_both_snapshots(analytics: Analytics, served: Served) -> None:
    await ingest(analytics.warehouse, random_circle(26))
    earlier = await analytics.snapshot(cutoff=CUTOFF - 60 * DAY, window_days=60)
    later = await analytics.snapshot(window_days=60)
    request = pb.GetSegmentMovementsRequest(from_snapshot_id=str(earlier.id), to_snapshot_id=str(later.id))
    answer = await stub(served).GetSegmentMovements(request, metadata=as_admin(served))
    assert sum(each.member_count for each in answer.movements if each.from_segment) == earlier.member_count
    assert sum(each.member_count for each in answer.movements if each.to_segment) == later.member_count


async def test_movements_between_two_scopes_are_not_found_as_a_summary_is_not(
    analytics: Analytics, served: Served
) -> None:
    circle, business = await analytics.snapshot(), await analytics.snapshot(BUSINESS)
    request = pb.GetSegmentMovementsRequest(from_snapshot_id=str(circle.id), to_snapshot_id=str(business.id))
    assert await refusal_of(stub(served).GetSegmentMovements(request, metadata=as_admin(served))) == MISSING
    request.business_id = str(BUSINESS)
    assert await refusal_of(stub(served).GetSegmentMovements(request, metadata=as_owner(served))) == DENIED


async def test_an_insight_holds_the_churn_score(analytics: Analytics, served: Served) -> None:
    (user_id,) = (await analytics.join([7])).values()
    plan = ScoringPlan(uuid4(), uuid4(), None, CUTOFF, WATERMARK)
    analytics.scores.answer = (Scoring(plan, uuid4(), 28, 0, 1, CUTOFF), MemberScore(7, 0.25, (), 100, VALUE))
    request = pb.GetMemberInsightRequest(user_id=str(user_id))
    insight = await stub(served).GetMemberInsight(request, metadata=as_admin(served))
    assert (insight.churn_score.user_id, insight.churn_score.probability) == (str(user_id), 0.25)
    assert insight.churn_score.churn_model_id == str(plan.model_id)
    assert not insight.HasField("segment_member")
    value = insight.member_value
    assert (value.horizon_days, value.expected_purchase_count, value.expected_spend_minor) == (28, 2.5, 12_000)
    assert (value.purchase_count_low, value.purchase_count_high) == (1, 4)
    assert (value.spend_low_minor, value.spend_high_minor) == (3_000, 25_000)


async def test_an_owner_cannot_tell_a_stranger_from_a_user_who_does_not_exist(
    analytics: Analytics, served: Served
) -> None:
    await analytics.snapshot(BUSINESS)
    (stranger,) = (await analytics.join([7])).values()
    for user_id in (stranger, uuid4()):
        request = pb.GetMemberInsightRequest(business_id=str(BUSINESS), user_id=str(user_id))
        assert await refusal_of(stub(served).GetMemberInsight(request, metadata=as_owner(served))) == DENIED


async def test_an_admin_is_told_that_a_user_does_not_exist(served: Served) -> None:
    request = pb.GetMemberInsightRequest(user_id=str(uuid4()))
    assert await refusal_of(stub(served).GetMemberInsight(request, metadata=as_admin(served))) == MISSING


async def test_who_deleted_her_account_stays_in_the_figures_and_is_shown_to_nobody(
    analytics: Analytics, served: Served
) -> None:
    await ingest(analytics.warehouse, random_circle(28))
    snapshot = await analytics.snapshot()
    member = (await analytics.rows.page(snapshot.build_id, None, None, 1))[0]
    user_id = (await analytics.join([member.member_id]))[member.member_id]
    async with analytics.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE users SET status = 'deleted' WHERE id = $1", user_id)
    first = (await stub(served).ListSegmentMembers(pb.ListSegmentMembersRequest(), metadata=as_admin(served))).members[
        0
    ]
    assert (first.user_id, first.net_spend_minor) == ("", member.net_spend_minor)
    request = pb.GetMemberInsightRequest(user_id=str(user_id))
    assert await refusal_of(stub(served).GetMemberInsight(request, metadata=as_admin(served))) == MISSING
