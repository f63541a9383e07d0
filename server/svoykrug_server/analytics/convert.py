"""Protobuf <-> model for snapshots, segments and members."""

from dataclasses import asdict
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.analytics.v1 import dashboard_pb2, scope_pb2, snapshot_pb2

from svoykrug_server.analytics.churn.convert import score_to_proto
from svoykrug_server.analytics.churn.model import MemberScore, Scoring
from svoykrug_server.analytics.history import MemberHistory, Step
from svoykrug_server.analytics.history_words import change_text
from svoykrug_server.analytics.insight import MemberInsight
from svoykrug_server.analytics.model import (
    MemberPage,
    MemberRow,
    Movements,
    SegmentFigures,
    SegmentMovement,
    SegmentSummary,
    Snapshot,
    SnapshotPage,
)
from svoykrug_server.analytics.segments import Segment
from svoykrug_server.analytics.service import NewSnapshot
from svoykrug_server.analytics.standing import Standing
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.rpc.context import Locale
from svoykrug_server.rpc.timestamps import timestamp_from

SEGMENTS = {
    Segment.CHAMPIONS: snapshot_pb2.SEGMENT_CHAMPIONS,
    Segment.LOYAL: snapshot_pb2.SEGMENT_LOYAL,
    Segment.POTENTIAL_LOYALIST: snapshot_pb2.SEGMENT_POTENTIAL_LOYALIST,
    Segment.NEW: snapshot_pb2.SEGMENT_NEW,
    Segment.PROMISING: snapshot_pb2.SEGMENT_PROMISING,
    Segment.NEED_ATTENTION: snapshot_pb2.SEGMENT_NEED_ATTENTION,
    Segment.ABOUT_TO_SLEEP: snapshot_pb2.SEGMENT_ABOUT_TO_SLEEP,
    Segment.AT_RISK: snapshot_pb2.SEGMENT_AT_RISK,
    Segment.CANT_LOSE: snapshot_pb2.SEGMENT_CANT_LOSE,
    Segment.HIBERNATING: snapshot_pb2.SEGMENT_HIBERNATING,
    Segment.LOST: snapshot_pb2.SEGMENT_LOST,
}
_SEGMENT_BY_PROTO = {proto: segment for segment, proto in SEGMENTS.items()}


def id_or_none(text: str) -> UUID | None:
    """Returns the id in an optional field."""
    return UUID(text) if text else None


def segment_from_proto(segment: snapshot_pb2.Segment.ValueType) -> Segment | None:
    """Returns a segment; None for the unspecified one."""
    return _SEGMENT_BY_PROTO.get(segment)


def new_snapshot_from_proto(request: pb.CreateSnapshotRequest) -> NewSnapshot:
    """Returns what a caller asks for.

    Raises:
        InvalidFields: The cutoff is no instant that the calendar knows.
    """
    return NewSnapshot(
        business_id=id_or_none(request.business_id),
        cutoff=time_from_proto(request, "cutoff_time"),
        window_days=request.window_days,
        request_id=UUID(request.request_id),
        known=time_from_proto(request, "known_time"),
    )


def time_from_proto(request: pb.CreateSnapshotRequest | pb.GetMemberInsightRequest, field: str) -> datetime | None:
    """Returns the instant in a request's field, None where it is absent.

    Raises:
        InvalidFields: It lies outside the years 1 to 9999.
    """
    if not request.HasField(field):  # type: ignore[arg-type]  # each of the requests has its own literal type
        return None
    timestamp: Timestamp = getattr(request, field)
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidFields.of(field, "must lie between the years 1 and 9999") from error


def snapshot_to_proto(snapshot: Snapshot) -> snapshot_pb2.Snapshot:
    """Returns a snapshot."""
    plan = snapshot.plan
    return snapshot_pb2.Snapshot(
        id=str(snapshot.id),
        business_id="" if plan.business_id is None else str(plan.business_id),
        cutoff_time=timestamp_from(plan.cutoff),
        window_days=plan.window_days,
        watermark=timestamp_from(plan.watermark),
        rules_version=plan.rules_version,
        member_count=snapshot.member_count,
        create_time=timestamp_from(snapshot.publish_time),
        state=_state(snapshot.standing),
    )


def _state(standing: Standing) -> snapshot_pb2.SnapshotState.ValueType:
    if standing.is_lost:
        return snapshot_pb2.SNAPSHOT_STATE_LOST
    return snapshot_pb2.SNAPSHOT_STATE_READY if standing.is_held else snapshot_pb2.SNAPSHOT_STATE_BEING_REMADE


def snapshot_page_to_proto(page: SnapshotPage) -> pb.ListSnapshotsResponse:
    """Returns a page of snapshots."""
    return pb.ListSnapshotsResponse(
        snapshots=[snapshot_to_proto(snapshot) for snapshot in page.snapshots], next_page_token=page.next_page_token
    )


def summary_to_proto(summary: SegmentSummary) -> pb.GetSegmentSummaryResponse:
    """Returns the eleven segments of a snapshot."""
    return pb.GetSegmentSummaryResponse(
        snapshot=snapshot_to_proto(summary.snapshot),
        segments=[_figures_to_proto(figures) for figures in summary.segments],
        freshness=freshness_to_proto(summary.watermark),
    )


def member_page_to_proto(page: MemberPage) -> pb.ListSegmentMembersResponse:
    """Returns a page of members."""
    return pb.ListSegmentMembersResponse(
        members=[_member_to_proto(user_id, row) for user_id, row in page.members],
        next_page_token=page.next_page_token,
        snapshot_id=str(page.snapshot.id),
        freshness=freshness_to_proto(page.watermark),
    )


def streamed_members_to_proto(page: MemberPage) -> pb.StreamSegmentMembersResponse:
    """Returns one message of a stream of members."""
    return pb.StreamSegmentMembersResponse(
        members=[_member_to_proto(user_id, row) for user_id, row in page.members],
        freshness=freshness_to_proto(page.watermark),
    )


def movements_to_proto(movements: Movements) -> pb.GetSegmentMovementsResponse:
    """Returns the movements between two snapshots."""
    return pb.GetSegmentMovementsResponse(
        movements=[_movement_to_proto(movement) for movement in movements.movements],
        freshness=freshness_to_proto(movements.watermark),
    )


def insight_to_proto(insight: MemberInsight, locale: Locale) -> pb.GetMemberInsightResponse:
    """Returns what is known of a member.

    Args:
        insight: Her place in the snapshot and her churn score.
        locale: The language of the reasons.
    """
    row, score = insight.row, insight.score
    return pb.GetMemberInsightResponse(
        segment_member=None if row is None else _member_to_proto(insight.user_id, row),
        snapshot=None if insight.snapshot is None else snapshot_to_proto(insight.snapshot),
        churn_score=None if score is None else score_to_proto(*score, insight.user_id, locale),
        freshness=freshness_to_proto(insight.watermark),
        member_value=None if score is None else _value_to_proto(*score),
    )


def history_to_proto(history: MemberHistory, locale: Locale) -> pb.GetMemberHistoryResponse:
    """Returns how a member went from segment to segment.

    Args:
        history: Her steps.
        locale: The language of the causes.
    """
    return pb.GetMemberHistoryResponse(
        steps=[_step_to_proto(step, locale) for step in history.steps],
        freshness=freshness_to_proto(history.watermark),
    )


def freshness_to_proto(watermark: datetime | None) -> scope_pb2.Freshness:
    """Returns how far the warehouse is; without a time before the first proof."""
    return scope_pb2.Freshness(watermark=None if watermark is None else timestamp_from(watermark))


def _figures_to_proto(figures: SegmentFigures) -> snapshot_pb2.SegmentFigures:
    return snapshot_pb2.SegmentFigures(
        segment=SEGMENTS[figures.segment],
        member_count=figures.member_count,
        net_spend_minor=figures.net_spend_minor,
        purchase_count=figures.purchase_count,
        mean_recency_days=figures.mean_recency_days,
        withheld=figures.withheld,
    )


def _member_to_proto(user_id: UUID | None, row: MemberRow) -> snapshot_pb2.SegmentMember:
    return snapshot_pb2.SegmentMember(
        user_id="" if user_id is None else str(user_id),
        segment=SEGMENTS[row.segment],
        recency_days=row.recency_days,
        purchase_count=row.purchase_count,
        net_spend_minor=row.net_spend_minor,
        recency_score=row.recency_score,
        frequency_score=row.frequency_score,
        monetary_score=row.monetary_score,
    )


def _movement_to_proto(movement: SegmentMovement) -> snapshot_pb2.SegmentMovement:
    unspecified = snapshot_pb2.SEGMENT_UNSPECIFIED
    return snapshot_pb2.SegmentMovement(
        from_segment=unspecified if movement.from_segment is None else SEGMENTS[movement.from_segment],
        to_segment=unspecified if movement.to_segment is None else SEGMENTS[movement.to_segment],
        member_count=movement.member_count,
    )


def _value_to_proto(scoring: Scoring, score: MemberScore) -> dashboard_pb2.MemberValue | None:
    if score.value is None:
        return None
    return dashboard_pb2.MemberValue(horizon_days=scoring.horizon_days, **asdict(score.value))


def _step_to_proto(step: Step, locale: Locale) -> dashboard_pb2.SegmentStep:
    day = step.cutoff_day
    return dashboard_pb2.SegmentStep(
        snapshot_id=str(step.snapshot_id),
        cutoff_date=Date(year=day.year, month=day.month, day=day.day),
        segment=snapshot_pb2.SEGMENT_UNSPECIFIED if step.segment is None else SEGMENTS[step.segment],
        cause="" if step.change is None else change_text(step.change, locale),
        known_time=timestamp_from(step.known_time),
    )
