"""What a user is, and what may be asked of one."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Role, StaffRole

MAX_DISPLAY_NAME_CHARACTERS = 100
MAX_EMAIL_CHARACTERS = 254
EARLIEST_BIRTH_DATE = date(1900, 1, 1)

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_REFERRAL_CODE = re.compile(r"[0-9A-Z]{6,10}")
_MISREAD = str.maketrans("OIL", "011")


class Tier(StrEnum):
    """The level of a member."""

    INSIDER = "insider"
    VIP = "vip"
    ELITE = "elite"
    INNER_CIRCLE = "inner_circle"


class Locale(StrEnum):
    """A language a person reads."""

    RU = "ru"
    EN = "en"


class ConsentKind(StrEnum):
    """What a consent allows."""

    TERMS = "terms"
    PERSONAL_DATA = "personal_data"
    MARKETING = "marketing"
    PROFILING = "profiling"


REQUIRED_CONSENTS = (ConsentKind.TERMS, ConsentKind.PERSONAL_DATA)
"""Without these nobody joins."""


@dataclass(frozen=True, slots=True)
class User:
    """A person who can sign in, or will be able to once she claims her membership.

    Attributes:
        id: A UUID of version 7.
        phone: E.164; None once erased.
        display_name: The name she goes by; may be empty.
        email: An address; may be empty.
        birth_date: The date of birth; None when not told.
        locale: The language she reads.
        tier: Her level.
        roles: Her roles in the circle.
        staff: Her role at each business she works for.
        status: Whether she can sign in.
        version: Grows by one at each change.
        referral_code: The code by which she brings others; empty until she claims her membership.
        create_time: When she was created; aware.
        update_time: When she last changed; aware.

    Raises:
        ValueError: A text is longer than it may be, or holds a control character.
    """

    id: UUID
    phone: str | None
    display_name: str
    email: str
    birth_date: date | None
    locale: Locale
    tier: Tier
    roles: frozenset[Role]
    staff: tuple[tuple[UUID, StaffRole], ...]
    status: AccountStatus
    version: int
    referral_code: str
    create_time: datetime
    update_time: datetime

    def __post_init__(self) -> None:
        if len(self.display_name) > MAX_DISPLAY_NAME_CHARACTERS or not is_plain_text(self.display_name):
            raise ValueError("a display name has at most 100 characters and no control characters")
        if self.email and not is_email(self.email):
            raise ValueError("an e-mail address has the form name@host")

    @property
    def etag(self) -> str:
        """Names this state of the user; another state has another."""
        return str(self.version)


class ProfileField(StrEnum):
    """A field of her profile that a person may change, by its path in the resource."""

    DISPLAY_NAME = "display_name"
    EMAIL = "email"
    BIRTH_DATE = "birth_date"
    LOCALE = "locale"


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """New values of some fields of a profile; the others are not looked at.

    Attributes:
        fields: Which fields to change; at least one.
        display_name: The name she goes by; empty to take it away.
        email: An address; empty to take it away.
        birth_date: The date of birth; None to take it away.
        locale: The language she reads.

    Raises:
        ValueError: No field is named.
    """

    fields: frozenset[ProfileField]
    display_name: str = ""
    email: str = ""
    birth_date: date | None = None
    locale: Locale = Locale.RU

    def __post_init__(self) -> None:
        if not self.fields:
            raise ValueError("a change names at least one field")

    def values(self) -> dict[str, str | date | None]:
        """Returns the new value of each named field, by its path."""
        return {name.value: getattr(self, name.value) for name in sorted(self.fields)}


@dataclass(frozen=True, slots=True)
class NewMember:
    """A member a partner knows, not yet claimed.

    Attributes:
        phone: A phone number in any spelling.
        display_name: The name the partner knows; may be empty.
    """

    phone: str
    display_name: str = ""


@dataclass(frozen=True, slots=True)
class MemberRow:
    """What became of one row of a batch.

    Attributes:
        user_id: The user of this phone; None when the row was refused.
        created: Whether this batch created her.
        error_reason: Why the row was refused; empty when it was not.
    """

    user_id: UUID | None
    created: bool = False
    error_reason: str = ""


@dataclass(frozen=True, slots=True)
class UnclaimedMember:
    """A member to insert: a row of a batch once its phone is read.

    Attributes:
        id: The id she gets if the phone is free.
        member_id: What purchases will know her by: 63 random bits.
        phone: E.164.
        display_name: The name the partner knows; may be empty.
    """

    id: UUID
    member_id: int
    phone: str
    display_name: str = ""


def is_plain_text(text: str) -> bool:
    """Tells whether a text holds no control character: no line break, no NUL, no tab."""
    return text.isprintable() or not any(unicodedata.category(character) == "Cc" for character in text)


def is_email(text: str) -> bool:
    """Tells whether a text has the outer form of an e-mail address: one `@`, no white space, at most 254 characters."""
    return len(text) <= MAX_EMAIL_CHARACTERS and is_plain_text(text) and _EMAIL.fullmatch(text) is not None


def read_referral_code(text: str) -> str | None:
    """Returns a referral code as it is stored, or None where the text cannot be one.

    Args:
        text: What a person typed; case does not matter, and O, I, L are read as the digits they look like
            (Crockford's base 32, https://www.crockford.com/base32.html).
    """
    code = text.strip().upper().translate(_MISREAD)
    return code if _REFERRAL_CODE.fullmatch(code) else None


def mask_phone(phone: str) -> str:
    """Returns a phone number of which hardly anything is left: `+7********67`.

    With the prefix of the operator 100,000 numbers would fit, few enough to try them all by BatchCreateUsers.

    Args:
        phone: E.164; may be empty.
    """
    return phone[:2] + "*" * (len(phone) - 4) + phone[-2:] if len(phone) > 7 else "*" * len(phone)
