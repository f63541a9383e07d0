"""The methods of admins and services over gRPC."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as pb
from svoykrug.users.v1.users_service_pb2_grpc import (
    UsersServiceServicer,
    UsersServiceStub,
    add_UsersServiceServicer_to_server,
)

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Caller, Role
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.administration.servicer import AdministrationMethods, AdministrationUseCases
from svoykrug_server.users.model import Tier
from tests.callers import admin, person, service
from tests.serving import Metadata, Refusal, Served, refusal_of, serving
from tests.users.administration.crowd import BEGAN, Somebody, write
from tests.users.people import join, new_phone

SOMEBODY = str(uuid4())
DENIED = Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
MISSING = Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


class OfAdmins(AdministrationMethods, UsersServiceServicer):
    """The part of the service that is tested here."""


@pytest.fixture
async def served(administration: AdministrationUseCases) -> AsyncIterator[Served]:
    servicer = OfAdmins(administration)  # type: ignore[abstract]  # the other parts are tested beside theirs
    async with serving(lambda server: add_UsersServiceServicer_to_server(servicer, server)) as running:
        yield running


@pytest.fixture
def stub(served: Served) -> UsersServiceStub:
    return UsersServiceStub(served.channel)


@pytest.fixture
def as_admin(served: Served) -> Metadata:
    return served.tokens.sign_in(admin())


@pytest.fixture
def as_superadmin(served: Served) -> Metadata:
    return served.tokens.sign_in(person(None, Role.MEMBER, Role.SUPERADMIN))


@pytest.fixture
async def anna(postgres: Postgres, clock: ManualClock) -> str:
    """A member's id."""
    return str(await join(postgres, clock.now()))


def invalid(*paths: str) -> Refusal:
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS", paths)


def update(user_id: str, *paths: str, **values: object) -> pb.UpdateUserRequest:
    return pb.UpdateUserRequest(user=user_pb2.User(id=user_id, **values), update_mask=FieldMask(paths=paths))  # type: ignore[arg-type]  # field values of a test


def at(instant: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp


async def test_users_come_in_the_order_asked_for_and_unknown_ones_are_left_out(
    postgres: Postgres, stub: UsersServiceStub, as_admin: Metadata
) -> None:
    known = [str(each.id) for each in await write(postgres, [Somebody(), Somebody("Анна"), Somebody("Яна")])]
    asked = [known[2], str(uuid4()), known[0], known[1], known[2]]
    answer = await stub.BatchGetUsers(pb.BatchGetUsersRequest(user_ids=asked), metadata=as_admin)
    assert [user.id for user in answer.users] == [known[2], known[0], known[1], known[2]]


@pytest.mark.parametrize(
    ("reader", "masked", "deleted_too"),
    [
        (admin(), False, True),
        (service("users.read", "users.read_phone"), False, False),
        (service("users.read"), True, False),
    ],
    ids=["admin", "service that may read phones", "service that may not"],
)
async def test_who_sees_phones_and_deleted_users(
    postgres: Postgres, stub: UsersServiceStub, served: Served, reader: Caller, masked: bool, deleted_too: bool
) -> None:
    phone = new_phone()
    anna, gone = await write(postgres, [Somebody(phone=phone), Somebody(state=AccountStatus.DELETED)])
    request = pb.BatchGetUsersRequest(user_ids=[str(anna.id), str(gone.id)])
    answer = await stub.BatchGetUsers(request, metadata=served.tokens.sign_in(reader))
    assert answer.users[0].phone == (f"{phone[:2]}********{phone[-2:]}" if masked else phone)
    assert [user.id for user in answer.users[1:]] == ([str(gone.id)] if deleted_too else [])


@pytest.mark.parametrize("ids", [[], ["x"], [str(uuid4())] * 1001])
async def test_no_ids_too_many_and_malformed_ones_are_refused(
    stub: UsersServiceStub, as_admin: Metadata, ids: list[str]
) -> None:
    refusal = await refusal_of(stub.BatchGetUsers(pb.BatchGetUsersRequest(user_ids=ids), metadata=as_admin))
    assert refusal == invalid("user_ids[0]" if ids == ["x"] else "user_ids")


async def test_a_list_is_filtered_by_everything_at_once_and_turned_page_by_page(
    postgres: Postgres, stub: UsersServiceStub, as_admin: Metadata
) -> None:
    wanted = [Somebody(f"Анна {number}", tier=Tier.VIP, roles=(Role.MEMBER, Role.ADMIN)) for number in range(3)]
    others = [Somebody("Анна", tier=Tier.VIP), Somebody("Яна", tier=Tier.VIP, roles=(Role.MEMBER, Role.ADMIN))]
    known = await write(postgres, [*wanted, *others])
    request = pb.ListUsersRequest(
        page_size=2,
        name="anna",
        tiers=[user_pb2.TIER_VIP],
        roles=[user_pb2.ROLE_ADMIN],
        states=[user_pb2.USER_STATE_ACTIVE],
        created_from_time=at(BEGAN),
        created_until_time=at(datetime(2026, 2, 1, tzinfo=UTC)),
    )
    first = await stub.ListUsers(request, metadata=as_admin)
    request.page_token = first.next_page_token
    second = await stub.ListUsers(request, metadata=as_admin)
    ids = [user.id for user in (*first.users, *second.users)]
    assert (len(first.users), len(second.users), second.next_page_token) == (2, 1, "")
    assert sorted(ids) == sorted(str(each.id) for each in known[:3])


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"page_size": -1}, "page_size"),
        ({"phone": "123"}, "phone"),
        ({"phone": "1" * 33}, "phone"),
        ({"name": "А"}, "name"),
        ({"name": "Анна\n"}, "name"),
        ({"tiers": [0]}, "tiers[0]"),
        ({"roles": [9]}, "roles[0]"),
        ({"states": [99]}, "states[0]"),
        ({"created_from_time": Timestamp(seconds=2**40)}, "created_from_time"),
    ],
)
async def test_a_filter_that_cannot_be_is_named(
    stub: UsersServiceStub, as_admin: Metadata, values: dict[str, object], path: str
) -> None:
    request = pb.ListUsersRequest(**values)  # type: ignore[arg-type]  # field values of a test
    refusal = await refusal_of(stub.ListUsers(request, metadata=as_admin))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert all(bad.startswith(path) for bad in refusal.paths)


async def test_an_admin_changes_a_profile_and_a_phone(stub: UsersServiceStub, as_admin: Metadata, anna: str) -> None:
    phone = new_phone()
    request = update(
        anna,
        "display_name",
        "birth_date",
        "phone",
        display_name="Анна",
        birth_date=Date(year=1985, month=2, day=28),
        phone=f"8 {phone[2:]}",
        email="ignored@example.org",
        etag="1",
    )
    user = (await stub.UpdateUser(request, metadata=as_admin)).user
    assert (user.display_name, user.phone, user.email, user.etag) == ("Анна", phone, "", "2")
    assert user.birth_date == Date(year=1985, month=2, day=28)


@pytest.mark.parametrize(
    ("request_", "paths"),
    [
        (update(SOMEBODY, "display_name", "roles", "tier"), ("update_mask.paths[1]", "update_mask.paths[2]")),
        (update(SOMEBODY, "phone"), ("user.phone",)),
        (update(SOMEBODY, "phone", phone="abc"), ("user.phone",)),
        (update("x", "phone", phone="abc"), ("user.id", "user.phone")),
        (update(SOMEBODY, "birth_date", birth_date=Date(year=2026, month=13)), ("user.birth_date",)),
    ],
)
async def test_what_cannot_be_changed_is_named_all_at_once(
    stub: UsersServiceStub, as_admin: Metadata, request_: pb.UpdateUserRequest, paths: tuple[str, ...]
) -> None:
    assert await refusal_of(stub.UpdateUser(request_, metadata=as_admin)) == invalid(*paths)


async def test_a_superadmin_gives_and_takes_roles(
    stub: UsersServiceStub, as_superadmin: Metadata, as_admin: Metadata, anna: str
) -> None:
    request = pb.SetUserRolesRequest(user_id=anna, roles=[user_pb2.ROLE_ADMIN, user_pb2.ROLE_MEMBER], etag="1")
    assert await refusal_of(stub.SetUserRoles(request, metadata=as_admin)) == DENIED
    user = (await stub.SetUserRoles(request, metadata=as_superadmin)).user
    assert list(user.roles) == [user_pb2.ROLE_MEMBER, user_pb2.ROLE_ADMIN]
    request.roles.pop()
    assert await refusal_of(stub.SetUserRoles(request, metadata=as_superadmin)) == invalid("roles")


async def test_a_ban_and_its_end(stub: UsersServiceStub, as_admin: Metadata, anna: str) -> None:
    for reason, state in (
        (pb.BAN_REASON_FRAUD, user_pb2.USER_STATE_BANNED),
        (pb.BAN_REASON_OTHER, user_pb2.USER_STATE_BANNED),
    ):
        banned = await stub.BanUser(pb.BanUserRequest(user_id=anna, reason=reason), metadata=as_admin)
        assert banned.user.state == state
    freed = await stub.UnbanUser(pb.UnbanUserRequest(user_id=anna), metadata=as_admin)
    assert freed.user.state == user_pb2.USER_STATE_ACTIVE
    refusal = await refusal_of(stub.BanUser(pb.BanUserRequest(user_id=anna), metadata=as_admin))
    assert refusal == invalid("reason")


async def test_whoever_is_not_there_is_not_found(
    stub: UsersServiceStub, as_admin: Metadata, as_superadmin: Metadata
) -> None:
    nobody = str(uuid4())
    ban = pb.BanUserRequest(user_id=nobody, reason=pb.BAN_REASON_ABUSE)
    roles = pb.SetUserRolesRequest(user_id=nobody, roles=[user_pb2.ROLE_MEMBER])
    assert await refusal_of(stub.BanUser(ban, metadata=as_admin)) == MISSING
    assert await refusal_of(stub.UnbanUser(pb.UnbanUserRequest(user_id=nobody), metadata=as_admin)) == MISSING
    assert await refusal_of(stub.UpdateUser(update(nobody, "display_name"), metadata=as_admin)) == MISSING
    assert await refusal_of(stub.SetUserRoles(roles, metadata=as_superadmin)) == MISSING


async def test_the_trail_tells_what_was_done_and_what_was_refused(
    stub: UsersServiceStub, served: Served, anna: str
) -> None:
    chief = admin()
    metadata = served.tokens.sign_in(chief)
    await stub.BanUser(pb.BanUserRequest(user_id=anna, reason=pb.BAN_REASON_FRAUD), metadata=metadata)
    herself = pb.BanUserRequest(user_id=str(chief.subject_id), reason=pb.BAN_REASON_FRAUD)
    await refusal_of(stub.BanUser(herself, metadata=metadata))
    request = pb.ListAuditEventsRequest(
        actor_id=str(chief.subject_id), actions=["USER_BANNED"], from_time=at(BEGAN), page_size=5
    )
    events = (await stub.ListAuditEvents(request, metadata=metadata)).events
    assert {(event.target_id, event.refused) for event in events} == {(anna, False), (herself.user_id, True)}
    [done] = [event for event in events if not event.refused]
    assert (done.action, done.actor_kind, done.target_kind) == ("USER_BANNED", "user", "user")
    assert (done.peer_address, dict(done.details)) == ("127.0.0.1", {"reason": "fraud"})
    assert UUID(done.id).version == 7
    assert done.request_id


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"actor_id": "x"}, "actor_id"),
        ({"actions": ["signed in"]}, "actions[0]"),
        ({"target_id": "x" * 65}, "target_id"),
        ({"page_size": -1}, "page_size"),
        ({"until_time": Timestamp(seconds=-(2**40))}, "until_time"),
    ],
)
async def test_a_trail_filter_that_cannot_be_is_named(
    stub: UsersServiceStub, as_admin: Metadata, values: dict[str, object], path: str
) -> None:
    request = pb.ListAuditEventsRequest(**values)  # type: ignore[arg-type]  # field values of a test
    refusal = await refusal_of(stub.ListAuditEvents(request, metadata=as_admin))
    assert (refusal.reason, all(bad.startswith(path) for bad in refusal.paths)) == ("INVALID_FIELDS", True)


@pytest.mark.parametrize(
    "caller", [person(), service("users.write"), service()], ids=["member", "another scope", "none"]
)
async def test_nobody_else_reads_or_changes_users(stub: UsersServiceStub, served: Served, caller: Caller) -> None:
    metadata = served.tokens.sign_in(caller)
    for call in (
        stub.BatchGetUsers(pb.BatchGetUsersRequest(), metadata=metadata),
        stub.ListUsers(pb.ListUsersRequest(), metadata=metadata),
        stub.UpdateUser(pb.UpdateUserRequest(), metadata=metadata),
        stub.SetUserRoles(pb.SetUserRolesRequest(), metadata=metadata),
        stub.BanUser(pb.BanUserRequest(), metadata=metadata),
        stub.UnbanUser(pb.UnbanUserRequest(), metadata=metadata),
        stub.ListAuditEvents(pb.ListAuditEventsRequest(), metadata=metadata),
    ):
        assert await refusal_of(call) == DENIED
