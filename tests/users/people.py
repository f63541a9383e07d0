"""People of the circle for tests, made the way the service makes them."""

import json
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from svoykrug_server.kit.account import ConsentGrant, Joining
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.secrets import Secret, SecretName, Secrets
from svoykrug_server.users.accounts import UserAccounts
from svoykrug_server.users.number_bans import NumberBans

CONSENTS = (ConsentGrant("terms", "2026-11", granted=True), ConsentGrant("personal_data", "2026-11", granted=True))
_numbers = count(9_990_000_001)


def new_phone() -> str:
    """Returns a phone number that no other test has."""
    return f"+7{next(_numbers)}"


def number_bans() -> NumberBans:
    """Returns the bans of numbers, all made with one key."""
    return NumberBans(Secrets({SecretName.NUMBER_BAN: (Secret("1", b"k" * 32),)}), timedelta(days=180))


def accounts() -> UserAccounts:
    """Returns the accounts behind sign-in, outside of any call."""
    return UserAccounts(_no_call, number_bans())


async def join(
    postgres: Postgres,
    now: datetime,
    phone: str | None = None,
    *,
    referral_code: str = "",
    consents: tuple[ConsentGrant, ...] = CONSENTS,
) -> UUID:
    """Signs a person in for the first time and returns her user id.

    Raises:
        DomainError: She may not join.
    """
    joining = Joining(phone or new_phone(), consents, referral_code, "ru", now)
    async with postgres.transaction() as tx:
        user_id = await accounts().join(tx, joining)
    if isinstance(user_id, DomainError):
        raise user_id
    return user_id


async def audited(postgres: Postgres, target_id: UUID) -> list[tuple[str, dict[str, Any]]]:
    """Returns action and details of the audit events about something, the oldest first."""
    async with postgres.read() as connection:
        rows = await connection.fetch(
            "SELECT action, details::text FROM audit_events WHERE target_id = $1 ORDER BY event_id", str(target_id)
        )
    return [(row["action"], json.loads(row["details"])) for row in rows]


def _no_call() -> None:
    """Tells that no call is in progress."""
