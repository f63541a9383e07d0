"""What a snapshot knew and when: which one is the default, which two can be compared, and what is said of today."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.analytics.v1 import snapshot_pb2

from tests.analytics import oracle
from tests.analytics.circles import BUSINESSES, CUTOFF, WATERMARK, ingest, random_circle
from tests.analytics.snapshots import MOSCOW, Analytics
from tests.analytics.test_servicer import BUSINESS, DAY, DENIED, as_admin, as_owner, at, stub
from tests.serving import Served, refusal_of


async def test_an_insight_is_of_the_latest_snapshot_of_what_was_known_at_an_instant(
    analytics: Analytics, served: Served
) -> None:
    await ingest(analytics.warehouse, random_circle(27))
    earlier = await analytics.snapshot(cutoff=CUTOFF - DAY, known=CUTOFF - DAY)
    later = await analytics.snapshot(known=CUTOFF)
    await analytics.snapshot(cutoff=CUTOFF - 2 * DAY)  # made afterwards, of what arrived later, too
    member = (await analytics.rows.page(later.build_id, None, None, 1))[0]
    user_id = (await analytics.join([member.member_id]))[member.member_id]
    caller = as_admin(served)
    for as_of, snapshot in ((None, later), (CUTOFF, later), (CUTOFF - DAY / 2, earlier), (CUTOFF - DAY, earlier)):
        request = pb.GetMemberInsightRequest(user_id=str(user_id), as_of_time=None if as_of is None else at(as_of))
        insight = await stub(served).GetMemberInsight(request, metadata=caller)
        assert insight.snapshot.id == str(snapshot.id)
        assert insight.segment_member.user_id == str(user_id)
        assert not insight.HasField("churn_score")
        assert analytics.scores.asked[-1] == (None, member.member_id, as_of)


async def test_a_snapshot_of_another_window_is_read_by_its_id_alone(analytics: Analytics, served: Served) -> None:
    await ingest(analytics.warehouse, random_circle(28))
    usual = await analytics.snapshot(cutoff=CUTOFF - DAY)
    other = await analytics.snapshot(window_days=30)
    member = (await analytics.rows.page(other.build_id, None, None, 1))[0]
    user_id = (await analytics.join([member.member_id]))[member.member_id]
    caller = as_admin(served)
    for snapshot_id, expected in (("", usual), (str(other.id), other)):
        request = pb.GetSegmentSummaryRequest(snapshot_id=snapshot_id)
        summary = await stub(served).GetSegmentSummary(request, metadata=caller)
        assert summary.snapshot.id == str(expected.id)
    page = await stub(served).ListSegmentMembers(pb.ListSegmentMembersRequest(), metadata=caller)
    assert page.snapshot_id == str(usual.id)
    asked = pb.GetMemberInsightRequest(user_id=str(user_id))
    assert (await stub(served).GetMemberInsight(asked, metadata=caller)).snapshot.id == str(usual.id)


async def test_of_snapshots_with_one_cutoff_the_one_that_knows_most_is_read(
    analytics: Analytics, served: Served
) -> None:
    more = await analytics.snapshot()
    await analytics.snapshot(known=CUTOFF)
    summary = await stub(served).GetSegmentSummary(pb.GetSegmentSummaryRequest(), metadata=as_admin(served))
    assert summary.snapshot.id == str(more.id)


async def test_a_snapshot_as_known_at_its_cutoff_holds_what_had_arrived_by_then(
    analytics: Analytics, served: Served
) -> None:
    entries = random_circle(29)
    await ingest(analytics.warehouse, entries)
    caller = as_admin(served)
    request = pb.CreateSnapshotRequest(known_time=at(CUTOFF), request_id=str(uuid4()))
    await stub(served).CreateSnapshot(request, metadata=caller)
    await analytics.runner().run_one()
    (snapshot,) = (await stub(served).ListSnapshots(pb.ListSnapshotsRequest(), metadata=caller)).snapshots
    assert (snapshot.cutoff_time, snapshot.watermark) == (at(CUTOFF), at(CUTOFF))
    then, now = (
        oracle.snapshot(oracle.ledger(entries), None, CUTOFF, 365, known, MOSCOW) for known in (CUTOFF, WATERMARK)
    )
    assert len(then) != len(now)
    assert snapshot.member_count == len(then)


@pytest.mark.parametrize(
    ("request_fields", "reason", "paths"),
    [
        ({"cutoff_time": at(CUTOFF), "known_time": at(CUTOFF - DAY)}, "INVALID_FIELDS", ("known_time",)),
        ({"known_time": Timestamp(seconds=10**15)}, "INVALID_FIELDS", ("known_time",)),
        ({"cutoff_time": at(CUTOFF), "known_time": at(WATERMARK + DAY)}, "CUTOFF_AHEAD_OF_WATERMARK", ()),
        ({"known_time": at(WATERMARK + DAY)}, "CUTOFF_AHEAD_OF_WATERMARK", ()),
    ],
)
async def test_what_cannot_have_been_known_is_refused(
    analytics: Analytics, served: Served, request_fields: dict[str, Any], reason: str, paths: tuple[str, ...]
) -> None:
    request = pb.CreateSnapshotRequest(request_id=str(uuid4()), **request_fields)
    refusal = await refusal_of(stub(served).CreateSnapshot(request, metadata=as_admin(served)))
    assert (refusal.reason, refusal.paths) == (reason, paths)


async def test_movements_turned_round_or_between_two_definitions_are_refused(
    analytics: Analytics, served: Served
) -> None:
    earlier, later = await analytics.snapshot(cutoff=CUTOFF - DAY), await analytics.snapshot()
    short, known_less = await analytics.snapshot(window_days=30), await analytics.snapshot(known=CUTOFF)
    other_rules = await analytics.snapshot()
    async with analytics.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE snapshots SET rules_version = 'rfm-2' WHERE id = $1", other_rules.id)

    async def refused(from_id: UUID, to_id: UUID) -> tuple[str, tuple[str, ...]]:
        request = pb.GetSegmentMovementsRequest(from_snapshot_id=str(from_id), to_snapshot_id=str(to_id))
        refusal = await refusal_of(stub(served).GetSegmentMovements(request, metadata=as_admin(served)))
        return refusal.reason, refusal.paths

    turned_round, different = ("INVALID_FIELDS", ("to_snapshot_id",)), ("SNAPSHOTS_NOT_COMPARABLE", ())
    assert await refused(later.id, earlier.id) == turned_round
    assert await refused(later.id, known_less.id) == turned_round
    assert await refused(earlier.id, short.id) == different
    assert await refused(earlier.id, other_rules.id) == different


async def test_an_owner_is_told_that_nothing_is_known_yet_of_a_customer_of_today(
    analytics: Analytics, served: Served
) -> None:
    await ingest(analytics.warehouse, random_circle(30))
    snapshot = await analytics.snapshot(BUSINESS)
    users = await analytics.join([7_001, 7_002])
    await analytics.sell(BUSINESS, 7_001)
    await analytics.sell(BUSINESSES[1], 7_002)
    request = pb.GetMemberInsightRequest(business_id=str(BUSINESS), user_id=str(users[7_001]))
    insight = await stub(served).GetMemberInsight(request, metadata=as_owner(served))
    assert insight.snapshot.id == str(snapshot.id)
    assert not insight.HasField("segment_member")
    assert not insight.HasField("churn_score")
    asked = pb.GetMemberHistoryRequest(business_id=str(BUSINESS), user_id=str(users[7_001]))
    assert [step.segment for step in (await stub(served).GetMemberHistory(asked, metadata=as_owner(served))).steps] == [
        snapshot_pb2.SEGMENT_UNSPECIFIED
    ]
    request.user_id = str(users[7_002])
    assert await refusal_of(stub(served).GetMemberInsight(request, metadata=as_owner(served))) == DENIED
