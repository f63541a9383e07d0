"""What users and audit events are listed by, and what admins change of users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Role
from svoykrug_server.users.model import ProfileChange, Tier, User

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
END = datetime(9999, 12, 31, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_ID = UUID(int=0)

Position = tuple[datetime, UUID]
"""Where something stands in a list, the newest first: its time and its id."""


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which users a list holds: those for whom everything said here is true.

    Attributes:
        phone: A phone in any spelling, or its last digits; empty for any.
        name: A name, its beginning, or something like it; empty for any.
        tiers: One of these tiers, in order and each once; empty for any.
        roles: At least one of these roles, in order and each once; empty for any.
        states: One of these states, in order and each once; empty for all but deleted.
        created_from: Created then or later; None for any.
        created_until: Created before; None for any.
    """

    phone: str = ""
    name: str = ""
    tiers: tuple[Tier, ...] = ()
    roles: tuple[Role, ...] = ()
    states: tuple[AccountStatus, ...] = ()
    created_from: datetime | None = None
    created_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class PhoneQuery:
    """A phone to search for.

    Attributes:
        whole: The number in E.164 that the text spells; None when it spells none.
        ending: The text's digits, at least 4.
    """

    whole: str | None
    ending: str


@dataclass(frozen=True, slots=True)
class NameWord:
    """A word of a name to search for, in Latin letters.

    Attributes:
        spelling: Letter by letter.
        loose: What its usual spellings have in common.
        alike: The words of names that are most like it, when no name has a word that begins with it.
    """

    spelling: str
    loose: str
    alike: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """A filter of users as the database is asked.

    Attributes:
        states: In one of these states.
        tiers: Of one of these tiers.
        since: Created then or later.
        roles: At least one of these roles, all of which only few have; empty for any.
        phone: With this phone; None for any.
        words: With a name that has all these words; empty for any.
    """

    states: tuple[AccountStatus, ...]
    tiers: tuple[Tier, ...]
    since: datetime
    roles: tuple[Role, ...] = ()
    phone: PhoneQuery | None = None
    words: tuple[NameWord, ...] = ()


@dataclass(frozen=True, slots=True)
class UserPage:
    """A page of users.

    Attributes:
        users: The users, the newest first.
        next_page_token: Asks for the next page; empty on the last.
    """

    users: tuple[User, ...]
    next_page_token: str


class BanReason(StrEnum):
    """Why a user is banned."""

    FRAUD = "fraud"
    ABUSE = "abuse"
    TAKEN_OVER = "taken_over"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What an admin changes of a user: fields of her profile, her phone, or both.

    Attributes:
        profile: New values of some fields of her profile; None to leave all.
        phone: Her new phone, E.164; None to leave it.

    Raises:
        ValueError: Nothing is changed.
    """

    profile: ProfileChange | None = None
    phone: str | None = None

    def __post_init__(self) -> None:
        if self.profile is None and self.phone is None:
            raise ValueError("a change names at least one field")

    def values(self) -> Mapping[str, object]:
        """Returns the new value of each named field, by its path."""
        values: dict[str, object] = {} if self.profile is None else dict(self.profile.values())
        return values if self.phone is None else {**values, "phone": self.phone}


@dataclass(frozen=True, slots=True)
class TrailFilter:
    """Which audit events a list holds: those for which everything said here is true.

    Attributes:
        actor_id: What this user or service account did; None for all.
        target_id: What was done to this; empty for all.
        actions: One of these actions, in order and each once; empty for all.
        since: At this instant or later; None for all.
        until: Before this instant; None for all.
    """

    actor_id: UUID | None = None
    target_id: str = ""
    actions: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event of the audit trail; the fields are those of `storage.audit.AuditEvent`, empty where nothing is known."""

    id: UUID
    action: str
    event_time: datetime
    actor_kind: str
    actor_id: UUID | None
    target_kind: str
    target_id: str
    refused: bool
    peer_address: str
    request_id: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of audit events.

    Attributes:
        events: The events, the newest first.
        next_page_token: Asks for the next page; empty on the last.
    """

    events: tuple[RecordedEvent, ...]
    next_page_token: str


def position_after(key: Sequence[str | int] | None, until: datetime | None) -> Position:
    """Returns where a page begins: after the page before, or at the instant that the list ends before.

    Args:
        key: The `position_key` of the last row of the page before; None for the first page.
        until: What is listed lies before this instant; None for all.
    """
    if key is None:
        return until or END, _FIRST_ID
    microseconds, row_id = key
    return _EPOCH + timedelta(microseconds=int(microseconds)), UUID(str(row_id))


def position_key(instant: datetime, row_id: UUID) -> list[str | int]:
    """Returns what a page token keeps of the last row of a page."""
    return [(instant - _EPOCH) // timedelta(microseconds=1), str(row_id)]
