from datetime import UTC, date, datetime

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.date_pb2 import Date
from hypothesis import given
from hypothesis import strategies as st
from svoykrug.users.v1 import user_pb2, users_service_pb2

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Role, StaffRole
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.users import convert
from svoykrug_server.users.model import Locale, MemberRow, ProfileChange, ProfileField, Tier, User, is_plain_text

INSTANTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy wants naive bounds
NAMES = st.text(max_size=100).filter(is_plain_text)
USERS = st.builds(
    User,
    id=st.uuids(),
    phone=st.none() | st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True),
    display_name=NAMES,
    email=st.sampled_from(["", "anna@example.org", "анна@пример.рф"]),
    birth_date=st.none() | st.dates(),
    locale=st.sampled_from(Locale),
    tier=st.sampled_from(Tier),
    roles=st.frozensets(st.sampled_from(Role)),
    staff=st.dictionaries(st.uuids(), st.sampled_from(StaffRole), max_size=3).map(lambda staff: tuple(staff.items())),
    status=st.sampled_from(AccountStatus),
    version=st.integers(1, 2**62),
    referral_code=st.from_regex(r"([0-9A-Z]{6,10})?", fullmatch=True),
    create_time=INSTANTS,
    update_time=INSTANTS,
)


@given(USERS)
def test_a_user_says_the_same_in_protobuf_after_a_trip_over_the_wire(user: User) -> None:
    proto = user_pb2.User.FromString(convert.user_to_proto(user).SerializeToString())
    assert proto.id == str(user.id)
    assert proto.phone == (user.phone or "")
    assert (proto.display_name, proto.email, proto.locale) == (user.display_name, user.email, user.locale)
    assert _date(proto.birth_date) == user.birth_date
    assert user_pb2.Tier.Name(proto.tier) == f"TIER_{user.tier.name}"
    assert user_pb2.UserState.Name(proto.state) == f"USER_STATE_{user.status.name}"
    assert {user_pb2.Role.Name(role) for role in proto.roles} == {f"ROLE_{role.name}" for role in user.roles}
    assert [(entry.business_id, user_pb2.StaffRole.Name(entry.role)) for entry in proto.staff_roles] == [
        (str(business_id), f"STAFF_ROLE_{role.name}") for business_id, role in user.staff
    ]
    assert (proto.referral_code, proto.etag) == (user.referral_code, user.etag)
    assert proto.create_time.ToDatetime(UTC) == user.create_time
    assert proto.update_time.ToDatetime(UTC) == user.update_time


@given(NAMES, st.none() | st.dates(), st.sampled_from(Locale), st.sets(st.sampled_from(ProfileField), min_size=1))
def test_a_change_takes_the_values_of_exactly_the_fields_its_mask_names(
    name: str, birth_date: date | None, locale: Locale, fields: set[ProfileField]
) -> None:
    request = users_service_pb2.UpdateMeRequest(
        user=user_pb2.User(display_name=name, email="anna@example.org", locale=locale.value),
        update_mask=FieldMask(paths=sorted(fields)),
    )
    if birth_date is not None:
        request.user.birth_date.CopyFrom(Date(year=birth_date.year, month=birth_date.month, day=birth_date.day))
    expected = {"display_name": name, "email": "anna@example.org", "birth_date": birth_date, "locale": locale}
    assert convert.profile_change_from_proto(request).values() == {field: expected[field] for field in fields}


def test_an_emptied_locale_is_the_default() -> None:
    request = users_service_pb2.UpdateMeRequest(user=user_pb2.User(), update_mask=FieldMask(paths=["locale"]))
    assert convert.profile_change_from_proto(request) == ProfileChange(frozenset({ProfileField.LOCALE}))


@pytest.mark.parametrize(
    "path",
    ["phone", "roles", "tier", "id", "etag", "user.display_name", "displayName", "DISPLAY_NAME", "*", "", "e\x00"],
)
def test_a_path_that_cannot_be_updated_is_named_by_its_place_in_the_mask(path: str) -> None:
    request = users_service_pb2.UpdateMeRequest(
        user=user_pb2.User(), update_mask=FieldMask(paths=["display_name", path])
    )
    with pytest.raises(InvalidFields) as refusal:
        convert.profile_change_from_proto(request)
    assert [violation.path for violation in refusal.value.violations] == ["update_mask.paths[1]"]
    assert refusal.value.violations[0].description == "must be one of display_name, email, birth_date, locale"


@pytest.mark.parametrize(
    "day",
    [
        Date(year=1985),
        Date(year=1985, month=2),
        Date(month=2, day=3),
        Date(year=1985, month=2, day=30),
        Date(year=1985, month=13, day=1),
        Date(year=-1, month=1, day=1),
        Date(year=10_000, month=1, day=1),
        Date(year=2**31 - 1, month=2**31 - 1, day=2**31 - 1),
    ],
)
def test_a_birth_date_that_is_no_whole_date_is_refused_by_path(day: Date) -> None:
    request = users_service_pb2.UpdateMeRequest(
        user=user_pb2.User(birth_date=day), update_mask=FieldMask(paths=["birth_date"])
    )
    with pytest.raises(InvalidFields) as refusal:
        convert.profile_change_from_proto(request)
    assert [violation.path for violation in refusal.value.violations] == ["user.birth_date"]


def test_every_bad_field_is_named_at_once() -> None:
    request = users_service_pb2.UpdateMeRequest(
        user=user_pb2.User(birth_date=Date(year=1985)), update_mask=FieldMask(paths=["birth_date", "tier", "roles"])
    )
    with pytest.raises(InvalidFields) as refusal:
        convert.profile_change_from_proto(request)
    assert {violation.path for violation in refusal.value.violations} == {
        "update_mask.paths[1]",
        "update_mask.paths[2]",
        "user.birth_date",
    }


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(InvalidFields) as refusal:
        convert.profile_change_from_proto(users_service_pb2.UpdateMeRequest(user=user_pb2.User(display_name="Анна")))
    assert [violation.path for violation in refusal.value.violations] == ["update_mask"]


@given(st.lists(st.tuples(st.none() | st.uuids(), st.booleans())))
def test_a_batch_answers_row_by_row_and_counts_what_it_created(outcomes: list[tuple[object, bool]]) -> None:
    rows = [
        MemberRow(None, error_reason="INVALID_FIELDS") if user_id is None else MemberRow(user_id, created=created)  # type: ignore[arg-type]  # hypothesis types unions as object
        for user_id, created in outcomes
    ]
    answer = convert.member_rows_to_proto(rows)
    assert [(result.user_id, result.created, result.error_reason) for result in answer.results] == [
        (str(row.user_id or ""), row.created, row.error_reason) for row in rows
    ]
    assert answer.created_count == sum(row.created for row in rows)


def test_every_value_of_every_enum_of_the_contract_has_its_model() -> None:
    assert set(convert.ROLES.values()) == set(user_pb2.Role.values()) - {user_pb2.ROLE_UNSPECIFIED}
    assert set(convert.STAFF_ROLES.values()) == set(user_pb2.StaffRole.values()) - {user_pb2.STAFF_ROLE_UNSPECIFIED}
    assert set(convert.STATES.values()) == set(user_pb2.UserState.values()) - {user_pb2.USER_STATE_UNSPECIFIED}
    assert set(convert.TIERS.values()) == set(user_pb2.Tier.values()) - {user_pb2.TIER_UNSPECIFIED}


def _date(day: Date) -> date | None:
    return date(day.year, day.month, day.day) if day.year else None
