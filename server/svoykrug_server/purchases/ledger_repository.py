"""SQL that writes purchases. Everything happens in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.purchases.model import PurchaseRows, SellingBusiness
from svoykrug_server.purchases.row_rules import buyer_columns
from svoykrug_server.storage.postgres import Transaction

# What must be known of this business to write down its purchases, and has it rows that wait for their member, or
# entries of members who have been erased?
_SELLING_BUSINESS = text(
    """
    SELECT id, sensitive, status = 'archived' AS archived,
        EXISTS (SELECT FROM rejected_rows WHERE business_id = businesses.id) AS has_rejected_rows,
        EXISTS (
            SELECT FROM purchase_entries WHERE business_id = businesses.id AND external_id_hash IS NOT NULL
        ) AS has_erased_entries
    FROM businesses WHERE id = :business_id
    """
)

# Does nobody else write many purchases of this business until the transaction ends? (two imports cannot then wait in a
# circle)
_LOCK_BUSINESS = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('purchase_entries ' || CAST(:business_id AS text), 0))"
)

INPUT = """
    WITH input AS MATERIALIZED (
        SELECT rows.*, CAST(CAST(:id_prefix AS text) || lpad(to_hex(rows.position), 4, '0') AS uuid) AS entry_id
        FROM unnest(
            CAST(:external_ids AS text[]), CAST(:user_ids AS uuid[]), CAST(:phones AS text[]),
            CAST(:amounts_minor AS bigint[]), CAST(:times_us AS bigint[])
        ) WITH ORDINALITY AS rows (external_id, user_id, phone, amount_minor, time_us, position)
    ), known AS MATERIALIZED (
        SELECT input.*,
            timestamptz '1970-01-01 00:00:00Z' + input.time_us * interval '1 microsecond' AS purchase_time,
            coalesce(
                (SELECT member_id FROM users JOIN member_links ON user_id = users.id WHERE phone = input.phone),
                (SELECT member_id FROM member_links WHERE user_id = input.user_id)
            ) AS member_id
        FROM input
    )
"""
"""The rows, and who bought. Subqueries, not joins: each row is looked up in the indexes however many members there are,
where a join reads all members for each batch."""

# Which of these purchases are new, and which name nobody? (ids count up from a random prefix; the first of two equal
# ids is written)
_WRITE = text(
    f"""{INPUT}    , written AS (
        INSERT INTO purchase_entries (
            entry_id, purchase_id, business_id, member_id, outbox_id, amount_minor, purchase_time, kind, sensitive,
            currency_code, external_id
        )
        SELECT entry_id, entry_id, CAST(:business_id AS uuid), member_id, CAST(:outbox_id AS bigint), amount_minor,
            purchase_time, 1, CAST(:sensitive AS boolean), CAST(:currency_code AS text), external_id
        FROM known WHERE member_id IS NOT NULL ORDER BY position
        ON CONFLICT (business_id, external_id) DO NOTHING
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM written) AS recorded_count,
        ARRAY(SELECT position - 1 FROM known WHERE member_id IS NULL ORDER BY position) AS unknown_positions
    """  # noqa: S608 - constants only
)

# Which of these purchases have an external id that another entry has? (those that are not here are there with the same
# body)
_CONFLICTS = text(
    f"""{INPUT}    SELECT known.position - 1 AS position
    FROM known CROSS JOIN LATERAL (
        SELECT * FROM purchase_entries
        WHERE business_id = CAST(:business_id AS uuid) AND external_id = known.external_id LIMIT 1
    ) AS entry
    WHERE known.member_id IS NOT NULL AND entry.entry_id <> known.entry_id
        AND (entry.kind, entry.member_id, entry.amount_minor, entry.currency_code, entry.purchase_time)
            IS DISTINCT FROM (1, known.member_id, known.amount_minor, CAST(:currency_code AS text), known.purchase_time)
    ORDER BY position
    """  # noqa: S608 - constants only
)

# Which rows wait until someone says who their member is?
_KEEP_REJECTED = text(
    """
    INSERT INTO rejected_rows (
        business_id, external_id, user_id, phone, amount_minor, currency_code, purchase_time, reject_time
    )
    SELECT DISTINCT ON (external_id) CAST(:business_id AS uuid), external_id, user_id, phone, amount_minor,
        CAST(:currency_code AS text), timestamptz '1970-01-01 00:00:00Z' + time_us * interval '1 microsecond', :now
    FROM unnest(
        CAST(:external_ids AS text[]), CAST(:user_ids AS uuid[]), CAST(:phones AS text[]),
        CAST(:amounts_minor AS bigint[]), CAST(:times_us AS bigint[])
    ) AS rows (external_id, user_id, phone, amount_minor, time_us)
    WHERE NOT EXISTS (
        SELECT FROM purchase_entries AS entry
        WHERE entry.business_id = CAST(:business_id AS uuid) AND entry.external_id = rows.external_id
    )
    ORDER BY external_id
    ON CONFLICT (business_id, external_id) DO UPDATE SET
        user_id = excluded.user_id, phone = excluded.phone, amount_minor = excluded.amount_minor,
        currency_code = excluded.currency_code, purchase_time = excluded.purchase_time
    """
)

# Which rows need not wait any more, because they have been written?
_FORGET_REJECTED = text(
    """
    DELETE FROM rejected_rows USING purchase_entries AS entry
    WHERE rejected_rows.business_id = :business_id AND entry.business_id = rejected_rows.business_id
        AND entry.external_id = rejected_rows.external_id AND entry.outbox_id = :outbox_id
    """
)


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """What became of rows in the database.

    Attributes:
        recorded_count: How many were written.
        unknown_positions: Which name nobody.
        conflict_positions: Which have the external id of another entry.
    """

    recorded_count: int
    unknown_positions: Sequence[int]
    conflict_positions: Sequence[int]


class LedgerRepository:
    """Writes purchases."""

    async def selling_business(self, tx: Transaction, business_id: UUID) -> tuple[SellingBusiness, bool] | None:
        """Returns the business and whether rows of it wait for their member; None when there is no such business."""
        row = (await tx.execute(_SELLING_BUSINESS, {"business_id": business_id})).one_or_none()
        if row is None:
            return None
        business = SellingBusiness(row.id, row.sensitive, row.archived, row.has_erased_entries)
        return business, row.has_rejected_rows

    async def lock_business(self, tx: Transaction, business_id: UUID) -> None:
        """Keeps other writers of many purchases of this business waiting until the transaction ends."""
        await tx.execute(_LOCK_BUSINESS, {"business_id": str(business_id)})

    async def write_purchases(
        self,
        tx: Transaction,
        business: SellingBusiness,
        rows: PurchaseRows,
        *,
        currency_code: str,
        outbox_id: int,
        first_id: UUID,
    ) -> WrittenRows:
        """Writes the rows whose external id is new and whose member is known.

        Args:
            tx: The transaction.
            business: The business that sells.
            rows: At most 65,535 rows that keep their own rules.
            currency_code: The currency of all of them.
            outbox_id: The outbox entry that they belong to.
            first_id: A fresh UUID of version 7: the rows' ids have its first 28 digits and count up in the last 4.
        """
        values = {
            **columns_of(rows),
            "id_prefix": first_id.hex[:28],
            "business_id": business.id,
            "sensitive": business.sensitive,
            "currency_code": currency_code,
            "outbox_id": outbox_id,
        }
        written = (await tx.execute(_WRITE, values)).one()
        if written.recorded_count + len(written.unknown_positions) == len(rows):
            return WrittenRows(written.recorded_count, written.unknown_positions, ())
        compared = {name: value for name, value in values.items() if name not in ("sensitive", "outbox_id")}
        conflicts = await tx.execute(_CONFLICTS, compared)
        return WrittenRows(written.recorded_count, written.unknown_positions, conflicts.scalars().all())

    async def keep_rejected(
        self, tx: Transaction, business_id: UUID, rows: PurchaseRows, currency_code: str, now: datetime
    ) -> None:
        """Keeps rows whose member is unknown until someone matches them; a row sent again replaces itself."""
        values = {**columns_of(rows), "business_id": business_id, "currency_code": currency_code, "now": now}
        await tx.execute(_KEEP_REJECTED, values)

    async def forget_rejected(self, tx: Transaction, business_id: UUID, outbox_id: int) -> None:
        """Forgets kept rows that this transaction has now written."""
        await tx.execute(_FORGET_REJECTED, {"business_id": business_id, "outbox_id": outbox_id})


def columns_of(rows: PurchaseRows) -> dict[str, Any]:
    """Returns the rows as the parameters of `INPUT`."""
    user_ids, phones = buyer_columns(rows)
    return {
        "external_ids": list(rows.external_ids),
        "user_ids": user_ids,
        "phones": phones,
        "amounts_minor": list(rows.amounts_minor),
        "times_us": list(rows.times_us),
    }
