"""What an admin does to others, seen by them through the whole server."""

from collections.abc import AsyncIterator

import grpc
import pytest
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as pb

from svoykrug_server.auth.composition import auth_options
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users.commands import GrantRole
from tests.conftest import isolated_settings
from tests.e2e.circle import Circle, Person
from tests.e2e.running import running
from tests.serving import Refusal, refusal_of
from tests.waiting import until

CHIEF_PHONE, ANNA_PHONE = "+79990000001", "+79990000002"
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


@pytest.fixture
async def circle(postgres: Postgres, warehouse: Warehouse) -> AsyncIterator[Circle]:
    """The whole server, at which one can sign in again at once."""
    async with running(postgres, warehouse, code_resend_seconds=0) as server:
        yield server.circle


@pytest.fixture
async def chief(circle: Circle, postgres: Postgres) -> Person:
    """The first superadmin, made at the command line, signed in."""
    clock = SystemClock()
    ends = SessionEnds(auth_options(isolated_settings()).session, clock)
    await GrantRole(postgres, clock, ends)(CHIEF_PHONE, Role.SUPERADMIN)
    return await circle.sign_in(CHIEF_PHONE)


@pytest.fixture
async def anna(circle: Circle) -> Person:
    """A member, signed in."""
    return await circle.sign_in(ANNA_PHONE)


async def refused(circle: Circle, person: Person) -> str:
    """Waits, at most a second, until a person's token is refused, and returns why."""
    reasons: list[str] = []

    async def is_refused() -> bool:
        try:
            await circle.users.GetMe(pb.GetMeRequest(), metadata=person.metadata)
        except grpc.aio.AioRpcError:
            reasons.append((await refusal_of(circle.users.GetMe(pb.GetMeRequest(), metadata=person.metadata))).reason)
            return True
        return False

    await until(is_refused, seconds=1.0)
    return reasons[0]


async def test_a_banned_member_is_out_within_a_second_and_comes_back_when_let_in(
    circle: Circle, chief: Person, anna: Person
) -> None:
    ban = pb.BanUserRequest(user_id=anna.user_id, reason=pb.BAN_REASON_TAKEN_OVER)
    await circle.users.BanUser(ban, metadata=chief.metadata)
    assert await refused(circle, anna) == "SESSION_REVOKED"
    assert await refusal_of(circle.refresh(anna)) == Refusal(UNAUTHENTICATED, "SESSION_REVOKED")
    assert (await refusal_of(circle.sign_in(ANNA_PHONE))).reason == "USER_BANNED"
    await circle.users.UnbanUser(pb.UnbanUserRequest(user_id=anna.user_id), metadata=chief.metadata)
    assert (await circle.sign_in(ANNA_PHONE)).user_id == anna.user_id


async def test_new_roles_need_new_tokens_at_once_and_come_with_a_refresh(
    circle: Circle, chief: Person, anna: Person
) -> None:
    request = pb.SetUserRolesRequest(user_id=anna.user_id, roles=[user_pb2.ROLE_MEMBER, user_pb2.ROLE_ADMIN])
    await circle.users.SetUserRoles(request, metadata=chief.metadata)
    assert await refused(circle, anna) == "ACCESS_TOKEN_REVOKED"
    await circle.refresh(anna)
    found = await circle.users.ListUsers(pb.ListUsersRequest(phone="0002"), metadata=anna.metadata)
    assert [user.id for user in found.users] == [anna.user_id]
    request.roles.pop()
    await circle.users.SetUserRoles(request, metadata=chief.metadata)
    assert await refused(circle, anna) == "ACCESS_TOKEN_REVOKED"
    await circle.refresh(anna)
    refusal = await refusal_of(circle.users.ListUsers(pb.ListUsersRequest(), metadata=anna.metadata))
    assert refusal.reason == "PERMISSION_DENIED"


async def test_the_only_superadmin_cannot_step_down(circle: Circle, chief: Person) -> None:
    request = pb.SetUserRolesRequest(user_id=chief.user_id, roles=[user_pb2.ROLE_MEMBER])
    refusal = await refusal_of(circle.users.SetUserRoles(request, metadata=chief.metadata))
    assert refusal == Refusal(grpc.StatusCode.FAILED_PRECONDITION, "LAST_SUPERADMIN")
