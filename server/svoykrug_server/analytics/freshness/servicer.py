"""GetFreshness over gRPC: convert, one call, convert."""

from typing import Any

from grpc.aio import ServicerContext
from svoykrug.analytics.v1 import analytics_service_pb2 as pb

from svoykrug_server.analytics.freshness import convert
from svoykrug_server.analytics.freshness.service import FreshnessService
from svoykrug_server.rpc.context import current_caller

Context = ServicerContext[Any, Any]


class FreshnessServicer:
    """The method of `svoykrug.analytics.v1.AnalyticsService` that tells how far the warehouse is.

    Args:
        service: The use cases.
    """

    def __init__(self, service: FreshnessService) -> None:
        self._service = service

    async def GetFreshness(self, request: pb.GetFreshnessRequest, context: Context) -> pb.GetFreshnessResponse:
        """Says how far the warehouse has followed PostgreSQL, and proves it."""
        business_id, days = convert.scope_from_proto(request), convert.days_from_proto(request)
        return convert.report_to_proto(await self._service.report(current_caller(), business_id, days))
