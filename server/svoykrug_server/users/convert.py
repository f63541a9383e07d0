"""Protobuf <-> model for users."""

from collections.abc import Collection, Sequence
from datetime import date

from google.type.date_pb2 import Date
from svoykrug.users.v1 import user_pb2, users_service_pb2

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Role, StaffRole
from svoykrug_server.kit.errors import FieldViolation, InvalidFields
from svoykrug_server.rpc.timestamps import timestamp_from
from svoykrug_server.users.model import (
    Locale,
    MemberRow,
    NewMember,
    ProfileChange,
    ProfileField,
    Tier,
    User,
)

ROLES = {
    Role.MEMBER: user_pb2.ROLE_MEMBER,
    Role.ADMIN: user_pb2.ROLE_ADMIN,
    Role.SUPERADMIN: user_pb2.ROLE_SUPERADMIN,
}
STAFF_ROLES = {
    StaffRole.STAFF: user_pb2.STAFF_ROLE_STAFF,
    StaffRole.OWNER: user_pb2.STAFF_ROLE_OWNER,
}
STATES = {
    AccountStatus.UNCLAIMED: user_pb2.USER_STATE_UNCLAIMED,
    AccountStatus.ACTIVE: user_pb2.USER_STATE_ACTIVE,
    AccountStatus.BANNED: user_pb2.USER_STATE_BANNED,
    AccountStatus.DELETED: user_pb2.USER_STATE_DELETED,
}
TIERS = {
    Tier.INSIDER: user_pb2.TIER_INSIDER,
    Tier.VIP: user_pb2.TIER_VIP,
    Tier.ELITE: user_pb2.TIER_ELITE,
    Tier.INNER_CIRCLE: user_pb2.TIER_INNER_CIRCLE,
}


def user_to_proto(user: User) -> user_pb2.User:
    """Returns a user as she and admins see her."""
    return user_pb2.User(
        id=str(user.id),
        phone=user.phone or "",
        display_name=user.display_name,
        email=user.email,
        birth_date=None if user.birth_date is None else _date_to_proto(user.birth_date),
        locale=user.locale.value,
        state=STATES[user.status],
        roles=[proto for role, proto in ROLES.items() if role in user.roles],
        staff_roles=[
            user_pb2.BusinessRole(business_id=str(business_id), role=STAFF_ROLES[role])
            for business_id, role in user.staff
        ],
        tier=TIERS[user.tier],
        referral_code=user.referral_code,
        etag=user.etag,
        create_time=timestamp_from(user.create_time),
        update_time=timestamp_from(user.update_time),
    )


def profile_change_from_proto(request: users_service_pb2.UpdateMeRequest) -> ProfileChange:
    """Returns which fields of a profile to change, and their values.

    Raises:
        InvalidFields: The mask is empty or names a field that cannot be updated, or the birth date is no date.
    """
    violations: list[FieldViolation] = []
    fields = fields_from_mask(request.update_mask.paths, [field.value for field in ProfileField], violations)
    change = profile_from_proto(request.user, fields, violations)
    if change is None or violations:
        raise InvalidFields(violations=tuple(violations))
    return change


def profile_from_proto(
    user: user_pb2.User, fields: Collection[str], violations: list[FieldViolation]
) -> ProfileChange | None:
    """Returns the new values of the fields of a profile among `fields`, or None where there are none.

    Args:
        user: The new values.
        fields: The fields to change; those that are not of a profile are not looked at.
        violations: Gets one more when the birth date is no date.
    """
    named = frozenset(field for field in ProfileField if field.value in fields)
    if not named:
        return None
    return ProfileChange(
        fields=named,
        display_name=user.display_name,
        email=user.email,
        birth_date=_date_from_proto(user.birth_date, violations) if ProfileField.BIRTH_DATE in named else None,
        locale=Locale(user.locale or Locale.RU),
    )


def fields_from_mask(paths: Sequence[str], updatable: Sequence[str], violations: list[FieldViolation]) -> set[str]:
    """Returns the fields that a mask names.

    Args:
        paths: The paths of the mask.
        updatable: Which paths there may be.
        violations: Gets one more for each path that there may not be, and for a mask without paths.
    """
    choice = ", ".join(updatable)
    if not paths:
        violations.append(FieldViolation("update_mask", f"must name at least one of {choice}"))
    for index, path in enumerate(paths):
        if path not in updatable:
            violations.append(FieldViolation(f"update_mask.paths[{index}]", f"must be one of {choice}"))
    return set(paths).intersection(updatable)


def new_members_from_proto(request: users_service_pb2.BatchCreateUsersRequest) -> list[NewMember]:
    """Returns the rows of a batch, in their order."""
    return [NewMember(user.phone, user.display_name) for user in request.users]


def member_rows_to_proto(rows: Sequence[MemberRow]) -> users_service_pb2.BatchCreateUsersResponse:
    """Returns what became of each row of a batch."""
    return users_service_pb2.BatchCreateUsersResponse(
        results=[
            users_service_pb2.BatchCreateUsersResult(
                user_id="" if row.user_id is None else str(row.user_id),
                created=row.created,
                error_reason=row.error_reason,
            )
            for row in rows
        ],
        created_count=sum(row.created for row in rows),
    )


def _date_to_proto(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)


def _date_from_proto(day: Date, violations: list[FieldViolation]) -> date | None:
    if not (day.year or day.month or day.day):
        return None
    try:
        return date(day.year, day.month, day.day)
    except ValueError:
        violations.append(FieldViolation("user.birth_date", "must be a whole date of the calendar"))
        return None
