"""All SQL about when users were last seen, and about birth dates that silent ones could not tell."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.storage.postgres import Transaction

# When was this user last seen?
_FIND = text("SELECT seen_time FROM auth_last_seen WHERE user_id = :user_id")

# When is this user seen?
_SEE = text(
    """
    INSERT INTO auth_last_seen (user_id, seen_time) VALUES (:user_id, :now)
    ON CONFLICT (user_id) DO UPDATE SET seen_time = excluded.seen_time
    """
)

# How many wrong birth dates were told of this user lately?
_COUNT_WRONG = text("SELECT count(*) FROM auth_wrong_birth_dates WHERE user_id = :user_id AND guess_time > :since")

# When was a wrong birth date told of this user?
_INSERT_WRONG = text("INSERT INTO auth_wrong_birth_dates (user_id, guess_time) VALUES (:user_id, :now)")

# Which wrong birth dates count for nothing any more?
_FORGET = text("DELETE FROM auth_wrong_birth_dates WHERE guess_time < :before")


async def find(tx: Transaction, user_id: UUID) -> datetime | None:
    """Returns when a user was last seen, exact to a day, or None for one who has never signed in."""
    found: datetime | None = (await tx.execute(_FIND, {"user_id": user_id})).scalar_one_or_none()
    return found


async def see(tx: Transaction, user_id: UUID, now: datetime) -> None:
    """Remembers that a user signs in now. A refresh does the same within the statement that rotates the token."""
    await tx.execute(_SEE, {"user_id": user_id, "now": now})


async def wrong_birth_dates(tx: Transaction, user_id: UUID, since: datetime) -> int:
    """Returns how many wrong birth dates were told of a user since an instant."""
    count: int = (await tx.execute(_COUNT_WRONG, {"user_id": user_id, "since": since})).scalar_one()
    return count


async def count_wrong_birth_date(tx: Transaction, user_id: UUID, now: datetime) -> None:
    """Counts a wrong birth date."""
    await tx.execute(_INSERT_WRONG, {"user_id": user_id, "now": now})


async def forget(tx: Transaction, before: datetime) -> int:
    """Deletes wrong birth dates told before an instant, and returns how many there were."""
    return (await tx.execute(_FORGET, {"before": before})).rowcount
