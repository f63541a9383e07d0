"""UsersService over gRPC: convert, one call, convert."""

from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext
from svoykrug.users.v1 import users_service_pb2 as pb
from svoykrug.users.v1.users_service_pb2_grpc import UsersServiceServicer

from svoykrug_server.rpc.context import current, current_caller
from svoykrug_server.users import convert
from svoykrug_server.users.service import UsersService

Context = ServicerContext[Any, Any]


class UsersServicer(UsersServiceServicer):
    """Serves `svoykrug.users.v1.UsersService`.

    Args:
        service: The use cases.
    """

    def __init__(self, service: UsersService) -> None:
        self._service = service

    async def GetMe(self, request: pb.GetMeRequest, context: Context) -> pb.GetMeResponse:
        """Returns the caller's own profile."""
        user = await self._service.get_me(current_caller().subject_id)
        return pb.GetMeResponse(user=convert.user_to_proto(user))

    async def UpdateMe(self, request: pb.UpdateMeRequest, context: Context) -> pb.UpdateMeResponse:
        """Changes the caller's own profile."""
        change = convert.profile_change_from_proto(request)
        user = await self._service.update_me(current(), change, request.user.etag)
        return pb.UpdateMeResponse(user=convert.user_to_proto(user))

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        """Returns a user."""
        user = await self._service.get_user(current_caller(), UUID(request.user_id))
        return pb.GetUserResponse(user=convert.user_to_proto(user))

    async def BatchCreateUsers(
        self, request: pb.BatchCreateUsersRequest, context: Context
    ) -> pb.BatchCreateUsersResponse:
        """Creates unclaimed members by phone."""
        rows = await self._service.batch_create_users(current(), convert.new_members_from_proto(request))
        return convert.member_rows_to_proto(rows)
