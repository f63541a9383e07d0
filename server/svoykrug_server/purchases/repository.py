"""SQL that reads purchases."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from svoykrug_server.purchases.external_ids import ExternalIdHashes
from svoykrug_server.purchases.model import Purchase, Refund
from svoykrug_server.storage.postgres import ReadConnection

_COLUMNS = """
    entry.entry_id, entry.business_id, entry.external_id, entry.amount_minor, entry.currency_code, entry.purchase_time,
    outbox.record_time, (
        SELECT coalesce(-sum(given.amount_minor), 0)::bigint FROM purchase_entries AS given
        WHERE given.purchase_id = entry.entry_id AND given.kind <> 1
    ) AS refunded_minor
"""
_WITH_BUYER = f"""
    SELECT {_COLUMNS}, buyer.user_id
    FROM purchase_entries AS entry
    JOIN outbox USING (outbox_id)
    LEFT JOIN (
        SELECT links.member_id, links.user_id FROM member_links AS links
        JOIN users ON users.id = links.user_id AND users.status <> 'deleted'
    ) AS buyer USING (member_id)
"""  # noqa: S608 - constants only

# What is this purchase of a business? (by its id; by its id at the business, or a hash that stands for that)
_GET = f"{_WITH_BUYER} WHERE entry.business_id = $1 AND entry.entry_id = $2 AND entry.kind = 1"
_GET_BY_EXTERNAL_ID = f"{_WITH_BUYER} WHERE entry.business_id = $1 AND entry.external_id = $2 AND entry.kind = 1"
_GET_BY_HASH = f"{_WITH_BUYER} WHERE entry.business_id = $1 AND entry.external_id_hash = ANY($2) AND entry.kind = 1"

# What has been given back for this purchase, the oldest first?
_REFUNDS = """
    SELECT entry.entry_id, entry.purchase_id, entry.external_id, -entry.amount_minor AS amount_minor,
        entry.purchase_time, outbox.record_time
    FROM purchase_entries AS entry JOIN outbox USING (outbox_id)
    WHERE entry.purchase_id = $1 AND entry.kind = 2
    ORDER BY entry.purchase_time, outbox_id
"""

# What did this user buy before a place in the list, the latest first?
_OF_USER = f"""
    SELECT {_COLUMNS}
    FROM purchase_entries AS entry JOIN outbox USING (outbox_id)
    WHERE entry.member_id = (SELECT member_id FROM member_links WHERE user_id = $1) AND entry.kind = 1
        AND (entry.purchase_time, entry.entry_id) < ($2, $3)
    ORDER BY entry.purchase_time DESC, entry.entry_id DESC LIMIT $4
"""  # noqa: S608 - constants only

# What did this business sell before a place in the list, the latest first?
_OF_BUSINESS = f"""
    {_WITH_BUYER}
    WHERE entry.business_id = $1 AND entry.kind = 1 AND (entry.purchase_time, entry.entry_id) < ($2, $3)
    ORDER BY entry.purchase_time DESC, entry.entry_id DESC LIMIT $4
"""


class PurchaseRepository:
    """Reads purchases that are committed.

    Args:
        hashes: What stands for the external ids of members who have been erased.
    """

    def __init__(self, hashes: ExternalIdHashes) -> None:
        self._hashes = hashes

    async def get(self, connection: ReadConnection, business_id: UUID, purchase_id: UUID) -> Purchase | None:
        """Returns a purchase of a business with its refunds, or None."""
        row = await connection.fetchrow(_GET, business_id, purchase_id)
        return await self._with_refunds(connection, row)

    async def get_by_external_id(
        self, connection: ReadConnection, business_id: UUID, external_id: str
    ) -> Purchase | None:
        """Returns a purchase by its id at the business with its refunds, or None."""
        row = await connection.fetchrow(_GET_BY_EXTERNAL_ID, business_id, external_id)
        if row is None:
            hashes = list(self._hashes.possible(business_id, external_id))
            row = await connection.fetchrow(_GET_BY_HASH, business_id, hashes)
        return await self._with_refunds(connection, row)

    async def of_user(
        self, connection: ReadConnection, user_id: UUID, before: tuple[datetime, UUID], limit: int
    ) -> Sequence[Purchase]:
        """Returns what a user bought before a place in the list, the latest first, without single refunds."""
        rows = await connection.fetch(_OF_USER, user_id, *before, limit)
        return [_purchase(row, user_id) for row in rows]

    async def of_business(
        self, connection: ReadConnection, business_id: UUID, before: tuple[datetime, UUID], limit: int
    ) -> Sequence[Purchase]:
        """Returns what a business sold before a place in the list, the latest first, without single refunds."""
        rows = await connection.fetch(_OF_BUSINESS, business_id, *before, limit)
        return [_purchase(row, row["user_id"]) for row in rows]

    async def _with_refunds(self, connection: ReadConnection, row: asyncpg.Record | None) -> Purchase | None:
        if row is None:
            return None
        refunds: list[Refund] = []
        if row["refunded_minor"]:
            refunds = [_refund(given) for given in await connection.fetch(_REFUNDS, row["entry_id"])]
        return _purchase(row, row["user_id"], tuple(refunds))


def _purchase(row: asyncpg.Record, user_id: UUID | None, refunds: tuple[Refund, ...] = ()) -> Purchase:
    return Purchase(
        id=row["entry_id"],
        business_id=row["business_id"],
        user_id=user_id,
        external_id=row["external_id"] or "",
        amount_minor=row["amount_minor"],
        currency_code=row["currency_code"],
        refunded_minor=row["refunded_minor"],
        purchase_time=row["purchase_time"],
        create_time=row["record_time"],
        refunds=refunds,
    )


def _refund(row: asyncpg.Record) -> Refund:
    return Refund(
        id=row["entry_id"],
        purchase_id=row["purchase_id"],
        external_id=row["external_id"] or "",
        amount_minor=row["amount_minor"],
        refund_time=row["purchase_time"],
        create_time=row["record_time"],
    )
