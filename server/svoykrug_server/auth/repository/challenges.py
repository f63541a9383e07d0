"""All SQL about challenges, the sends of their codes, and wrong guesses."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.auth.model import Challenge, Purpose, SignInLimits
from svoykrug_server.auth.prefix_limits import AddressRecord
from svoykrug_server.storage.postgres import Transaction

# Will nobody else start or complete a sign-in with this phone, or for this address, before this transaction ends?
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")

# How does this challenge stand?
_GET = text(
    """
    SELECT challenge_id, phone, pepper_kid, create_time, expire_time, wrong_guess_count,
        consume_time, consume_request_id, session_id, new_user, purpose, user_id, revoked_count, demo
    FROM auth_challenges WHERE challenge_id = :challenge_id
    """
)

# What is the new challenge?
_INSERT = text(
    """
    INSERT INTO auth_challenges (challenge_id, phone, pepper_kid, create_time, expire_time, purpose, user_id, demo)
    VALUES (:challenge_id, :phone, :pepper_kid, :create_time, :expire_time, :purpose, :user_id, :demo)
    """
)

# Is the challenge's code still good, so that this answer uses it up?
_CONSUME = text(
    """
    UPDATE auth_challenges
    SET consume_time = :now, consume_request_id = :request_id, session_id = :session_id, new_user = :new_user,
        revoked_count = :revoked_count
    WHERE challenge_id = :challenge_id AND consume_time IS NULL AND expire_time > :now AND wrong_guess_count < :guesses
    RETURNING challenge_id
    """
)

# Which codes of this phone end before their time?
_END_OPEN = text(
    """
    UPDATE auth_challenges SET expire_time = :now
    WHERE phone = :phone AND expire_time > :now AND consume_time IS NULL
    """
)

# Which open codes of this demo phone are too many?
_TRIM_DEMO = text(
    """
    DELETE FROM auth_challenges WHERE challenge_id IN (
        SELECT challenge_id FROM auth_challenges
        WHERE phone = :phone AND demo AND expire_time > :now AND consume_time IS NULL
        ORDER BY create_time DESC, challenge_id OFFSET :most
    )
    """
)

# Does the challenge bear another wrong guess, and how many has it borne now?
_COUNT_WRONG_GUESS = text(
    """
    UPDATE auth_challenges SET wrong_guess_count = wrong_guess_count + 1
    WHERE challenge_id = :challenge_id AND wrong_guess_count < :guesses
    RETURNING wrong_guess_count
    """
)

# When was a wrong guess made for this phone?
_INSERT_WRONG_GUESS = text("INSERT INTO auth_wrong_guesses (phone, guess_time) VALUES (:phone, :now)")

# When were the last wrong guesses for this phone made?
_WRONG_GUESSES = text(
    """
    SELECT guess_time FROM auth_wrong_guesses WHERE phone = :phone AND guess_time > :since
    ORDER BY guess_time DESC LIMIT :most
    """
)

# To which phone and country was a code sent, and for which address?
_INSERT_SEND = text(
    """
    INSERT INTO auth_code_sends (challenge_id, phone, address, prefix, send_time)
    VALUES (:challenge_id, :phone, :address, :prefix, :now)
    RETURNING send_id
    """
)

# When were the last codes sent to this phone?
_PHONE_SENDS = text(
    """
    SELECT send_time FROM auth_code_sends WHERE phone = :phone AND send_time > :since
    ORDER BY send_time DESC LIMIT :most
    """
)

# When was the send made that fills an address's count?
_NTH_ADDRESS_SEND = text(
    """
    SELECT send_time FROM auth_code_sends WHERE address = :address AND send_time > :since
    ORDER BY send_time DESC OFFSET :before LIMIT 1
    """
)

# How many of an address's last sends were there, how many came back right, and when was the last?
_ADDRESS_RECORD = text(
    """
    SELECT count(*) AS sends, count(*) FILTER (WHERE verified) AS verified, max(send_time) AS last_send_time FROM (
        SELECT verified, send_time FROM auth_code_sends WHERE address = :address ORDER BY send_time DESC LIMIT :window
    ) AS last
    """
)

# Which sends led to the right code?
_MARK_VERIFIED = text("UPDATE auth_code_sends SET verified = true WHERE challenge_id = :challenge_id AND NOT verified")

# Which challenges, sends and guesses are too old to count for anything?
_FORGET = (
    text("DELETE FROM auth_challenges WHERE expire_time < :before"),
    text("DELETE FROM auth_code_sends WHERE send_time < :before"),
    text("DELETE FROM auth_wrong_guesses WHERE guess_time < :before"),
)


@dataclass(frozen=True, slots=True)
class SendHistory:
    """What was sent before, as far as the limits look.

    Attributes:
        phone_send_times: The last sends to the phone within 24 hours, the latest first; at most the day's limit.
        address_full_time: The send that fills the address's hour; None while the hour is not full.
        address_record: How the last sends for the address fared.
    """

    phone_send_times: tuple[datetime, ...]
    address_full_time: datetime | None
    address_record: AddressRecord


async def lock_phone(tx: Transaction, phone: str) -> None:
    """Makes sign-ins with one phone wait for each other until the transaction ends."""
    await tx.execute(_LOCK, {"name": f"auth phone {phone}"})


async def lock_address(tx: Transaction, address: str) -> None:
    """Makes sends for one address wait for each other until the transaction ends; always taken after a phone's lock."""
    await tx.execute(_LOCK, {"name": f"auth address {address}"})


async def get(tx: Transaction, challenge_id: UUID) -> Challenge | None:
    """Returns a challenge, or None."""
    row = (await tx.execute(_GET, {"challenge_id": challenge_id})).one_or_none()
    return None if row is None else _challenge(row)


async def get_locked(tx: Transaction, challenge_id: UUID) -> Challenge | None:
    """Returns a challenge as it stands once no other sign-in with its phone is under way, or None."""
    found = await get(tx, challenge_id)
    if found is None:
        return None
    await lock_phone(tx, found.phone)
    return await get(tx, challenge_id)


async def insert(tx: Transaction, challenge: Challenge) -> None:
    """Keeps a new challenge."""
    await tx.execute(
        _INSERT,
        {
            "challenge_id": challenge.challenge_id,
            "phone": challenge.phone,
            "pepper_kid": challenge.pepper_kid,
            "create_time": challenge.create_time,
            "expire_time": challenge.expire_time,
            "purpose": challenge.purpose.value,
            "user_id": challenge.user_id,
            "demo": challenge.demo,
        },
    )


async def consume(
    tx: Transaction,
    challenge_id: UUID,
    *,
    request_id: UUID,
    guesses: int,
    now: datetime,
    session_id: UUID | None = None,
    new_user: bool = False,
    revoked_count: int | None = None,
) -> bool:
    """Uses a challenge's code up; tells whether it was still good. Of any number of answers at once, one gets True."""
    parameters = {
        "challenge_id": challenge_id,
        "request_id": request_id,
        "session_id": session_id,
        "new_user": new_user,
        "revoked_count": revoked_count,
        "guesses": guesses,
        "now": now,
    }
    return (await tx.execute(_CONSUME, parameters)).one_or_none() is not None


async def end_open(tx: Transaction, phone: str, now: datetime) -> None:
    """Ends the codes of a phone that are out; under its lock."""
    await tx.execute(_END_OPEN, {"phone": phone, "now": now})


async def trim_demo(tx: Transaction, phone: str, most: int, now: datetime) -> None:
    """Forgets the oldest open codes of a demo phone, all but so many; under its lock."""
    await tx.execute(_TRIM_DEMO, {"phone": phone, "most": most, "now": now})


async def count_wrong_guess(tx: Transaction, challenge: Challenge, guesses: int, now: datetime) -> int | None:
    """Counts a wrong guess, and returns how many are left; None where none was left to judge."""
    found = await tx.execute(_COUNT_WRONG_GUESS, {"challenge_id": challenge.challenge_id, "guesses": guesses})
    count: int | None = found.scalar_one_or_none()
    if count is None:
        return None
    await tx.execute(_INSERT_WRONG_GUESS, {"phone": challenge.phone, "now": now})
    return guesses - count


async def wrong_guess_times(tx: Transaction, phone: str, since: datetime, most: int) -> tuple[datetime, ...]:
    """Returns when the last wrong guesses for a phone were made, the latest first."""
    return tuple((await tx.execute(_WRONG_GUESSES, {"phone": phone, "since": since, "most": most})).scalars())


async def record_send(tx: Transaction, challenge: Challenge, address: str, prefix: str, now: datetime) -> int:
    """Counts a send for its phone, its address and its calling code, and returns its number."""
    parameters = {
        "challenge_id": challenge.challenge_id,
        "phone": challenge.phone,
        "address": address,
        "prefix": prefix,
        "now": now,
    }
    send_id: int = (await tx.execute(_INSERT_SEND, parameters)).scalar_one()
    return send_id


async def send_history(tx: Transaction, phone: str, address: str, limits: SignInLimits, now: datetime) -> SendHistory:
    """Returns what the limits need to know of earlier sends; under both locks, so that it stays true."""
    day = {"phone": phone, "since": now - timedelta(days=1), "most": limits.sends_per_phone_day}
    times = tuple((await tx.execute(_PHONE_SENDS, day)).scalars())
    last = (await tx.execute(_ADDRESS_RECORD, {"address": address, "window": limits.verified_window})).one()
    record = AddressRecord(last.sends, last.verified, last.last_send_time)
    doubtful = record.sends >= limits.verified_window and not record.is_good
    limit = limits.sends_per_doubtful_address_hour if doubtful else limits.sends_per_address_hour
    hour = {"address": address, "since": now - timedelta(hours=1), "before": limit - 1}
    return SendHistory(times, (await tx.execute(_NTH_ADDRESS_SEND, hour)).scalar_one_or_none(), record)


async def mark_verified(tx: Transaction, challenge_id: UUID) -> None:
    """Remembers that the code of these sends came back right."""
    await tx.execute(_MARK_VERIFIED, {"challenge_id": challenge_id})


async def forget(tx: Transaction, before: datetime) -> int:
    """Deletes challenges, sends and guesses that ended before an instant, and returns how many there were."""
    return sum([(await tx.execute(statement, {"before": before})).rowcount for statement in _FORGET])


def _challenge(row: Any) -> Challenge:
    return Challenge(
        challenge_id=row.challenge_id,
        phone=row.phone,
        pepper_kid=row.pepper_kid,
        create_time=row.create_time,
        expire_time=row.expire_time,
        wrong_guess_count=row.wrong_guess_count,
        consume_time=row.consume_time,
        consume_request_id=row.consume_request_id,
        session_id=row.session_id,
        new_user=bool(row.new_user),
        purpose=Purpose(row.purpose),
        user_id=row.user_id,
        revoked_count=row.revoked_count,
        demo=row.demo,
    )
