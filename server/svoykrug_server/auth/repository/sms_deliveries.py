"""All SQL about what became of SMS: what providers say of them, and what support is told."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.auth.sms.model import (
    Attempt,
    Delivery,
    DeliveryState,
    TakenSms,
    Template,
    TracedSms,
)
from svoykrug_server.storage.postgres import Transaction

# About which messages is a provider to be asked, and by this server until its lease ends?
_CLAIM = text(
    """
    UPDATE sms_messages SET status_check_count = status_check_count + 1, next_status_time = :lease_time
    WHERE message_id IN (
        SELECT message_id FROM sms_messages WHERE next_status_time <= :now AND provider = ANY(:providers)
        ORDER BY next_status_time LIMIT :most FOR UPDATE SKIP LOCKED
    )
    RETURNING message_id, provider, provider_message_id, phone, create_time, end_time, status_check_count
    """
)

# What does the provider say of the message, and when is it asked again?
_RECORD = text(
    """
    UPDATE sms_messages SET
        delivery_state = :state, delivery_failure = :failure, delivery_time = :delivery_time,
        next_status_time = :next_status_time
    WHERE message_id = :message_id
    """
)

# When is the provider asked again, having said nothing?
_ASK_AGAIN = text("UPDATE sms_messages SET next_status_time = :next_status_time WHERE message_id = :message_id")

# What became of the last SMS to this phone? (whether a code came back right is known of its challenge)
_TRACE = text(
    """
    SELECT m.message_id, m.template, m.state, m.create_time, m.end_time, m.failure, m.delivery_state,
        CASE WHEN m.delivery_state = 'expired' THEN 'expired' ELSE m.delivery_failure END AS delivery_failure,
        m.delivery_time, EXISTS (
            SELECT FROM auth_code_sends s WHERE s.challenge_id = m.challenge_id AND s.verified
        ) AS verified
    FROM sms_messages m WHERE m.phone = :phone AND m.create_time > :since
    ORDER BY m.create_time DESC, m.message_id DESC LIMIT :most
    """
)

# Which attempts were made at these messages?
_ATTEMPTS = text(
    """
    SELECT message_id, provider, attempt_time, outcome FROM sms_attempts WHERE message_id = ANY(:message_ids)
    ORDER BY attempt_id
    """
)


async def claim(
    tx: Transaction, providers: Sequence[str], now: datetime, lease_time: datetime, most: int
) -> tuple[TakenSms, ...]:
    """Takes messages to ask providers about; they are due again at `lease_time` should this server die."""
    parameters = {"providers": list(providers), "now": now, "lease_time": lease_time, "most": most}
    rows = await tx.execute(_CLAIM, parameters)
    return tuple(
        TakenSms(
            message_id=row.message_id,
            provider=row.provider,
            provider_message_id=row.provider_message_id,
            phone=row.phone,
            create_time=row.create_time,
            take_time=row.end_time,
            status_check_count=row.status_check_count,
        )
        for row in rows
    )


async def record(
    tx: Transaction, message_id: UUID, delivery: Delivery | None, now: datetime, next_status_time: datetime | None
) -> None:
    """Keeps what a provider says of a message; None where it said nothing."""
    if delivery is None:
        await tx.execute(_ASK_AGAIN, {"message_id": message_id, "next_status_time": next_status_time})
        return
    await tx.execute(
        _RECORD,
        {
            "message_id": message_id,
            "state": delivery.state.value,
            "failure": delivery.failure,
            "delivery_time": delivery.event_time or now,
            "next_status_time": next_status_time,
        },
    )


async def trace(tx: Transaction, phone: str, since: datetime, most: int) -> tuple[TracedSms, ...]:
    """Returns the last messages to a phone with their attempts, the newest first."""
    rows = (await tx.execute(_TRACE, {"phone": phone, "since": since, "most": most})).all()
    attempts: dict[UUID, list[Attempt]] = {row.message_id: [] for row in rows}
    for row in await tx.execute(_ATTEMPTS, {"message_ids": list(attempts)}):
        attempts[row.message_id].append(Attempt(row.provider, row.attempt_time, row.outcome))
    return tuple(_traced(row, attempts[row.message_id]) for row in rows)


def _traced(row: Any, attempts: Sequence[Attempt]) -> TracedSms:
    return TracedSms(
        template=Template(row.template),
        state=row.state,
        create_time=row.create_time,
        end_time=row.end_time,
        attempts=tuple(attempts),
        delivery_state=None if row.delivery_state is None else DeliveryState(row.delivery_state),
        delivery_time=row.delivery_time,
        failure=row.delivery_failure or row.failure or "",
        verified=row.verified,
    )
