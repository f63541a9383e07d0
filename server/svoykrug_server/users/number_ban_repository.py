"""SQL of banned numbers, which are kept as keyed hashes."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.storage.postgres import Transaction

# Whose number is banned until when? (a ban that stands already is not prolonged)
_ADD = text(
    """
    INSERT INTO number_bans (user_id, number_hash, expire_time) VALUES (:user_id, :number_hash, :expire_time)
    ON CONFLICT (user_id) DO NOTHING
    """
)

# Whose ban keeps this number out? (one hash for each secret that it may have been made with)
_FIND = text(
    "SELECT user_id FROM number_bans WHERE number_hash = ANY (CAST(:hashes AS bytea[])) AND expire_time > :now LIMIT 1"
)

# Is this user's number banned?
_STANDS = text("SELECT EXISTS (SELECT FROM number_bans WHERE user_id = :user_id AND expire_time > :now)")

# Was this user's number banned until now?
_LIFT = text("DELETE FROM number_bans WHERE user_id = :user_id")

# Which bans are over?
_FORGET = text("DELETE FROM number_bans WHERE expire_time <= :now")


async def add(tx: Transaction, user_id: UUID, number_hash: bytes, expire_time: datetime) -> bool:
    """Bans a user's number, and tells whether it was not banned before."""
    values = {"user_id": user_id, "number_hash": number_hash, "expire_time": expire_time}
    return (await tx.execute(_ADD, values)).rowcount > 0


async def find(tx: Transaction, hashes: Sequence[bytes], now: datetime) -> UUID | None:
    """Returns whose ban keeps a number out, or None."""
    found: UUID | None = (await tx.execute(_FIND, {"hashes": list(hashes), "now": now})).scalar_one_or_none()
    return found


async def stands(tx: Transaction, user_id: UUID, now: datetime) -> bool:
    """Tells whether a user's number is banned."""
    return bool((await tx.execute(_STANDS, {"user_id": user_id, "now": now})).scalar())


async def lift(tx: Transaction, user_id: UUID) -> bool:
    """Lifts the ban of a user's number, and tells whether there was one."""
    return (await tx.execute(_LIFT, {"user_id": user_id})).rowcount > 0


async def forget(tx: Transaction, now: datetime) -> None:
    """Deletes the bans that are over."""
    await tx.execute(_FORGET, {"now": now})
