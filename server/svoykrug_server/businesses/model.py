"""What a business is, who works there, and what may be asked of one."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from svoykrug_server.kit.caller import StaffRole
from svoykrug_server.kit.names import has_hidden_characters

MAX_NAME_CHARACTERS = 200
DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
MAX_STAFF = 1_000
MAX_BUSINESSES_OF_A_PERSON = 50
"""Her access token names each of them, and must fit into the metadata of a call."""


class Category(StrEnum):
    """What a business sells."""

    BEAUTY = "beauty"
    COSMETOLOGY = "cosmetology"
    DENTAL = "dental"
    MEDICAL = "medical"
    GASTRONOMY = "gastronomy"
    FLORISTRY = "floristry"
    OPTICS = "optics"
    TEXTILE = "textile"
    LEGAL = "legal"


ALWAYS_SENSITIVE = frozenset({Category.DENTAL, Category.MEDICAL})
"""Medical secrecy: a business of these categories is sensitive whatever anybody says."""


class BusinessStatus(StrEnum):
    """Whether a business takes purchases."""

    ACTIVE = "active"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class NewBusiness:
    """A business to create.

    Attributes:
        name: 1 to 200 characters; unique in the circle, whatever the case.
        category: What it sells.
        sensitive: Whether its purchases are a secret though its category does not demand it.

    Raises:
        ValueError: The name is empty, too long, or holds a hidden character.
    """

    name: str
    category: Category
    sensitive: bool = False

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError("a name has 1 to 200 characters, and none that hides")

    @property
    def is_sensitive(self) -> bool:
        """Whether its purchases are a secret, asked for or demanded by the category."""
        return self.sensitive or self.category in ALWAYS_SENSITIVE


@dataclass(frozen=True, slots=True)
class Business:
    """A partner that sells to members.

    Attributes:
        id: A UUID of version 7.
        name: 1 to 200 characters; unique in the circle, whatever the case.
        category: What it sells.
        sensitive: Whether its purchases tell no other business anything; never changes.
        status: Whether it takes purchases.
        version: Grows by one at each change.
        create_time: When it joined; aware.
        update_time: When it last changed; aware.

    Raises:
        ValueError: The name is none, or a dental or medical business is not sensitive.
    """

    id: UUID
    name: str
    category: Category
    sensitive: bool
    status: BusinessStatus
    version: int
    create_time: datetime
    update_time: datetime

    def __post_init__(self) -> None:
        if not _is_kept_name(self.name):
            raise ValueError("a name has 1 to 200 characters, and none that hides")
        if self.category in ALWAYS_SENSITIVE and not self.sensitive:
            raise ValueError("dental and medical businesses are sensitive")

    @property
    def etag(self) -> str:
        """Names this state of the business; another state has another."""
        return str(self.version)


class BusinessField(StrEnum):
    """A field of a business that may be changed, by its path in the resource."""

    NAME = "name"
    CATEGORY = "category"


@dataclass(frozen=True, slots=True)
class BusinessChange:
    """New values of some fields of a business; None where a field stays.

    Attributes:
        name: 1 to 200 characters.
        category: What it sells.

    Raises:
        ValueError: No field is named, or the name is none.
    """

    name: str | None = None
    category: Category | None = None

    def __post_init__(self) -> None:
        if self.name is None and self.category is None:
            raise ValueError("a change names at least one field")
        if self.name is not None and not is_name(self.name):
            raise ValueError("a name has 1 to 200 characters, and none that hides")

    def values(self) -> dict[str, str]:
        """Returns the new value of each named field, by its path."""
        named = {BusinessField.NAME: self.name, BusinessField.CATEGORY: self.category}
        return {field.value: str(value) for field, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class StaffMember:
    """A person who works at a business.

    Attributes:
        user_id: The user.
        role: What she is there.
        display_name: The name she goes by; may be empty.
        create_time: When she was added; aware.
    """

    user_id: UUID
    role: StaffRole
    display_name: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class BusinessPage:
    """Some businesses by name.

    Attributes:
        businesses: At most a page.
        next_page_token: Asks for the next page; empty on the last.
    """

    businesses: tuple[Business, ...]
    next_page_token: str


def is_name(text: str) -> bool:
    """Tells whether a text can name a business from now on: 1 to 200 characters, not only blanks, none that hides."""
    return _is_kept_name(text) and not has_hidden_characters(text)


def _is_kept_name(text: str) -> bool:
    """Tells the same of a name that was given before hidden characters were refused: no control characters."""
    return (
        1 <= len(text) <= MAX_NAME_CHARACTERS
        and bool(text.strip())
        and not any(unicodedata.category(character) == "Cc" for character in text)
    )
