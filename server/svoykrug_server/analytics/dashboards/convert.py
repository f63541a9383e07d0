"""Dashboards, cohorts and the matrix between the contract's messages and the model."""

from datetime import date
from typing import TypeAlias
from uuid import UUID

from google.protobuf.message import Message
from google.type.date_pb2 import Date
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.analytics.v1 import dashboard_pb2

from svoykrug_server.analytics.convert import freshness_to_proto
from svoykrug_server.analytics.dashboards.calendar import AskedDays, AskedMonths
from svoykrug_server.analytics.dashboards.matrix import AskedMatrix
from svoykrug_server.analytics.dashboards.model import (
    Cohort,
    Cohorts,
    Dashboard,
    DashboardAnswer,
    DaySales,
    Matrix,
    MatrixCell,
    PeriodFigures,
)
from svoykrug_server.analytics.dashboards.service import Asked
from svoykrug_server.kit.errors import InvalidFields

DashboardRequest: TypeAlias = pb.GetDashboardRequest | pb.WatchDashboardRequest


def scope_from_proto(business_id: str) -> UUID | None:
    """Returns the business, or None for the circle."""
    return UUID(business_id) if business_id else None


def asked_from_proto(request: DashboardRequest) -> Asked:
    """Returns which dashboard a caller asks for.

    Raises:
        InvalidFields: A date is none.
    """
    return Asked(scope_from_proto(request.business_id), AskedDays(*_ends(request, "from_date", "to_date")))


def months_from_proto(request: pb.GetCohortRetentionRequest) -> AskedMonths:
    """Returns which months a caller asks for.

    Raises:
        InvalidFields: A date is none.
    """
    return AskedMonths(*_ends(request, "from_month", "to_month"))


def matrix_from_proto(request: pb.GetCrossBusinessMatrixRequest) -> AskedMatrix:
    """Returns which matrix a caller asks for.

    Raises:
        InvalidFields: A date is none.
    """
    days = AskedDays(*_ends(request, "from_date", "to_date"))
    return AskedMatrix(scope_from_proto(request.business_id), days, request.within_days)


def dashboard_to_proto(dashboard: Dashboard) -> dashboard_pb2.Dashboard:
    """Returns a dashboard."""
    return dashboard_pb2.Dashboard(
        from_date=_date_to_proto(dashboard.days.from_day),
        to_date=_date_to_proto(dashboard.days.to_day),
        period=_figures_to_proto(dashboard.period),
        previous_period=None if dashboard.previous is None else _figures_to_proto(dashboard.previous),
        days=[_day_to_proto(day) for day in dashboard.by_day],
        withheld=dashboard.withheld,
    )


def got_to_proto(answer: DashboardAnswer) -> pb.GetDashboardResponse:
    """Returns the answer of GetDashboard."""
    return pb.GetDashboardResponse(
        dashboard=dashboard_to_proto(answer.dashboard), freshness=freshness_to_proto(answer.watermark)
    )


def watched_to_proto(answer: DashboardAnswer) -> pb.WatchDashboardResponse:
    """Returns a message of WatchDashboard."""
    return pb.WatchDashboardResponse(
        dashboard=dashboard_to_proto(answer.dashboard), freshness=freshness_to_proto(answer.watermark)
    )


def cohorts_to_proto(cohorts: Cohorts) -> pb.GetCohortRetentionResponse:
    """Returns cohorts."""
    return pb.GetCohortRetentionResponse(
        cohorts=[_cohort_to_proto(cohort) for cohort in cohorts.cohorts],
        freshness=freshness_to_proto(cohorts.watermark),
    )


def matrix_to_proto(matrix: Matrix) -> pb.GetCrossBusinessMatrixResponse:
    """Returns a matrix."""
    return pb.GetCrossBusinessMatrixResponse(
        cells=[_cell_to_proto(cell) for cell in matrix.cells],
        permutation_count=matrix.permutation_count,
        freshness=freshness_to_proto(matrix.watermark),
    )


def _figures_to_proto(figures: PeriodFigures) -> dashboard_pb2.DashboardFigures:
    sales, buyers, sensitive = figures.sales, figures.buyers, figures.sensitive
    return dashboard_pb2.DashboardFigures(
        net_revenue_minor=sales.net_revenue_minor + sensitive.net_revenue_minor,
        purchase_count=sales.purchase_count + sensitive.purchase_count,
        active_member_count=buyers.active,
        new_member_count=buyers.new,
        returning_member_count=buyers.returning or 0,
        lost_member_count=buyers.lost or 0,
        average_receipt_minor=sales.average_receipt_minor,
        repeat_rate=buyers.repeat / buyers.active if buyers.active else 0.0,
        at_risk_value_minor=figures.at_risk_value_minor,
        returning_and_lost_unknown=buyers.returning is None,
    )


def _day_to_proto(day: DaySales) -> dashboard_pb2.DashboardDay:
    return dashboard_pb2.DashboardDay(
        date=_date_to_proto(day.day),
        net_revenue_minor=day.sales.net_revenue_minor,
        purchase_count=day.sales.purchase_count,
        active_member_count=day.active,
    )


def _cohort_to_proto(cohort: Cohort) -> dashboard_pb2.Cohort:
    return dashboard_pb2.Cohort(
        month=_date_to_proto(cohort.month.first_day),
        member_count=cohort.member_count,
        active_member_counts=cohort.active,
        net_revenue_minor=cohort.net_revenue_minor,
        withheld=cohort.withheld,
    )


def _cell_to_proto(cell: MatrixCell) -> dashboard_pb2.CrossBusinessCell:
    return dashboard_pb2.CrossBusinessCell(
        from_business_id=str(cell.from_business_id),
        to_business_id=str(cell.to_business_id),
        member_count=cell.member_count,
        from_member_count=cell.from_member_count,
        expected_member_count=cell.expected_member_count,
        lift=cell.lift,
        q_value=cell.q_value,
    )


def _ends(request: Message, first: str, last: str) -> tuple[date | None, date | None]:
    return _day_from_proto(request, first), _day_from_proto(request, last)


def _day_from_proto(request: Message, path: str) -> date | None:
    if not request.HasField(path):
        return None
    message: Date = getattr(request, path)
    try:
        return date(message.year, message.month, message.day)
    except (ValueError, OverflowError) as error:
        raise InvalidFields.of(path, "must be a whole date") from error


def _date_to_proto(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)
