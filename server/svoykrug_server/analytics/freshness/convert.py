"""Freshness between the contract's messages and the model."""

from datetime import date, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.analytics.v1 import scope_pb2

from svoykrug_server.analytics.freshness.model import (
    MOST_DAYS,
    DayComparison,
    DayPage,
    DayRange,
    FreshnessReport,
    ProofState,
    StoreTotals,
)
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.rpc.timestamps import timestamp_from

_STATES = {
    ProofState.EQUAL: scope_pb2.PROOF_STATE_EQUAL,
    ProofState.UNPROVEN: scope_pb2.PROOF_STATE_UNPROVEN,
    ProofState.DISPUTED: scope_pb2.PROOF_STATE_DISPUTED,
}


def scope_from_proto(request: pb.GetFreshnessRequest) -> UUID | None:
    """Returns the business, or None for the circle."""
    return UUID(request.business_id) if request.business_id else None


def days_from_proto(request: pb.GetFreshnessRequest) -> DayPage | None:
    """Returns the page of days to list, or None.

    Raises:
        InvalidFields: A date is none, or the range is empty, open or too long.
    """
    if not request.HasField("from_date") and not request.HasField("to_date"):
        return None
    from_day, to_day = _day_from_proto(request.from_date, "from_date"), _day_from_proto(request.to_date, "to_date")
    try:
        return DayPage(DayRange(from_day, to_day), request.page_size, request.page_token)
    except ValueError as error:
        raise InvalidFields.of("to_date", f"must lie 1 to {MOST_DAYS} days after from_date") from error


def report_to_proto(report: FreshnessReport) -> pb.GetFreshnessResponse:
    """Returns freshness as the contract writes it."""
    totals = report.totals
    return pb.GetFreshnessResponse(
        freshness=scope_pb2.Freshness(watermark=_instant_to_proto(report.watermark)),
        waiting_count=report.waiting_count,
        lag_ms=report.lag_ms,
        postgres=_totals_to_proto(totals.postgres),
        clickhouse=_totals_to_proto(totals.clickhouse),
        equal=totals.equal,
        days=[_day_to_proto(day) for day in report.days],
        disputed_day_count=totals.disputed_day_count,
        next_page_token=report.next_page_token,
        unproven_day_count=totals.unproven_day_count,
        proven_time=_instant_to_proto(totals.proven_time),
    )


def _day_to_proto(compared: DayComparison) -> pb.DayComparison:
    is_known = compared.proven_time is not None
    return pb.DayComparison(
        business_id=str(compared.business_id),
        date=Date(year=compared.day.year, month=compared.day.month, day=compared.day.day),
        postgres=_totals_to_proto(compared.postgres) if is_known else None,
        clickhouse=_totals_to_proto(compared.clickhouse) if is_known else None,
        state=_STATES[compared.state],
        proven_time=_instant_to_proto(compared.proven_time),
    )


def _totals_to_proto(totals: StoreTotals) -> scope_pb2.StoreTotals:
    return scope_pb2.StoreTotals(entry_count=totals.entry_count, sum_minor=totals.sum_minor, hash=totals.hash)


def _day_from_proto(message: Date, path: str) -> date:
    try:
        return date(message.year, message.month, message.day)
    except (ValueError, OverflowError) as error:
        raise InvalidFields.of(path, "must be a whole date") from error


def _instant_to_proto(instant: datetime | None) -> Timestamp | None:
    return None if instant is None else timestamp_from(instant)
