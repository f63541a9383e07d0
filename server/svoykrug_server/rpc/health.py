"""gRPC's health service with the one method that its library leaves out."""

from typing import Any, cast

import grpc
from grpc_health.v1 import health, health_pb2

ServicerContext = grpc.aio.ServicerContext[Any, Any]
# Its published types do not know the method yet.
_ListResponse: Any = cast(Any, health_pb2).HealthListResponse


class Health(health.aio.HealthServicer):
    """Tells how the server and each of its services fare."""

    def __init__(self) -> None:
        super().__init__()
        self._services = [""]

    async def set(self, service: str, status: int) -> None:
        """Sets the health of a service.

        Args:
            service: Its full name.
            status: How it fares.
        """
        if service not in self._services:
            self._services.append(service)
        await super().set(service, status)

    async def List(self, _request: object, context: ServicerContext) -> object:  # noqa: N802 - gRPC names the methods
        """Returns the health of the server, whose name is empty, and of every service."""
        check = health_pb2.HealthCheckRequest
        return _ListResponse(statuses={name: await self.Check(check(service=name), context) for name in self._services})
