"""The dashboard methods of AnalyticsService over gRPC: convert, one call, convert."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

from grpc.aio import ServicerContext
from svoykrug.analytics.v1 import analytics_service_pb2 as pb

from svoykrug_server.analytics.dashboards import convert
from svoykrug_server.analytics.dashboards.cohorts import CohortService
from svoykrug_server.analytics.dashboards.matrix import MatrixService
from svoykrug_server.analytics.dashboards.service import DashboardService
from svoykrug_server.rpc.context import current_caller
from svoykrug_server.rpc.standing import StandingChecks

Context = ServicerContext[Any, Any]


class DashboardServicer:
    """The methods of the service that show what was sold, who came back, and where they went on.

    Args:
        dashboards: The use cases of dashboards.
        cohorts: The use case of cohorts.
        matrix: The use case of the cross-business matrix.
        standing: Tells whether a caller may go on watching.
    """

    def __init__(
        self, dashboards: DashboardService, cohorts: CohortService, matrix: MatrixService, standing: StandingChecks
    ) -> None:
        self._dashboards = dashboards
        self._cohorts = cohorts
        self._matrix = matrix
        self._standing = standing

    async def GetDashboard(self, request: pb.GetDashboardRequest, context: Context) -> pb.GetDashboardResponse:
        """Returns the figures of a period beside those of the period before."""
        answer = await self._dashboards.get(current_caller(), convert.asked_from_proto(request))
        return convert.got_to_proto(answer)

    async def WatchDashboard(
        self, request: pb.WatchDashboardRequest, context: Context
    ) -> AsyncIterator[pb.WatchDashboardResponse]:
        """Streams a dashboard: at once, then after each change."""
        still_allowed = partial(self._standing.check, context)
        answers = self._dashboards.watch(current_caller(), convert.asked_from_proto(request), still_allowed)
        async with aclosing(answers):
            async for answer in answers:
                yield convert.watched_to_proto(answer)

    async def GetCohortRetention(
        self, request: pb.GetCohortRetentionRequest, context: Context
    ) -> pb.GetCohortRetentionResponse:
        """Returns cohorts by the month of the first purchase."""
        business_id, months = convert.scope_from_proto(request.business_id), convert.months_from_proto(request)
        return convert.cohorts_to_proto(await self._cohorts.get(current_caller(), business_id, months))

    async def GetCrossBusinessMatrix(
        self, request: pb.GetCrossBusinessMatrixRequest, context: Context
    ) -> pb.GetCrossBusinessMatrixResponse:
        """Returns from which business members go on to which other, against chance."""
        matrix = await self._matrix.get(current_caller(), convert.matrix_from_proto(request))
        return convert.matrix_to_proto(matrix)
