"""All SQL about the queue of SMS."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from svoykrug_server.auth.sms.model import Attempt, QueuedSms, SmsReceipt, Template
from svoykrug_server.storage.postgres import Transaction

# What is to be sent? (once for each idempotency key)
_ENQUEUE = text(
    """
    INSERT INTO sms_messages (
        message_id, idempotency_key, phone, template, challenge_id, locale, state, create_time, next_attempt_time,
        expire_time
    ) VALUES (
        :message_id, :idempotency_key, :phone, :template, :challenge_id, :locale, 'queued', :now, :now, :expire_time
    ) ON CONFLICT (idempotency_key) DO NOTHING
    """
)

# Which messages are due, and become this worker's until its lease ends?
_CLAIM = text(
    """
    UPDATE sms_messages SET attempt_count = attempt_count + 1, next_attempt_time = :lease_time
    WHERE message_id IN (
        SELECT message_id FROM sms_messages WHERE state = 'queued' AND next_attempt_time <= :now
        ORDER BY next_attempt_time LIMIT :most FOR UPDATE SKIP LOCKED
    )
    RETURNING message_id, idempotency_key, phone, template, challenge_id, locale, expire_time, attempt_count,
        doubt_count, (
        SELECT c.pepper_kid FROM auth_challenges c WHERE c.challenge_id = sms_messages.challenge_id
    ) AS pepper_kid
    """
)

# Is the message still there, and stays until this transaction ends? (she may have been erased meanwhile)
_LOCK = text("SELECT message_id FROM sms_messages WHERE message_id = :message_id FOR UPDATE")

# Which attempts were made at the message?
_RECORD_ATTEMPTS = text(
    """
    INSERT INTO sms_attempts (message_id, provider, attempt_time, outcome)
    VALUES (:message_id, :provider, :attempt_time, :outcome)
    """
)

# How many attempts may have reached her although nobody said so?
_RECORD_DOUBTS = text("UPDATE sms_messages SET doubt_count = :doubt_count WHERE message_id = :message_id")

# Who took the message, and when are they asked what became of it?
_SENT = text(
    """
    UPDATE sms_messages
    SET state = 'sent', end_time = :now, provider = :provider, provider_message_id = :provider_message_id,
        failure = NULL, next_status_time = :next_status_time
    WHERE message_id = :message_id
    """
)

# When is it tried again, after which failure?
_RETRY = text(
    """
    UPDATE sms_messages SET next_attempt_time = :next_attempt_time, failure = :failure
    WHERE message_id = :message_id AND state = 'queued'
    """
)

# Why was it given up?
_END = text(
    """
    UPDATE sms_messages SET state = :state, end_time = :now, failure = :failure
    WHERE message_id = :message_id AND state = 'queued'
    """
)

# Which messages are so old that nobody asks about them? (they hold phones; none of them waits that long)
_FORGET = text("DELETE FROM sms_messages WHERE create_time < :before")


async def enqueue(tx: Transaction, message: QueuedSms, now: datetime) -> None:
    """Puts a message into the queue, in the transaction of what it tells of; once for each idempotency key."""
    await tx.execute(
        _ENQUEUE,
        {
            "message_id": message.message_id,
            "idempotency_key": message.idempotency_key,
            "phone": message.phone,
            "template": message.template.value,
            "challenge_id": message.challenge_id,
            "locale": message.locale,
            "now": now,
            "expire_time": message.expire_time,
        },
    )


async def claim(tx: Transaction, now: datetime, lease_time: datetime, most: int) -> tuple[QueuedSms, ...]:
    """Takes messages that are due; they are due again at `lease_time` should this worker die."""
    rows = await tx.execute(_CLAIM, {"now": now, "lease_time": lease_time, "most": most})
    return tuple(_message(row) for row in rows)


async def lock(tx: Transaction, message: QueuedSms) -> bool:
    """Keeps a message until the transaction ends, and tells whether it is still there."""
    return (await tx.execute(_LOCK, {"message_id": message.message_id})).one_or_none() is not None


async def record_attempts(tx: Transaction, message: QueuedSms, attempts: Sequence[Attempt], doubt_count: int) -> None:
    """Remembers the attempts of one round."""
    await tx.execute(
        _RECORD_ATTEMPTS,
        [
            {
                "message_id": message.message_id,
                "provider": attempt.provider,
                "attempt_time": attempt.attempt_time,
                "outcome": attempt.outcome,
            }
            for attempt in attempts
        ],
    )
    if doubt_count != message.doubt_count:
        await tx.execute(_RECORD_DOUBTS, {"message_id": message.message_id, "doubt_count": doubt_count})


async def sent(
    tx: Transaction, message: QueuedSms, receipt: SmsReceipt, now: datetime, next_status_time: datetime | None
) -> None:
    """Remembers who took a message, and when they are asked what became of it: None where they say nothing."""
    await tx.execute(
        _SENT,
        {
            "message_id": message.message_id,
            "provider": receipt.provider,
            "provider_message_id": receipt.provider_message_id,
            "now": now,
            "next_status_time": next_status_time,
        },
    )


async def retry(tx: Transaction, message: QueuedSms, failure: str, next_attempt_time: datetime) -> None:
    """Lets a message be tried again later."""
    values = {"message_id": message.message_id, "failure": failure, "next_attempt_time": next_attempt_time}
    await tx.execute(_RETRY, values)


async def end(tx: Transaction, message: QueuedSms, state: str, failure: str, now: datetime) -> None:
    """Gives a message up: `failed` or `expired`."""
    await tx.execute(_END, {"message_id": message.message_id, "state": state, "failure": failure, "now": now})


async def forget(tx: Transaction, before: datetime) -> int:
    """Deletes messages made before an instant, and returns how many there were."""
    return (await tx.execute(_FORGET, {"before": before})).rowcount


def _message(row: Any) -> QueuedSms:
    return QueuedSms(
        message_id=row.message_id,
        idempotency_key=row.idempotency_key,
        phone=row.phone,
        template=Template(row.template),
        challenge_id=row.challenge_id,
        locale=row.locale,
        expire_time=row.expire_time,
        pepper_kid=row.pepper_kid,
        attempt_count=row.attempt_count,
        doubt_count=row.doubt_count,
    )
