"""UsersService over gRPC: convert, one call, convert.

Her profile is here; each other group of methods has a folder with a servicer of its own, and `UsersServicer` is all of
them in one class.
"""

from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext
from svoykrug.users.v1 import users_service_pb2 as pb
from svoykrug.users.v1.users_service_pb2_grpc import UsersServiceServicer

from svoykrug_server.rpc.context import current, current_caller
from svoykrug_server.users import convert
from svoykrug_server.users.administration.servicer import AdministrationMethods, AdministrationUseCases
from svoykrug_server.users.membership.servicer import MembershipMethods, MembershipUseCases
from svoykrug_server.users.personal_data.servicer import PersonalDataMethods, PersonalDataUseCases
from svoykrug_server.users.service import UsersService

Context = ServicerContext[Any, Any]


class ProfileMethods:
    """The methods about one profile, and the members that partners bring.

    Args:
        profile: The use cases.
    """

    def __init__(self, profile: UsersService) -> None:
        self._profile = profile

    async def GetMe(self, request: pb.GetMeRequest, context: Context) -> pb.GetMeResponse:
        """Returns the caller's own profile."""
        user = await self._profile.get_me(current_caller().subject_id)
        return pb.GetMeResponse(user=convert.user_to_proto(user))

    async def UpdateMe(self, request: pb.UpdateMeRequest, context: Context) -> pb.UpdateMeResponse:
        """Changes the caller's own profile."""
        change = convert.profile_change_from_proto(request)
        user = await self._profile.update_me(current(), change, request.user.etag)
        return pb.UpdateMeResponse(user=convert.user_to_proto(user))

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        """Returns a user."""
        user = await self._profile.get_user(current_caller(), UUID(request.user_id))
        return pb.GetUserResponse(user=convert.user_to_proto(user))

    async def BatchCreateUsers(
        self, request: pb.BatchCreateUsersRequest, context: Context
    ) -> pb.BatchCreateUsersResponse:
        """Creates unclaimed members by phone."""
        rows = await self._profile.batch_create_users(current(), convert.new_members_from_proto(request))
        return convert.member_rows_to_proto(rows)


class UsersServicer(
    ProfileMethods, AdministrationMethods, MembershipMethods, PersonalDataMethods, UsersServiceServicer
):
    """Serves `svoykrug.users.v1.UsersService`.

    Args:
        profile: Profiles and members.
        administration: What admins and services do with users.
        membership: What belongs to a membership.
        personal_data: What is done with her data.
    """

    def __init__(
        self,
        profile: UsersService,
        administration: AdministrationUseCases,
        membership: MembershipUseCases,
        personal_data: PersonalDataUseCases,
    ) -> None:
        ProfileMethods.__init__(self, profile)
        AdministrationMethods.__init__(self, administration)
        MembershipMethods.__init__(self, membership)
        PersonalDataMethods.__init__(self, personal_data)
