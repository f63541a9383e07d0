"""SQL that writes refunds. Everything happens in the caller's transaction."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, TextClause, text

from svoykrug_server.purchases.external_ids import ExternalIdHashes
from svoykrug_server.purchases.model import EntryKind, NewRefund
from svoykrug_server.storage.postgres import Transaction

_PURCHASE_TO_REFUND = """
    SELECT entry_id, member_id, amount_minor, currency_code, purchase_time, sensitive,
        external_id_hash IS NOT NULL AS erased
    FROM purchase_entries
    WHERE business_id = :business_id AND kind = 1 AND {key} FOR NO KEY UPDATE
"""

# What is to be refunded, and will nobody else refund it before this transaction ends? (by its id; by its id at the
# business, and by what stands for that)
_LOCK_BY_ID = text(_PURCHASE_TO_REFUND.format(key="entry_id = :key"))
_LOCK_BY_EXTERNAL_ID = text(_PURCHASE_TO_REFUND.format(key="external_id = :key"))
_LOCK_BY_HASH = text(_PURCHASE_TO_REFUND.format(key="external_id_hash = ANY(CAST(:key AS bytea[]))"))

# What is left of this purchase?
_REFUNDABLE = text(
    """
    SELECT CAST(coalesce(sum(amount_minor), 0) AS bigint) FROM purchase_entries
    WHERE entry_id = :purchase_id OR purchase_id = :purchase_id AND kind <> 1
    """
)

_ENTRY = """
    SELECT entry_id, purchase_id, kind, amount_minor, purchase_time FROM purchase_entries
    WHERE business_id = :business_id AND {key}
"""

# Which entry of this business has this external id? (or one of the hashes that may stand for it)
_BY_EXTERNAL_ID = text(_ENTRY.format(key="external_id = :key"))
_BY_HASH = text(_ENTRY.format(key="external_id_hash = ANY(CAST(:key AS bytea[]))"))

# Is this refund the first entry of the business with its external id?
_WRITE_REFUND = text(
    """
    INSERT INTO purchase_entries (
        entry_id, purchase_id, business_id, member_id, outbox_id, amount_minor, purchase_time, kind, sensitive,
        currency_code, external_id, external_id_hash
    )
    VALUES (
        :entry_id, :purchase_id, :business_id, :member_id, :outbox_id, :amount_minor, :purchase_time, :kind, :sensitive,
        :currency_code, :external_id, :external_id_hash
    )
    ON CONFLICT DO NOTHING
    RETURNING entry_id
    """
)


@dataclass(frozen=True, slots=True)
class RefundablePurchase:
    """A purchase that is locked until the transaction ends.

    Attributes:
        id: The purchase.
        member_id: Who bought.
        amount_minor: What was paid.
        refundable_minor: What is left of it.
        currency_code: ISO 4217.
        purchase_time: When she bought.
        sensitive: Whether the business keeps it secret.
        erased: Whether its member has been erased: nothing that leads to her may be written down then.
    """

    id: UUID
    member_id: int
    amount_minor: int
    refundable_minor: int
    currency_code: str
    purchase_time: datetime
    sensitive: bool
    erased: bool


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry of the ledger that has a given external id.

    Attributes:
        id: The entry.
        purchase_id: Its purchase.
        kind: What it is.
        amount_minor: Its signed amount.
        entry_time: When it happened.
    """

    id: UUID
    purchase_id: UUID
    kind: EntryKind
    amount_minor: int
    entry_time: datetime


class RefundRepository:
    """Writes refunds.

    Args:
        hashes: What stands for the external ids of members who have been erased.
    """

    def __init__(self, hashes: ExternalIdHashes) -> None:
        self._hashes = hashes

    async def lock_purchase(self, tx: Transaction, business_id: UUID, refund: NewRefund) -> RefundablePurchase | None:
        """Returns the purchase that a refund names, locked until the transaction ends; None when there is none."""
        row = await self._row_to_refund(tx, business_id, refund)
        if row is None:
            return None
        refundable = (await tx.execute(_REFUNDABLE, {"purchase_id": row.entry_id})).scalar_one()
        return RefundablePurchase(
            row.entry_id,
            row.member_id,
            row.amount_minor,
            refundable,
            row.currency_code,
            row.purchase_time,
            row.sensitive,
            row.erased,
        )

    async def _row_to_refund(self, tx: Transaction, business_id: UUID, refund: NewRefund) -> Row[Any] | None:
        external_id = refund.purchase_external_id
        if external_id is None:
            return await _row(tx, _LOCK_BY_ID, business_id, refund.purchase_id)
        found = await _row(tx, _LOCK_BY_EXTERNAL_ID, business_id, external_id)
        return found or await _row(tx, _LOCK_BY_HASH, business_id, self._possible_hashes(business_id, external_id))

    async def entry_by_external_id(self, tx: Transaction, business_id: UUID, external_id: str) -> FoundEntry | None:
        """Returns the entry of a business that has an external id, or None."""
        row = await _row(tx, _BY_EXTERNAL_ID, business_id, external_id)
        row = row or await _row(tx, _BY_HASH, business_id, self._possible_hashes(business_id, external_id))
        if row is None:
            return None
        return FoundEntry(row.entry_id, row.purchase_id, EntryKind(row.kind), row.amount_minor, row.purchase_time)

    async def write_refund(
        self,
        tx: Transaction,
        business_id: UUID,
        purchase: RefundablePurchase,
        refund: NewRefund,
        *,
        refund_id: UUID,
        outbox_id: int,
    ) -> bool:
        """Writes a refund; returns False when another entry has its external id."""
        written = await tx.execute(
            _WRITE_REFUND,
            {
                "entry_id": refund_id,
                "purchase_id": purchase.id,
                "business_id": business_id,
                "member_id": purchase.member_id,
                "outbox_id": outbox_id,
                "amount_minor": -refund.amount_minor,
                "purchase_time": refund.refund_time,
                "kind": EntryKind.REFUND.value,
                "sensitive": purchase.sensitive,
                "currency_code": purchase.currency_code,
                "external_id": None if purchase.erased else refund.external_id,
                "external_id_hash": self._hashes.of(business_id, refund.external_id) if purchase.erased else None,
            },
        )
        return written.one_or_none() is not None

    def _possible_hashes(self, business_id: UUID, external_id: str) -> list[bytes]:
        return list(self._hashes.possible(business_id, external_id))


async def _row(tx: Transaction, statement: TextClause, business_id: UUID, key: object) -> Row[Any] | None:
    return (await tx.execute(statement, {"business_id": business_id, "key": key})).one_or_none()
