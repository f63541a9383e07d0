"""The methods of UsersService for admins and services, over gRPC: convert, one call, convert."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext
from svoykrug.users.v1 import users_service_pb2 as pb

from svoykrug_server.rpc.context import current, current_caller
from svoykrug_server.users.administration import convert
from svoykrug_server.users.administration.accounts import AccountAdministration
from svoykrug_server.users.administration.listing import UserListing
from svoykrug_server.users.administration.reading import UserReading
from svoykrug_server.users.administration.trail import AuditTrail
from svoykrug_server.users.convert import user_to_proto

Context = ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class AdministrationUseCases:
    """What admins and services do with users, one object for each kind of use case."""

    reading: UserReading
    listing: UserListing
    accounts: AccountAdministration
    trail: AuditTrail


class AdministrationMethods:
    """The methods for admins and services.

    Args:
        administration: The use cases.
    """

    def __init__(self, administration: AdministrationUseCases) -> None:
        self._administration = administration

    async def BatchGetUsers(self, request: pb.BatchGetUsersRequest, context: Context) -> pb.BatchGetUsersResponse:
        """Returns several users."""
        users = await self._administration.reading.get_users(current_caller(), list(map(UUID, request.user_ids)))
        return pb.BatchGetUsersResponse(users=map(user_to_proto, users))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        """Lists users."""
        wanted = convert.user_filter_from_proto(request)
        page = await self._administration.listing.page(
            current_caller(), wanted, size=request.page_size, token=request.page_token
        )
        return convert.user_page_to_proto(page)

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.UpdateUserResponse:
        """Changes a user."""
        user_id, change = convert.account_change_from_proto(request)
        user = await self._administration.accounts.update(current(), user_id, change, request.user.etag)
        return pb.UpdateUserResponse(user=user_to_proto(user))

    async def SetUserRoles(self, request: pb.SetUserRolesRequest, context: Context) -> pb.SetUserRolesResponse:
        """Replaces a user's roles in the circle."""
        user_id, roles = UUID(request.user_id), convert.roles_from_proto(request)
        user = await self._administration.accounts.set_roles(current(), user_id, roles, request.etag)
        return pb.SetUserRolesResponse(user=user_to_proto(user))

    async def BanUser(self, request: pb.BanUserRequest, context: Context) -> pb.BanUserResponse:
        """Shuts a user out."""
        reason = convert.BAN_REASONS[request.reason]
        user = await self._administration.accounts.ban(current(), UUID(request.user_id), reason)
        return pb.BanUserResponse(user=user_to_proto(user))

    async def UnbanUser(self, request: pb.UnbanUserRequest, context: Context) -> pb.UnbanUserResponse:
        """Lets a banned user sign in again."""
        user = await self._administration.accounts.unban(current(), UUID(request.user_id))
        return pb.UnbanUserResponse(user=None if user is None else user_to_proto(user))

    async def ListAuditEvents(self, request: pb.ListAuditEventsRequest, context: Context) -> pb.ListAuditEventsResponse:
        """Lists audit events."""
        wanted = convert.trail_filter_from_proto(request)
        page = await self._administration.trail.page(wanted, size=request.page_size, token=request.page_token)
        return convert.event_page_to_proto(page)
