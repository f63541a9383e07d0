from collections.abc import AsyncIterator
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.date_pb2 import Date
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as pb
from svoykrug.users.v1.users_service_pb2_grpc import (
    UsersServiceServicer,
    UsersServiceStub,
    add_UsersServiceServicer_to_server,
)

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.service import UsersService
from svoykrug_server.users.servicer import ProfileMethods
from tests.callers import admin, person, service
from tests.serving import Metadata, Refusal, Served, refusal_of, serving
from tests.users.people import join, new_phone

INVALID = grpc.StatusCode.INVALID_ARGUMENT
DENIED = Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


class OfProfiles(ProfileMethods, UsersServiceServicer):
    """The part of the service that is tested here."""


@pytest.fixture
async def served(users: UsersService) -> AsyncIterator[Served]:
    servicer = OfProfiles(users)  # type: ignore[abstract]  # the other parts are tested beside theirs
    async with serving(lambda server: add_UsersServiceServicer_to_server(servicer, server)) as running:
        yield running


@pytest.fixture
def stub(served: Served) -> UsersServiceStub:
    return UsersServiceStub(served.channel)


@pytest.fixture
async def anna(postgres: Postgres, clock: ManualClock, served: Served) -> Metadata:
    return served.tokens.sign_in(person(await join(postgres, clock.now())))


def update(paths: list[str], **values: object) -> pb.UpdateMeRequest:
    return pb.UpdateMeRequest(user=user_pb2.User(**values), update_mask=FieldMask(paths=paths))  # type: ignore[arg-type]  # field values of a test


async def test_a_person_gets_her_own_profile(
    postgres: Postgres, stub: UsersServiceStub, served: Served, clock: ManualClock
) -> None:
    phone = new_phone()
    user_id = await join(postgres, clock.now(), phone)
    answer = await stub.GetMe(pb.GetMeRequest(), metadata=served.tokens.sign_in(person(user_id)))
    assert (answer.user.id, answer.user.phone, answer.user.etag) == (str(user_id), phone, "1")
    assert (answer.user.state, answer.user.tier) == (user_pb2.USER_STATE_ACTIVE, user_pb2.TIER_INSIDER)
    assert list(answer.user.roles) == [user_pb2.ROLE_MEMBER]
    assert not answer.user.HasField("birth_date")


async def test_nobody_gets_a_profile_without_a_token(stub: UsersServiceStub) -> None:
    refusal = await refusal_of(stub.GetMe(pb.GetMeRequest()))
    assert refusal == Refusal(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")


async def test_a_profile_is_changed_by_its_mask_and_read_back(stub: UsersServiceStub, anna: Metadata) -> None:
    request = update(
        ["display_name", "birth_date", "locale", "email"],
        display_name="Анна",
        birth_date=Date(year=1985, month=2, day=28),
        locale="en",
        email="anna@example.org",
        etag="1",
    )
    changed = (await stub.UpdateMe(request, metadata=anna)).user
    assert (changed.display_name, changed.locale, changed.email) == ("Анна", "en", "anna@example.org")
    assert (changed.birth_date, changed.etag) == (Date(year=1985, month=2, day=28), "2")
    assert (await stub.GetMe(pb.GetMeRequest(), metadata=anna)).user == changed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("display_name", "x" * 101),
        ("display_name", "two\nlines"),
        ("display_name", "a\x00b"),
        ("display_name", "Анна\u202eанналеБ"),
        ("display_name", "Ан\u200bна"),
        ("display_name", "Анна\u2028Белла"),
        ("display_name", "Анна\U000e0041"),
        ("email", "anna"),
        ("email", "a@" + "x" * 300 + ".org"),
        ("email", "a\x00@example.org"),
        ("locale", "de"),
        ("locale", "RU"),
        ("birth_date", Date(year=1985)),
        ("birth_date", Date(year=1985, month=2, day=30)),
        ("birth_date", Date(year=1899, month=12, day=31)),
        ("birth_date", Date(year=2026, month=6, day=2)),
        ("birth_date", Date(year=-5, month=1, day=1)),
    ],
)
async def test_every_bad_value_is_named_by_its_path_and_writes_nothing(
    stub: UsersServiceStub, anna: Metadata, field: str, value: object
) -> None:
    before = await stub.GetMe(pb.GetMeRequest(), metadata=anna)
    refusal = await refusal_of(stub.UpdateMe(update([field], **{field: value}), metadata=anna))
    assert (refusal.code, refusal.reason, set(refusal.paths)) == (INVALID, "INVALID_FIELDS", {f"user.{field}"})
    assert await stub.GetMe(pb.GetMeRequest(), metadata=anna) == before


async def test_all_bad_values_are_named_at_once(stub: UsersServiceStub, anna: Metadata) -> None:
    request = update(["display_name"], display_name="x" * 101, email="anna", locale="de")
    refusal = await refusal_of(stub.UpdateMe(request, metadata=anna))
    assert set(refusal.paths) == {"user.display_name", "user.email", "user.locale"}


@pytest.mark.parametrize("path", ["roles", "tier", "phone", "state", "user.display_name", "*", "nothing"])
async def test_a_path_that_cannot_be_updated_is_refused(stub: UsersServiceStub, anna: Metadata, path: str) -> None:
    refusal = await refusal_of(stub.UpdateMe(update(["display_name", path], display_name="x"), metadata=anna))
    assert refusal == Refusal(INVALID, "INVALID_FIELDS", ("update_mask.paths[1]",))


async def test_a_change_without_user_or_mask_names_what_is_missing(stub: UsersServiceStub, anna: Metadata) -> None:
    assert set((await refusal_of(stub.UpdateMe(pb.UpdateMeRequest(), metadata=anna))).paths) == {"user", "update_mask"}
    assert (await refusal_of(stub.UpdateMe(update([]), metadata=anna))).paths == ("update_mask",)


async def test_a_stale_etag_aborts(stub: UsersServiceStub, anna: Metadata) -> None:
    refusal = await refusal_of(stub.UpdateMe(update(["display_name"], display_name="x", etag="7"), metadata=anna))
    assert refusal == Refusal(grpc.StatusCode.ABORTED, "STALE_ETAG")


async def test_admins_see_phones_and_services_see_them_masked_without_the_scope(
    postgres: Postgres, stub: UsersServiceStub, served: Served, clock: ManualClock
) -> None:
    phone = new_phone()
    request = pb.GetUserRequest(user_id=str(await join(postgres, clock.now(), phone)))
    masked = f"{phone[:2]}********{phone[-2:]}"
    callers = [
        (admin(), phone),
        (service("users.read"), masked),
        (service("users.read", "users.read_phone"), phone),
    ]
    for caller, shown in callers:
        answer = await stub.GetUser(request, metadata=served.tokens.sign_in(caller))
        assert answer.user.phone == shown


@pytest.mark.parametrize(
    ("caller", "refusal"),
    [
        (admin(), Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")),
        (service("users.read"), Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")),
        (person(), DENIED),
        (service("users.write"), DENIED),
    ],
    ids=["admin", "service", "member", "service without the scope"],
)
async def test_a_user_who_does_not_exist(
    stub: UsersServiceStub, served: Served, caller: Caller, refusal: Refusal
) -> None:
    request = pb.GetUserRequest(user_id=str(uuid4()))
    assert await refusal_of(stub.GetUser(request, metadata=served.tokens.sign_in(caller))) == refusal


@pytest.mark.parametrize("text", ["", "x", "00000000-0000-0000-0000-00000000000", "'; DROP TABLE users; --", "{}"])
async def test_a_malformed_id_is_named(stub: UsersServiceStub, served: Served, text: str) -> None:
    refusal = await refusal_of(stub.GetUser(pb.GetUserRequest(user_id=text), metadata=served.tokens.sign_in(admin())))
    assert refusal == Refusal(INVALID, "INVALID_FIELDS", ("user_id",))


async def test_a_batch_answers_every_row_in_order(stub: UsersServiceStub, served: Served) -> None:
    phone = new_phone()
    metadata = served.tokens.sign_in(service("users.write"))
    users = [pb.NewUser(phone=phone), pb.NewUser(phone="x"), pb.NewUser(phone=phone), pb.NewUser()]
    answer = await stub.BatchCreateUsers(pb.BatchCreateUsersRequest(users=users), metadata=metadata)
    assert [result.created for result in answer.results] == [True, False, False, False]
    assert answer.results[0].user_id == answer.results[2].user_id != ""
    assert [result.error_reason for result in answer.results] == ["", "INVALID_FIELDS", "", "INVALID_FIELDS"]
    assert answer.created_count == 1


@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_batch_of_no_rows_or_too_many_is_refused(stub: UsersServiceStub, served: Served, count: int) -> None:
    request = pb.BatchCreateUsersRequest(users=[pb.NewUser(phone=new_phone())] * count)
    metadata = served.tokens.sign_in(service("users.write"))
    refusal = await refusal_of(stub.BatchCreateUsers(request, metadata=metadata))
    assert refusal == Refusal(INVALID, "INVALID_FIELDS", ("users",))


@pytest.mark.parametrize(
    "caller", [person(), service("users.read"), service()], ids=["member", "another scope", "no scope"]
)
async def test_nobody_else_creates_members(stub: UsersServiceStub, served: Served, caller: Caller) -> None:
    request = pb.BatchCreateUsersRequest(users=[pb.NewUser(phone=new_phone())])
    assert await refusal_of(stub.BatchCreateUsers(request, metadata=served.tokens.sign_in(caller))) == DENIED
