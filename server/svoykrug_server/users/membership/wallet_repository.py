"""SQL about wallet codes and wrong guesses at them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.kit.wallet import WalletHolder
from svoykrug_server.storage.postgres import Transaction

# Which of these codes, in their order, is free and from now on this active user's, in place of one she has not used?
_MAKE = text(
    """
    INSERT INTO wallet_codes (code_hash, user_id, expire_time)
    SELECT candidates.code_hash, users.id, CAST(:expire_time AS timestamptz)
    FROM users CROSS JOIN unnest(CAST(:code_hashes AS bytea[])) WITH ORDINALITY AS candidates (code_hash, place)
    WHERE users.id = :user_id AND users.status = 'active' AND NOT EXISTS (
        SELECT FROM wallet_codes AS taken
        WHERE taken.code_hash = candidates.code_hash AND (taken.user_id <> users.id OR taken.use_time IS NOT NULL)
    )
    ORDER BY place LIMIT 1
    ON CONFLICT (user_id) WHERE use_time IS NULL
    DO UPDATE SET code_hash = excluded.code_hash, expire_time = excluded.expire_time
    RETURNING code_hash
    """
)

# Whose code is this, is it still good, and will nobody else use it before this transaction ends?
_FIND = text(
    """
    SELECT code.user_id, code.code_hash,
        code.use_time IS NULL AND code.expire_time > :now AND users.status = 'active' AS usable
    FROM wallet_codes AS code JOIN users ON users.id = code.user_id
    WHERE code.code_hash = ANY(CAST(:code_hashes AS bytea[])) FOR UPDATE OF code
    """
)

# When was this code used?
_USE = text("UPDATE wallet_codes SET use_time = :now WHERE code_hash = :code_hash")

# Does nobody else guess for this caller before this transaction ends?
_LOCK_CALLER = text("SELECT pg_advisory_xact_lock(hashtextextended('wallet_guesses ' || :caller_id, 0))")

# When did this caller make the wrong guess that fills the hour?
_FULL_SINCE = text(
    """
    SELECT guess_time FROM wallet_guesses WHERE caller_id = :caller_id AND guess_time > :since
    ORDER BY guess_time DESC OFFSET :before LIMIT 1
    """
)

# Who guessed wrong, and when?
_ADD_GUESS = text("INSERT INTO wallet_guesses (caller_id, guess_time) VALUES (:caller_id, :now)")

# Which codes are too old to answer a repeated purchase? Which guesses are too old to count?
_FORGET_CODES = text("DELETE FROM wallet_codes WHERE expire_time < :before")
_FORGET_GUESSES = text("DELETE FROM wallet_guesses WHERE guess_time < :before")


async def make(tx: Transaction, user_id: UUID, code_hashes: Sequence[bytes], expire_time: datetime) -> bytes | None:
    """Gives an active user the first of some codes that is free, in place of one she has not used.

    Returns:
        The code's hash, or None when there is no such active user, or all the codes are taken.
    """
    values = {"user_id": user_id, "code_hashes": code_hashes, "expire_time": expire_time}
    made: bytes | None = (await tx.execute(_MAKE, values)).scalar()
    return made


async def find(tx: Transaction, code_hashes: Sequence[bytes], now: datetime) -> WalletHolder | None:
    """Returns whose code has one of these hashes, one for each secret it may have been made with; None when no one's.

    Nobody else uses it before the transaction ends.
    """
    row = (await tx.execute(_FIND, {"code_hashes": code_hashes, "now": now})).one_or_none()
    return None if row is None else WalletHolder(row.user_id, row.usable, bytes(row.code_hash))


async def use(tx: Transaction, code_hash: bytes, now: datetime) -> None:
    """Uses a found code up."""
    await tx.execute(_USE, {"code_hash": code_hash, "now": now})


async def lock_caller(tx: Transaction, caller_id: UUID) -> None:
    """Makes other guesses of a caller wait until the transaction ends."""
    await tx.execute(_LOCK_CALLER, {"caller_id": str(caller_id)})


async def full_since(tx: Transaction, caller_id: UUID, since: datetime, most: int) -> datetime | None:
    """Returns when a caller made the last but `most` - 1 of the wrong guesses since an instant; None before so many."""
    values = {"caller_id": caller_id, "since": since, "before": most - 1}
    guess_time: datetime | None = (await tx.execute(_FULL_SINCE, values)).scalar()
    return guess_time


async def add_guess(tx: Transaction, caller_id: UUID, now: datetime) -> None:
    """Counts a wrong guess."""
    await tx.execute(_ADD_GUESS, {"caller_id": caller_id, "now": now})


async def forget_codes(tx: Transaction, before: datetime) -> None:
    """Deletes codes that ended before an instant."""
    await tx.execute(_FORGET_CODES, {"before": before})


async def forget_guesses(tx: Transaction, before: datetime) -> None:
    """Deletes guesses made before an instant."""
    await tx.execute(_FORGET_GUESSES, {"before": before})
