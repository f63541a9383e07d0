"""AnalyticsService over gRPC: convert, one call, convert. Freshness and churn have servicers of their own beside it."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol
from uuid import UUID

from grpc.aio import ServicerContext
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceServicer
from svoykrug.operations.v1 import operation_pb2

from svoykrug_server.analytics import convert
from svoykrug_server.analytics.insight import InsightService
from svoykrug_server.analytics.scopes import Scopes
from svoykrug_server.analytics.service import SnapshotService
from svoykrug_server.rpc.context import Locale, current, current_caller

Context = ServicerContext[Any, Any]
OperationToProto = Callable[[Any, Locale], operation_pb2.Operation]
"""Shows an operation, whose type belongs to the operations feature, in a language."""


class FreshnessMethods(Protocol):
    """The method of the service that tells how far the warehouse is."""

    async def GetFreshness(self, request: pb.GetFreshnessRequest, context: Context) -> pb.GetFreshnessResponse:
        """Says how far the warehouse has followed PostgreSQL, and proves it."""
        ...


class ChurnMethods(Protocol):
    """The methods of the service that train, promote and use churn models."""

    async def TrainChurnModel(self, request: pb.TrainChurnModelRequest, context: Context) -> pb.TrainChurnModelResponse:
        """Starts training a churn model."""
        ...

    async def ListChurnModels(self, request: pb.ListChurnModelsRequest, context: Context) -> pb.ListChurnModelsResponse:
        """Lists the churn models of a scope."""
        ...

    async def GetChurnModel(self, request: pb.GetChurnModelRequest, context: Context) -> pb.GetChurnModelResponse:
        """Returns a churn model's card."""
        ...

    async def PromoteChurnModel(
        self, request: pb.PromoteChurnModelRequest, context: Context
    ) -> pb.PromoteChurnModelResponse:
        """Makes a model the one that scores its scope."""
        ...

    async def ScoreMembers(self, request: pb.ScoreMembersRequest, context: Context) -> pb.ScoreMembersResponse:
        """Starts scoring the members of a scope."""
        ...

    async def ListAtRiskMembers(
        self, request: pb.ListAtRiskMembersRequest, context: Context
    ) -> pb.ListAtRiskMembersResponse:
        """Lists the members of the latest scoring."""
        ...

    async def GetForecastReceipts(
        self, request: pb.GetForecastReceiptsRequest, context: Context
    ) -> pb.GetForecastReceiptsResponse:
        """Says how the forecasts of a scope turned out."""
        ...


class DashboardMethods(Protocol):
    """The methods of the service that show what was sold, who came back, and where they went on."""

    async def GetDashboard(self, request: pb.GetDashboardRequest, context: Context) -> pb.GetDashboardResponse:
        """Returns the figures of a period beside those of the period before."""
        ...

    def WatchDashboard(
        self, request: pb.WatchDashboardRequest, context: Context
    ) -> AsyncIterator[pb.WatchDashboardResponse]:
        """Streams a dashboard: at once, then after each change."""
        ...

    async def GetCohortRetention(
        self, request: pb.GetCohortRetentionRequest, context: Context
    ) -> pb.GetCohortRetentionResponse:
        """Returns cohorts by the month of the first purchase."""
        ...

    async def GetCrossBusinessMatrix(
        self, request: pb.GetCrossBusinessMatrixRequest, context: Context
    ) -> pb.GetCrossBusinessMatrixResponse:
        """Returns from which business members go on to which other, against chance."""
        ...


class SnapshotMethods:
    """The methods of the service about snapshots and what is known of a member.

    Args:
        snapshots: The use cases of snapshots.
        insight: What is known of one member.
        scopes: Reads which business a request names.
        operation_to_proto: Shows an operation.
    """

    def __init__(
        self,
        snapshots: SnapshotService,
        insight: InsightService,
        scopes: Scopes,
        operation_to_proto: OperationToProto,
    ) -> None:
        self._snapshots = snapshots
        self._insight = insight
        self._scopes = scopes
        self._operation_to_proto = operation_to_proto

    async def CreateSnapshot(self, request: pb.CreateSnapshotRequest, context: Context) -> pb.CreateSnapshotResponse:
        """Starts computing an RFM snapshot."""
        await self._scopes.named(current_caller(), request.business_id)
        operation = await self._snapshots.create(current_caller(), convert.new_snapshot_from_proto(request))
        return pb.CreateSnapshotResponse(operation=self._operation_to_proto(operation, current().locale))

    async def ListSnapshots(self, request: pb.ListSnapshotsRequest, context: Context) -> pb.ListSnapshotsResponse:
        """Lists the snapshots of a scope."""
        business_id = await self._scopes.named(current_caller(), request.business_id)
        page = await self._snapshots.list_page(business_id, request.page_size, request.page_token)
        return convert.snapshot_page_to_proto(page)

    async def GetSegmentSummary(
        self, request: pb.GetSegmentSummaryRequest, context: Context
    ) -> pb.GetSegmentSummaryResponse:
        """Returns the eleven segments of a snapshot."""
        business_id = await self._scopes.named(current_caller(), request.business_id)
        snapshot_id = convert.id_or_none(request.snapshot_id)
        summary = await self._snapshots.summary(current_caller(), business_id, snapshot_id)
        return convert.summary_to_proto(summary)

    async def ListSegmentMembers(
        self, request: pb.ListSegmentMembersRequest, context: Context
    ) -> pb.ListSegmentMembersResponse:
        """Lists the members of a snapshot."""
        page = await self._snapshots.members_page(
            current_caller(),
            await self._scopes.named(current_caller(), request.business_id),
            convert.id_or_none(request.snapshot_id),
            convert.segment_from_proto(request.segment),
            request.page_size,
            request.page_token,
        )
        return convert.member_page_to_proto(page)

    async def StreamSegmentMembers(
        self, request: pb.StreamSegmentMembersRequest, context: Context
    ) -> AsyncIterator[pb.StreamSegmentMembersResponse]:
        """Streams all members of a snapshot."""
        business_id = await self._scopes.named(current_caller(), request.business_id)
        snapshot_id = convert.id_or_none(request.snapshot_id)
        segment = convert.segment_from_proto(request.segment)
        async for page in self._snapshots.stream_members(current_caller(), business_id, snapshot_id, segment):
            yield convert.streamed_members_to_proto(page)

    async def GetSegmentMovements(
        self, request: pb.GetSegmentMovementsRequest, context: Context
    ) -> pb.GetSegmentMovementsResponse:
        """Compares two snapshots of one scope."""
        business_id = await self._scopes.named(current_caller(), request.business_id)
        from_id, to_id = UUID(request.from_snapshot_id), UUID(request.to_snapshot_id)
        movements = await self._snapshots.movements(current_caller(), business_id, from_id, to_id)
        return convert.movements_to_proto(movements)

    async def GetMemberInsight(
        self, request: pb.GetMemberInsightRequest, context: Context
    ) -> pb.GetMemberInsightResponse:
        """Returns what is known of one member in a scope."""
        business_id = await self._scopes.named(current_caller(), request.business_id)
        user_id = UUID(request.user_id)
        as_of = convert.time_from_proto(request, "as_of_time")
        insight = await self._insight.get(current_caller(), business_id, user_id, as_of)
        return convert.insight_to_proto(insight, current().locale)

    async def GetMemberHistory(
        self, request: pb.GetMemberHistoryRequest, context: Context
    ) -> pb.GetMemberHistoryResponse:
        """Returns how one member went from segment to segment in a scope."""
        business_id = await self._scopes.named(current_caller(), request.business_id)
        user_id = UUID(request.user_id)
        history = await self._insight.history(current_caller(), business_id, user_id)
        return convert.history_to_proto(history, current().locale)


class AnalyticsServicer(SnapshotMethods, AnalyticsServiceServicer):
    """Serves `svoykrug.analytics.v1.AnalyticsService`.

    Args:
        snapshots: The use cases of snapshots.
        insight: What is known of one member.
        scopes: Reads which business a request names.
        operation_to_proto: Shows an operation.
        freshness: Tells how far the warehouse is.
        churn: Trains, promotes and uses churn models.
        dashboards: Shows what was sold, who came back, and where they went on.
    """

    def __init__(
        self,
        snapshots: SnapshotService,
        insight: InsightService,
        scopes: Scopes,
        operation_to_proto: OperationToProto,
        freshness: FreshnessMethods,
        churn: ChurnMethods,
        dashboards: DashboardMethods,
    ) -> None:
        super().__init__(snapshots, insight, scopes, operation_to_proto)
        self._freshness = freshness
        self._churn = churn
        self._dashboards = dashboards

    async def GetFreshness(self, request: pb.GetFreshnessRequest, context: Context) -> pb.GetFreshnessResponse:
        """Says how far the warehouse has followed PostgreSQL, and proves it."""
        return await self._freshness.GetFreshness(request, context)

    async def TrainChurnModel(self, request: pb.TrainChurnModelRequest, context: Context) -> pb.TrainChurnModelResponse:
        """Starts training a churn model."""
        return await self._churn.TrainChurnModel(request, context)

    async def ListChurnModels(self, request: pb.ListChurnModelsRequest, context: Context) -> pb.ListChurnModelsResponse:
        """Lists the churn models of a scope."""
        return await self._churn.ListChurnModels(request, context)

    async def GetChurnModel(self, request: pb.GetChurnModelRequest, context: Context) -> pb.GetChurnModelResponse:
        """Returns a churn model's card."""
        return await self._churn.GetChurnModel(request, context)

    async def PromoteChurnModel(
        self, request: pb.PromoteChurnModelRequest, context: Context
    ) -> pb.PromoteChurnModelResponse:
        """Makes a model the one that scores its scope."""
        return await self._churn.PromoteChurnModel(request, context)

    async def ScoreMembers(self, request: pb.ScoreMembersRequest, context: Context) -> pb.ScoreMembersResponse:
        """Starts scoring the members of a scope."""
        return await self._churn.ScoreMembers(request, context)

    async def ListAtRiskMembers(
        self, request: pb.ListAtRiskMembersRequest, context: Context
    ) -> pb.ListAtRiskMembersResponse:
        """Lists the members of the latest scoring."""
        return await self._churn.ListAtRiskMembers(request, context)

    async def GetForecastReceipts(
        self, request: pb.GetForecastReceiptsRequest, context: Context
    ) -> pb.GetForecastReceiptsResponse:
        """Says how the forecasts of a scope turned out."""
        return await self._churn.GetForecastReceipts(request, context)

    async def GetDashboard(self, request: pb.GetDashboardRequest, context: Context) -> pb.GetDashboardResponse:
        """Returns the figures of a period beside those of the period before."""
        return await self._dashboards.GetDashboard(request, context)

    def WatchDashboard(
        self, request: pb.WatchDashboardRequest, context: Context
    ) -> AsyncIterator[pb.WatchDashboardResponse]:
        """Streams a dashboard: at once, then after each change."""
        return self._dashboards.WatchDashboard(request, context)

    async def GetCohortRetention(
        self, request: pb.GetCohortRetentionRequest, context: Context
    ) -> pb.GetCohortRetentionResponse:
        """Returns cohorts by the month of the first purchase."""
        return await self._dashboards.GetCohortRetention(request, context)

    async def GetCrossBusinessMatrix(
        self, request: pb.GetCrossBusinessMatrixRequest, context: Context
    ) -> pb.GetCrossBusinessMatrixResponse:
        """Returns from which business members go on to which other, against chance."""
        return await self._dashboards.GetCrossBusinessMatrix(request, context)
