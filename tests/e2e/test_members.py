"""A member's way through the whole server: signed in by a code, known by her profile, given work, told so at once."""

from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from svoykrug.businesses.v1 import business_pb2
from svoykrug.businesses.v1 import businesses_service_pb2 as businesses_pb
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as users_pb

from svoykrug_server.auth.composition import auth_options
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.commands import GrantRole
from tests.conftest import isolated_settings
from tests.e2e.circle import Circle, Person
from tests.serving import Refusal, refusal_of
from tests.waiting import until

ADMIN_PHONE = "+79990000001"
ANNA_PHONE = "+79990000002"


@pytest.fixture
async def chief(circle: Circle, postgres: Postgres) -> Person:
    """The first superadmin, made at the command line, signed in."""
    clock = SystemClock()
    ends = SessionEnds(auth_options(isolated_settings()).session, clock)
    await GrantRole(postgres, clock, ends)(ADMIN_PHONE, Role.SUPERADMIN)
    return await circle.sign_in(ADMIN_PHONE)


async def test_a_new_member_signs_in_and_reads_and_changes_her_own_profile(circle: Circle) -> None:
    anna = await circle.sign_in("8 999 000-00-02")
    me = (await circle.users.GetMe(users_pb.GetMeRequest(), metadata=anna.metadata)).user
    assert (me.id, me.phone, me.state) == (anna.user_id, ANNA_PHONE, user_pb2.USER_STATE_ACTIVE)
    request = users_pb.UpdateMeRequest(
        user=user_pb2.User(display_name="Анна", etag=me.etag), update_mask=FieldMask(paths=["display_name"])
    )
    changed = (await circle.users.UpdateMe(request, metadata=anna.metadata)).user
    assert (await circle.users.GetMe(users_pb.GetMeRequest(), metadata=anna.metadata)).user == changed
    assert changed.display_name == "Анна"


async def test_the_superadmin_made_at_the_command_line_is_an_admin_once_signed_in(
    circle: Circle, chief: Person
) -> None:
    me = (await circle.users.GetMe(users_pb.GetMeRequest(), metadata=chief.metadata)).user
    assert list(me.roles) == [user_pb2.ROLE_MEMBER, user_pb2.ROLE_SUPERADMIN]
    request = users_pb.GetUserRequest(user_id=chief.user_id)
    assert (await circle.users.GetUser(request, metadata=chief.metadata)).user == me


async def test_a_member_a_partner_brought_claims_herself_by_signing_in(circle: Circle, chief: Person) -> None:
    request = users_pb.BatchCreateUsersRequest(users=[users_pb.NewUser(phone=ANNA_PHONE, display_name="Гостья")])
    [created] = (await circle.users.BatchCreateUsers(request, metadata=chief.metadata)).results
    anna = await circle.sign_in(ANNA_PHONE)
    assert (anna.user_id, anna.new_user) == (created.user_id, True)
    me = (await circle.users.GetMe(users_pb.GetMeRequest(), metadata=anna.metadata)).user
    assert (me.display_name, me.state) == ("Гостья", user_pb2.USER_STATE_ACTIVE)


async def test_work_given_to_a_member_ends_her_access_token_and_shows_after_a_refresh(
    circle: Circle, chief: Person
) -> None:
    anna = await circle.sign_in(ANNA_PHONE)
    creation = businesses_pb.CreateBusinessRequest(
        name="Салон", category=business_pb2.CATEGORY_BEAUTY, request_id=str(uuid4())
    )
    business = (await circle.businesses.CreateBusiness(creation, metadata=chief.metadata)).business
    reading = businesses_pb.GetBusinessRequest(business_id=business.id)
    denied = await refusal_of(circle.businesses.GetBusiness(reading, metadata=anna.metadata))
    assert denied == Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    addition = businesses_pb.AddStaffRequest(
        business_id=business.id, user_id=anna.user_id, role=user_pb2.STAFF_ROLE_OWNER
    )
    await circle.businesses.AddStaff(addition, metadata=chief.metadata)

    async def token_has_ended() -> bool:
        try:
            await circle.users.GetMe(users_pb.GetMeRequest(), metadata=anna.metadata)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNAUTHENTICATED
        return False

    await until(token_has_ended)
    ended = await refusal_of(circle.users.GetMe(users_pb.GetMeRequest(), metadata=anna.metadata))
    assert ended == Refusal(grpc.StatusCode.UNAUTHENTICATED, "ACCESS_TOKEN_REVOKED")
    await circle.refresh(anna)
    me = (await circle.users.GetMe(users_pb.GetMeRequest(), metadata=anna.metadata)).user
    assert [(role.business_id, role.role) for role in me.staff_roles] == [(business.id, user_pb2.STAFF_ROLE_OWNER)]
    assert (await circle.businesses.GetBusiness(reading, metadata=anna.metadata)).business == business
