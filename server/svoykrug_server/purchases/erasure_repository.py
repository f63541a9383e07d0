"""SQL of the ledger for people who were erased: their external ids become hashes, and are found by them."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from svoykrug_server.purchases.external_ids import ExternalIdHashes
from svoykrug_server.purchases.model import EntryKind, PurchaseRows, us_of_instant
from svoykrug_server.storage.personal_data import Person
from svoykrug_server.storage.postgres import Transaction

HER_ENTRIES = """kept.entry_id IN (
    SELECT entry_id FROM purchase_entries WHERE member_id = :member_id AND kind = 1
    UNION ALL
    SELECT given.entry_id FROM purchase_entries AS bought
    JOIN purchase_entries AS given ON given.purchase_id = bought.entry_id AND given.kind <> 1
    WHERE bought.member_id = :member_id AND bought.kind = 1
)"""
"""Which entries are hers: each step by an index."""

# Does nobody write to the ledger until the transaction ends? (whoever has looked a member up writes before, or looks
# again after; a lock that cannot be had soon is asked for again later, so that purchases never wait long)
_PATIENCE = text("SET LOCAL lock_timeout = '500ms'")
_LOCK_LEDGER = text("LOCK TABLE purchase_entries IN EXCLUSIVE MODE")

# Which of a member's entries have an external id?
_WITH_EXTERNAL_ID = text(
    f"SELECT entry_id, business_id, external_id FROM purchase_entries AS kept "  # noqa: S608 - constants only
    f"WHERE {HER_ENTRIES} AND external_id IS NOT NULL"
)

# Which hashes stand for the external ids of these entries?
_HASH = text(
    """
    UPDATE purchase_entries SET external_id = NULL, external_id_hash = hashed.hash
    FROM unnest(CAST(:entry_ids AS uuid[]), CAST(:hashes AS bytea[])) AS hashed (entry_id, hash)
    WHERE purchase_entries.entry_id = hashed.entry_id
    """
)

# Which of these hashes stand for an entry of this business, and what is it?
_FIND = text(
    """
    SELECT external_id_hash, kind, amount_minor, currency_code, purchase_time FROM purchase_entries
    WHERE business_id = :business_id AND external_id_hash = ANY(CAST(:hashes AS bytea[]))
    """
)


@dataclass(frozen=True, slots=True)
class ErasedRows:
    """Rows that were written down once for a member who has been erased since.

    Attributes:
        duplicates: The positions of those that say the same as then.
        conflicts: The positions of those that say something else.
    """

    duplicates: frozenset[int] = frozenset()
    conflicts: frozenset[int] = frozenset()


class LedgerErasure:
    """Takes people out of the ledger, and finds what they left.

    Args:
        hashes: Makes the hashes.
    """

    def __init__(self, hashes: ExternalIdHashes) -> None:
        self._hashes = hashes

    async def erase(self, tx: Transaction, person: Person) -> int:
        """Puts hashes in place of a member's external ids; nobody else writes to the ledger until the end of `tx`.

        Returns:
            How many entries it was.
        """
        await tx.execute(_PATIENCE)
        await tx.execute(_LOCK_LEDGER)
        rows = (await tx.execute(_WITH_EXTERNAL_ID, {"member_id": person.member_id})).all()
        hashes = [self._hashes.of(row.business_id, row.external_id) for row in rows]
        if rows:
            await tx.execute(_HASH, {"entry_ids": [row.entry_id for row in rows], "hashes": hashes})
        return len(rows)

    async def known(self, tx: Transaction, business_id: UUID, rows: PurchaseRows, currency_code: str) -> ErasedRows:
        """Returns which rows were written down for members who have been erased."""
        positions: dict[bytes, list[int]] = defaultdict(list)
        for position, external_id in enumerate(rows.external_ids):
            for hashed in self._hashes.possible(business_id, external_id):
                positions[hashed].append(position)
        found = await tx.execute(_FIND, {"business_id": business_id, "hashes": list(positions)})
        same = {
            position: _same(entry, rows, position, currency_code)
            for entry in found
            for position in positions[entry.external_id_hash]
        }
        return ErasedRows(
            duplicates=frozenset(position for position in same if same[position]),
            conflicts=frozenset(position for position in same if not same[position]),
        )


def _same(entry: Row[Any], rows: PurchaseRows, position: int, currency_code: str) -> bool:
    """Tells whether a row is the purchase that an entry is; who bought is no longer known."""
    said = (EntryKind.PURCHASE, rows.amounts_minor[position], currency_code, rows.times_us[position])
    return said == (entry.kind, entry.amount_minor, entry.currency_code, us_of_instant(entry.purchase_time))
