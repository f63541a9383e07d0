"""Protobuf <-> model for what admins do."""

from datetime import datetime
from uuid import UUID

from google.protobuf.struct_pb2 import Struct
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as pb

from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.errors import FieldViolation, InvalidFields
from svoykrug_server.kit.phone import parse_phone
from svoykrug_server.rpc.timestamps import instant_from, timestamp_from
from svoykrug_server.users.administration.model import (
    AccountChange,
    BanReason,
    EventPage,
    RecordedEvent,
    TrailFilter,
    UserFilter,
    UserPage,
)
from svoykrug_server.users.convert import (
    ROLES,
    STATES,
    TIERS,
    fields_from_mask,
    profile_from_proto,
    user_to_proto,
)
from svoykrug_server.users.model import ProfileField

BAN_REASONS = {
    pb.BAN_REASON_FRAUD: BanReason.FRAUD,
    pb.BAN_REASON_ABUSE: BanReason.ABUSE,
    pb.BAN_REASON_TAKEN_OVER: BanReason.TAKEN_OVER,
    pb.BAN_REASON_OTHER: BanReason.OTHER,
}
_PHONE = "phone"
_UPDATABLE = (*(field.value for field in ProfileField), _PHONE)


def user_filter_from_proto(request: pb.ListUsersRequest) -> UserFilter:
    """Returns which users to list.

    Raises:
        InvalidFields: An instant lies outside the years 1 to 9999.
    """
    return UserFilter(
        phone=request.phone,
        name=request.name,
        tiers=tuple(tier for tier, proto in TIERS.items() if proto in request.tiers),
        roles=tuple(role for role, proto in ROLES.items() if proto in request.roles),
        states=tuple(state for state, proto in STATES.items() if proto in request.states),
        created_from=_instant(request, "created_from_time"),
        created_until=_instant(request, "created_until_time"),
    )


def user_page_to_proto(page: UserPage) -> pb.ListUsersResponse:
    """Returns a page of users as their reader sees it."""
    return pb.ListUsersResponse(users=map(user_to_proto, page.users), next_page_token=page.next_page_token)


def account_change_from_proto(request: pb.UpdateUserRequest) -> tuple[UUID, AccountChange]:
    """Returns whom to change, which of her fields, and their values.

    Raises:
        InvalidFields: The id is no UUID, the mask is empty or names a field that cannot be updated, the birth date is
            no date, or the phone no phone number.
    """
    violations: list[FieldViolation] = []
    user_id = _user_id(request.user.id, violations)
    fields = fields_from_mask(request.update_mask.paths, _UPDATABLE, violations)
    profile = profile_from_proto(request.user, fields, violations)
    phone = _phone(request.user.phone, violations) if _PHONE in fields else None
    if violations or user_id is None:
        raise InvalidFields(violations=tuple(violations))
    return user_id, AccountChange(profile, phone)


def roles_from_proto(request: pb.SetUserRolesRequest) -> frozenset[Role]:
    """Returns which roles a user gets.

    Raises:
        InvalidFields: The member's is not among them.
    """
    roles = frozenset(role for role, proto in ROLES.items() if proto in request.roles)
    if Role.MEMBER not in roles:
        raise InvalidFields.of("roles", "must hold ROLE_MEMBER")
    return roles


def trail_filter_from_proto(request: pb.ListAuditEventsRequest) -> TrailFilter:
    """Returns which audit events to list.

    Raises:
        InvalidFields: An instant lies outside the years 1 to 9999.
    """
    return TrailFilter(
        actor_id=UUID(request.actor_id) if request.actor_id else None,
        target_id=request.target_id,
        actions=tuple(sorted(set(request.actions))),
        since=_instant(request, "from_time"),
        until=_instant(request, "until_time"),
    )


def event_page_to_proto(page: EventPage) -> pb.ListAuditEventsResponse:
    """Returns a page of audit events."""
    return pb.ListAuditEventsResponse(events=map(_event_to_proto, page.events), next_page_token=page.next_page_token)


def _event_to_proto(event: RecordedEvent) -> user_pb2.AuditEvent:
    details = Struct()
    details.update(event.details)
    return user_pb2.AuditEvent(
        id=str(event.id),
        action=event.action,
        event_time=timestamp_from(event.event_time),
        actor_kind=event.actor_kind,
        actor_id="" if event.actor_id is None else str(event.actor_id),
        target_kind=event.target_kind,
        target_id=event.target_id,
        refused=event.refused,
        peer_address=event.peer_address,
        request_id=event.request_id,
        details=details,
    )


def _instant(request: pb.ListUsersRequest | pb.ListAuditEventsRequest, field: str) -> datetime | None:
    if not request.HasField(field):  # type: ignore[arg-type]  # each of the requests has its own literal type
        return None
    return instant_from(getattr(request, field), field)


def _user_id(text: str, violations: list[FieldViolation]) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        violations.append(FieldViolation("user.id", "must be a UUID"))
        return None


def _phone(text: str, violations: list[FieldViolation]) -> str | None:
    phone = parse_phone(text)
    if phone is None:
        violations.append(FieldViolation("user.phone", "must be a phone number"))
    return phone
