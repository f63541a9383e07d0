"""Users for tests of lists, written as they are, and a plain reading of what a list of them holds."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from uuid import UUID

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.kit.phone import parse_phone
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.administration.listing import UserListing
from svoykrug_server.users.administration.model import UserFilter
from svoykrug_server.users.model import Tier, User
from tests.callers import admin

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ONE_SOUND = str.maketrans({"э": "е", "ы": "и", "ь": "", "-": " "})
"""Letters that a search does not tell apart, beside those that differ by a mark."""
_numbers = count(9_120_000_000, 7_919)


@dataclass(frozen=True, slots=True)
class Somebody:
    """A user as a test writes her."""

    name: str = ""
    phone: str = ""
    tier: Tier = Tier.INSIDER
    roles: tuple[Role, ...] = (Role.MEMBER,)
    state: AccountStatus = AccountStatus.ACTIVE
    created: datetime = BEGAN


@dataclass(frozen=True, slots=True)
class Known:
    """A user who was written.

    Attributes:
        id: Her id.
        somebody: What she is.
    """

    id: UUID
    somebody: Somebody


async def write(postgres: Postgres, people: Iterable[Somebody]) -> list[Known]:
    """Writes users, each with a phone of her own unless it is said, and returns them in their order."""
    numbered = [replace(each, phone=each.phone or f"+7{next(_numbers)}") for each in people]
    known = [Known(uuid7(each.created), each) for each in numbered]
    rows = [
        (
            each.id,
            each.somebody.phone,
            each.somebody.name,
            each.somebody.tier.value,
            sorted(each.somebody.roles),
            each.somebody.state.value,
            f"C{each.id.int % 10**9:09}",
            each.somebody.created,
        )
        for each in known
    ]
    connection = await postgres.dedicated()
    await connection.executemany(
        "INSERT INTO users (id, phone, display_name, tier, roles, status, referral_code, create_time, update_time) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        rows,
    )
    await connection.close()
    return known


async def found(listing: UserListing, wanted: UserFilter, size: int = 500) -> list[User]:
    """Returns all users that a filter names, page by page."""
    users: list[User] = []
    token = ""
    while True:
        page = await listing.page(admin(), wanted, size=size, token=token)
        users.extend(page.users)
        token = page.next_page_token
        if not token:
            return users
        assert len(page.users) == size


def expected(crowd: Sequence[Known], wanted: UserFilter) -> list[UUID]:
    """Returns whom a filter names, the newest first: read plainly from the contract, without an index."""
    newest_first = sorted(crowd, key=lambda each: (each.somebody.created, each.id), reverse=True)
    return [each.id for each in newest_first if _is_wanted(each.somebody, wanted)]


def _is_wanted(user: Somebody, wanted: UserFilter) -> bool:
    return (
        _has_phone(user.phone, wanted.phone)
        and _has_name(user.name, wanted.name)
        and (not wanted.tiers or user.tier in wanted.tiers)
        and (not wanted.roles or bool({*wanted.roles} & {*user.roles}))
        and (user.state in wanted.states if wanted.states else user.state is not AccountStatus.DELETED)
        and (wanted.created_from is None or user.created >= wanted.created_from)
        and (wanted.created_until is None or user.created < wanted.created_until)
    )


def _has_phone(phone: str, query: str) -> bool:
    digits = "".join(filter(str.isdecimal, query))
    return not query or phone.endswith(digits) or phone == parse_phone(query)


def _has_name(name: str, query: str) -> bool:
    words = _words(name)
    return all(any(word.startswith(beginning) for word in words) for beginning in _words(query))


def _words(name: str) -> list[str]:
    letters = (each for each in unicodedata.normalize("NFD", name) if not unicodedata.combining(each))
    return "".join(letters).lower().translate(ONE_SOUND).split()
