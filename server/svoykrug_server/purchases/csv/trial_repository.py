"""A ledger that only says what would become of rows: what a dry run writes on.

The writer of purchases is the same, only its ledger is this one, so that a dry run judges exactly as the real run does.
The ledger itself is read and never locked or written: purchases go on while a large file is tried. What earlier rows of
the file would have written is kept in a table of the transaction, which goes with it.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.purchases.announcing import Announcer
from svoykrug_server.purchases.ledger_repository import INPUT, LedgerRepository, WrittenRows, columns_of
from svoykrug_server.purchases.model import PurchaseRows, SellingBusiness
from svoykrug_server.storage.postgres import Transaction

# What would this file have written so far?
_BEGIN = text(
    """
    CREATE TEMPORARY TABLE tried_purchases (
        external_id text PRIMARY KEY, member_id bigint NOT NULL, amount_minor bigint NOT NULL,
        purchase_time timestamptz NOT NULL
    ) ON COMMIT DROP
    """
)

# Which of these purchases are new, and which name nobody?
_TRY = text(
    f"""{INPUT}    , fresh AS (
        INSERT INTO tried_purchases (external_id, member_id, amount_minor, purchase_time)
        SELECT external_id, member_id, amount_minor, purchase_time FROM known
        WHERE member_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM purchase_entries AS entry
            WHERE entry.business_id = CAST(:business_id AS uuid) AND entry.external_id = known.external_id
        )
        ORDER BY position
        ON CONFLICT (external_id) DO NOTHING
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM fresh) AS recorded_count,
        ARRAY(SELECT position - 1 FROM known WHERE member_id IS NULL ORDER BY position) AS unknown_positions
    """  # noqa: S608 - constants only
)

# Which of these purchases have an external id that another entry has, or another row of the file?
_CONFLICTS = text(
    f"""{INPUT}    SELECT known.position - 1 AS position
    FROM known CROSS JOIN LATERAL (
        SELECT kind, member_id, amount_minor, currency_code, purchase_time FROM purchase_entries
        WHERE business_id = CAST(:business_id AS uuid) AND external_id = known.external_id
        UNION ALL
        SELECT 1, member_id, amount_minor, CAST(:currency_code AS text), purchase_time FROM tried_purchases
        WHERE external_id = known.external_id
        LIMIT 1
    ) AS entry
    WHERE known.member_id IS NOT NULL
        AND (entry.kind, entry.member_id, entry.amount_minor, entry.currency_code, entry.purchase_time)
            IS DISTINCT FROM (1, known.member_id, known.amount_minor, CAST(:currency_code AS text), known.purchase_time)
    ORDER BY position
    """  # noqa: S608 - constants only
)


class TrialLedger(LedgerRepository):
    """Judges purchases without writing them."""

    async def begin(self, tx: Transaction) -> None:
        """Begins a trial: the rest of the transaction is one."""
        await tx.execute(_BEGIN)

    async def lock_business(self, tx: Transaction, business_id: UUID) -> None:
        """Locks nothing: nothing is written."""

    async def write_purchases(
        self,
        tx: Transaction,
        business: SellingBusiness,
        rows: PurchaseRows,
        *,
        currency_code: str,
        outbox_id: int,  # noqa: ARG002  # the real ledger needs it
        first_id: UUID,
    ) -> WrittenRows:
        """Says what would become of the rows; the arguments are those of the real ledger."""
        values = {**columns_of(rows), "id_prefix": first_id.hex[:28], "business_id": business.id}
        tried = (await tx.execute(_TRY, values)).one()
        if tried.recorded_count + len(tried.unknown_positions) == len(rows):
            return WrittenRows(tried.recorded_count, tried.unknown_positions, ())
        conflicts = await tx.execute(_CONFLICTS, {**values, "currency_code": currency_code})
        return WrittenRows(tried.recorded_count, tried.unknown_positions, conflicts.scalars().all())

    async def keep_rejected(
        self, tx: Transaction, business_id: UUID, rows: PurchaseRows, currency_code: str, now: datetime
    ) -> None:
        """Keeps nothing."""

    async def forget_rejected(self, tx: Transaction, business_id: UUID, outbox_id: int) -> None:
        """Forgets nothing."""


class SilentAnnouncer(Announcer):
    """Tells nobody: nothing was written."""

    def __init__(self) -> None:
        """Needs nobody to tell."""

    async def written(
        self, tx: Transaction, outbox_id: int, business_id: UUID, entry_count: int, now: datetime
    ) -> None:
        """Tells nobody."""

    def committed(self) -> None:
        """Tells nobody."""
