"""What a sign-in and an account say to each other: words that auth and users share, as neither imports the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from svoykrug_server.kit.caller import Role, StaffRole


class AccountStatus(StrEnum):
    """Whether a person may sign in."""

    UNCLAIMED = "unclaimed"
    """Made by a service; her first sign-in with the phone claims it."""
    ACTIVE = "active"
    BANNED = "banned"
    DELETED = "deleted"


class RevokeReason(StrEnum):
    """Why a session ended before its time."""

    SIGNED_OUT = "signed_out"
    REVOKED_BY_USER = "revoked_by_user"
    REVOKED_BY_ADMIN = "revoked_by_admin"
    COMPROMISED = "compromised"
    BANNED = "banned"
    PHONE_CHANGED = "phone_changed"
    NUMBER_RECYCLED = "number_recycled"
    DEMO_ENDED = "demo_ended"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class Account:
    """A person who has this phone number.

    Attributes:
        user_id: The user's id.
        status: Whether she may sign in.
        birth_date: What proves after a long silence that the number is still hers; None when not told.
        demo: Whether she signs in by a demo phone.
        dealt_with_time: When a partner last dealt with an unclaimed member, whose number it gave; None for others.
    """

    user_id: UUID
    status: AccountStatus
    birth_date: date | None = field(default=None, repr=False)
    demo: bool = False
    dealt_with_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConsentGrant:
    """One consent given, or expressly not given, at sign-up.

    Attributes:
        kind: What it allows: `terms`, `personal_data`, `marketing` or `profiling`.
        document_version: The version of the text she was shown.
        granted: Whether she allows it.
    """

    kind: str
    document_version: str
    granted: bool


@dataclass(frozen=True, slots=True)
class Joining:
    """What a person brings to her first sign-in.

    Attributes:
        phone: Her proven phone number, E.164.
        consents: What she consents to.
        referral_code: Who invited her; empty when nobody did.
        locale: `ru` or `en`, the language of her messages.
        join_time: The instant of the sign-in; aware.
        demo: Whether she signs in by a demo phone: she then gets no member link, so she can have no purchases.
        former_owner_id: Who had the phone until now and keeps her account without it; None when nobody had.
    """

    phone: str = field(repr=False)
    consents: tuple[ConsentGrant, ...]
    referral_code: str
    locale: str
    join_time: datetime
    demo: bool = False
    former_owner_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class PersonClaims:
    """What an access token says of a person.

    Attributes:
        status: Whether she may go on.
        roles: Her roles in the circle.
        tier: Her tier, such as `insider`.
        phone: Where a warning is sent; None once erased.
        locale: `ru` or `en`, the language of her messages.
        staff: Her role at each business she works for.
        erase_time: When she will be erased; None unless she deleted her account.
    """

    status: AccountStatus
    roles: frozenset[Role]
    tier: str
    phone: str | None
    locale: str = "ru"
    staff: Mapping[UUID, StaffRole] = field(default_factory=dict)
    erase_time: datetime | None = None
