"""Answers kept for repeated requests: the same `request_id` again gets the first answer.

A use case claims the request id at the start of its transaction and remembers its answer at the end of the same one:

    async with postgres.transaction() as tx:
        replay = await idempotency.claim(tx, key, clock.now())
        if replay is not None:
            return purchase_from_answer(replay)
        ...
        await idempotency.remember(tx, key, answer_of(purchase))

Two calls with one id at the same time: the second waits in `claim` until the first commits, then gets its answer; if
the first rolls back, the second does the work. Records live 7 days.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, null, select, update
from sqlalchemy.dialects.postgresql import insert

from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.storage.postgres import Transaction
from svoykrug_server.storage.schema.audit import idempotency_records

KEPT_DAYS = 7

Answer = dict[str, Any]
"""What a use case needs to give its first answer again: JSON values only, and no secret."""


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Which request this is.

    Attributes:
        subject: Who calls: the user's or service account's id, or the challenge's for a sign-in.
        method: The method's full name, such as `/svoykrug.purchases.v1.PurchasesService/RecordPurchase`.
        request_id: What the caller chose.
        request_hash: 32 bytes that tell this request's body from another's: see `hash_of`.
    """

    subject: str
    method: str
    request_id: UUID
    request_hash: bytes


def hash_of(body: Mapping[str, Any]) -> bytes:
    """Returns the SHA-256 of a request's body, independent of the order of its keys.

    Args:
        body: Everything in the request that matters, as JSON values, UUIDs, dates or instants.
    """
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str, separators=(",", ":")).encode()).digest()


async def claim(tx: Transaction, key: RequestKey, now: datetime) -> Answer | None:
    """Returns the first answer of a repeated request, or None when the work is to be done now.

    Raises:
        InvalidFields: REQUEST_ID_REUSED, the id was used with another body.
    """
    record = idempotency_records
    expired = record.c.created_time < now - timedelta(days=KEPT_DAYS)
    fresh = {"request_hash": key.request_hash, "answer": null(), "created_time": now}
    # Is this the first request with this id, or the first since the record expired?
    claimed = await tx.execute(
        insert(record)
        .values(subject=key.subject, method=key.method, request_id=key.request_id, **fresh)
        .on_conflict_do_update(index_elements=list(record.primary_key), set_=fresh, where=expired)
        .returning(record.c.request_id)
    )
    if claimed.first() is not None:
        return None
    # What was asked and answered the first time?
    found = await tx.execute(select(record.c.request_hash, record.c.answer).where(*_is(key)))
    row = found.one()
    if row.request_hash != key.request_hash:
        raise InvalidFields.of("request_id", "was used for a different request", "REQUEST_ID_REUSED")
    answer: Answer = row.answer or {}
    return answer


async def remember(tx: Transaction, key: RequestKey, answer: Mapping[str, Any]) -> None:
    """Keeps the answer of a claimed request, in the transaction that claimed it."""
    # What was the first answer?
    await tx.execute(update(idempotency_records).where(*_is(key)).values(answer=dict(answer)))


async def forget_expired(tx: Transaction, now: datetime) -> int:
    """Deletes the records older than 7 days and returns how many there were."""
    # Which answers need not be kept any more?
    gone = await tx.execute(
        delete(idempotency_records).where(idempotency_records.c.created_time < now - timedelta(days=KEPT_DAYS))
    )
    return gone.rowcount


def _is(key: RequestKey) -> tuple[Any, ...]:
    record = idempotency_records.c
    return (record.subject == key.subject, record.method == key.method, record.request_id == key.request_id)
