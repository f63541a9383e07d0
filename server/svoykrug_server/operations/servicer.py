"""OperationsService over gRPC: convert, one call, convert."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext
from svoykrug.operations.v1 import operation_pb2
from svoykrug.operations.v1 import operations_service_pb2 as pb
from svoykrug.operations.v1.operations_service_pb2_grpc import OperationsServiceServicer

from svoykrug_server.operations.convert import job_to_proto, operation_to_proto, states_from_proto
from svoykrug_server.operations.model import Operation
from svoykrug_server.operations.schedule.service import JobsService
from svoykrug_server.operations.service import OperationsService
from svoykrug_server.rpc.context import current, current_caller

Context = ServicerContext[Any, Any]


class OperationsServicer(OperationsServiceServicer):
    """Serves `svoykrug.operations.v1.OperationsService`.

    Args:
        service: The use cases of operations.
        jobs: The use case of the schedule.
    """

    def __init__(self, service: OperationsService, jobs: JobsService) -> None:
        self._service = service
        self._jobs = jobs

    async def GetOperation(self, request: pb.GetOperationRequest, context: Context) -> pb.GetOperationResponse:
        """Returns an operation."""
        operation = await self._service.get(current_caller(), UUID(request.operation_id))
        return pb.GetOperationResponse(operation=_shown(operation))

    async def ListOperations(self, request: pb.ListOperationsRequest, context: Context) -> pb.ListOperationsResponse:
        """Lists operations, the newest first."""
        states = states_from_proto(request.states)
        page = await self._service.list_page(current_caller(), states, request.page_size, request.page_token)
        return pb.ListOperationsResponse(
            operations=[_shown(operation) for operation in page.operations], next_page_token=page.next_page_token
        )

    async def CancelOperation(self, request: pb.CancelOperationRequest, context: Context) -> pb.CancelOperationResponse:
        """Cancels an operation."""
        operation = await self._service.cancel(current_caller(), UUID(request.operation_id))
        return pb.CancelOperationResponse(operation=_shown(operation))

    async def WatchOperation(
        self, request: pb.WatchOperationRequest, context: Context
    ) -> AsyncIterator[pb.WatchOperationResponse]:
        """Streams an operation until its end."""
        async for operation in self._service.watch(current_caller(), UUID(request.operation_id)):
            yield pb.WatchOperationResponse(operation=_shown(operation))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        """Lists the jobs of the schedule."""
        return pb.ListJobsResponse(jobs=[job_to_proto(job) for job in await self._jobs.list_all()])


def _shown(operation: Operation) -> operation_pb2.Operation:
    return operation_to_proto(operation, current().locale)
