"""The methods of UsersService for admins and services, over gRPC: convert, one call, convert."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext
from svoykrug.users.v1 import users_service_pb2 as pb

from svoykrug_server.rpc.context import current_caller
from svoykrug_server.users import convert
from svoykrug_server.users.administration.reading import UserReading

Context = ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class AdministrationUseCases:
    """What admins and services do with users, one object for each kind of use case."""

    reading: UserReading


class AdministrationMethods:
    """The methods for admins and services.

    Args:
        administration: The use cases.
    """

    def __init__(self, administration: AdministrationUseCases) -> None:
        self._administration = administration

    async def BatchGetUsers(self, request: pb.BatchGetUsersRequest, context: Context) -> pb.BatchGetUsersResponse:
        """Returns many users."""
        users = await self._administration.reading.get_users(current_caller(), list(map(UUID, request.user_ids)))
        return pb.BatchGetUsersResponse(users=map(convert.user_to_proto, users))
