"""Protobuf <-> model for what admins do."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as pb

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.rpc.timestamps import timestamp_from
from svoykrug_server.users.administration import convert
from svoykrug_server.users.administration.model import (
    AccountChange,
    BanReason,
    EventPage,
    RecordedEvent,
    TrailFilter,
    UserFilter,
)
from svoykrug_server.users.convert import ROLES, STATES, TIERS
from svoykrug_server.users.model import ProfileChange, ProfileField, Tier

INSTANTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy wants naive bounds
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DETAILS = st.dictionaries(
    TEXTS, st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS, st.lists)
)
EVENTS = st.builds(
    RecordedEvent,
    id=st.uuids(),
    action=TEXTS,
    event_time=INSTANTS,
    actor_kind=TEXTS,
    actor_id=st.none() | st.uuids(),
    target_kind=TEXTS,
    target_id=TEXTS,
    refused=st.booleans(),
    peer_address=TEXTS,
    request_id=TEXTS,
    details=DETAILS,
)


def chosen(values: list[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.sets(st.sampled_from(values)).map(lambda some: tuple(value for value in values if value in some))


FILTERS = st.builds(
    UserFilter,
    phone=TEXTS,
    name=TEXTS,
    tiers=chosen(list(Tier)),
    roles=chosen(list(ROLES)),
    states=chosen(list(STATES)),
    created_from=st.none() | INSTANTS,
    created_until=st.none() | INSTANTS,
)


@given(FILTERS)
def test_a_filter_arrives_as_it_was_sent_whatever_the_order_and_number_of_its_values(wanted: UserFilter) -> None:
    request = pb.ListUsersRequest(
        phone=wanted.phone,
        name=wanted.name,
        tiers=[TIERS[tier] for tier in reversed(wanted.tiers)] * 2,
        roles=[ROLES[role] for role in reversed(wanted.roles)] * 2,
        states=[STATES[state] for state in reversed(wanted.states)] * 2,
        created_from_time=None if wanted.created_from is None else timestamp_from(wanted.created_from),
        created_until_time=None if wanted.created_until is None else timestamp_from(wanted.created_until),
    )
    assert convert.user_filter_from_proto(request) == wanted


@given(EVENTS, TEXTS)
def test_an_event_is_shown_with_everything_that_was_kept(event: RecordedEvent, token: str) -> None:
    answer = convert.event_page_to_proto(EventPage((event,), token))
    [shown] = answer.events
    assert answer.next_page_token == token
    assert event == replace(
        event,
        id=UUID(shown.id),
        action=shown.action,
        event_time=shown.event_time.ToDatetime(tzinfo=UTC),
        actor_kind=shown.actor_kind,
        actor_id=UUID(shown.actor_id) if shown.actor_id else None,
        target_kind=shown.target_kind,
        target_id=shown.target_id,
        refused=shown.refused,
        peer_address=shown.peer_address,
        request_id=shown.request_id,
    )
    assert set(shown.details) == set(event.details)


def test_a_trail_filter_names_each_action_once_and_in_order() -> None:
    request = pb.ListAuditEventsRequest(
        actor_id=str(UUID(int=7)), target_id="salon", actions=["B", "A", "B"], from_time=Timestamp(seconds=1)
    )
    since = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert convert.trail_filter_from_proto(request) == TrailFilter(UUID(int=7), "salon", ("A", "B"), since)
    assert convert.trail_filter_from_proto(pb.ListAuditEventsRequest()) == TrailFilter()


def test_a_change_of_phone_alone_leaves_the_profile() -> None:
    user = user_pb2.User(id=str(UUID(int=7)), phone="8 999 123-45-67", display_name="ignored")
    request = pb.UpdateUserRequest(user=user, update_mask=FieldMask(paths=["phone"]))
    assert convert.account_change_from_proto(request) == (UUID(int=7), AccountChange(phone="+79991234567"))


def test_a_change_of_the_profile_alone_leaves_the_phone() -> None:
    user = user_pb2.User(id=str(UUID(int=7)), phone="ignored", display_name="Анна")
    request = pb.UpdateUserRequest(user=user, update_mask=FieldMask(paths=["display_name"]))
    profile = ProfileChange(frozenset({ProfileField.DISPLAY_NAME}), display_name="Анна")
    assert convert.account_change_from_proto(request) == (UUID(int=7), AccountChange(profile))


def test_a_change_of_nothing_is_refused() -> None:
    request = pb.UpdateUserRequest(user=user_pb2.User(id=str(UUID(int=7))))
    with pytest.raises(InvalidFields) as refusal:
        convert.account_change_from_proto(request)
    assert [violation.path for violation in refusal.value.violations] == ["update_mask"]
    with pytest.raises(ValueError, match="at least one field"):
        AccountChange()


def test_every_value_of_the_contract_has_one_of_the_model() -> None:
    assert {pb.BAN_REASON_UNSPECIFIED, *convert.BAN_REASONS} == set(pb.BanReason.values())
    assert set(convert.BAN_REASONS.values()) == set(BanReason)
    assert (set(ROLES), set(STATES), set(TIERS)) == (set(Role), set(AccountStatus), set(Tier))
