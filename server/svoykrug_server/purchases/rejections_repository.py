"""SQL of the rows that imports by stream refused: kept for a while, so that a report of any length can be read."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.kit.phone import is_e164, parse_phone
from svoykrug_server.purchases.model import Fault, PurchaseRows, Rejection
from svoykrug_server.purchases.row_rules import is_user_id
from svoykrug_server.storage.postgres import ReadConnection, Transaction

_MOST_FORGOTTEN = 50_000

# Which rows of this import were refused?
_ADD = text(
    """
    INSERT INTO import_rejections (
        import_id, row_number, business_id, user_id, phone, external_id, reason, field, further_faults
    )
    SELECT :import_id, row_number, :business_id, CAST(nullif(user_id, '') AS uuid), nullif(phone, ''), external_id,
        reason, field, CAST(further AS jsonb)
    FROM unnest(
        CAST(:row_numbers AS bigint[]), CAST(:user_ids AS text[]), CAST(:phones AS text[]),
        CAST(:external_ids AS text[]), CAST(:reasons AS text[]), CAST(:fields AS text[]), CAST(:further AS text[])
    ) AS refused (row_number, user_id, phone, external_id, reason, field, further)
    """
)

# Which rows of this import were refused, after a row, in the stream's order? (none once its report was dropped)
_PAGE = """
    SELECT row_number, external_id, reason, field, further_faults FROM import_rejections
    WHERE import_id = $1 AND business_id = $2 AND row_number > $3
        AND EXISTS (SELECT FROM import_reports WHERE import_id = $1 AND NOT dropped)
    ORDER BY row_number LIMIT $4
"""

# Which rows have been kept long enough? (an import's id tells when it began; a portion: an import may have millions)
_FORGET = text(
    """
    DELETE FROM import_rejections WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM import_rejections WHERE import_id < :before_id ORDER BY import_id, row_number LIMIT :most
    ))
    """
)


def json_of(faults: Sequence[Fault]) -> str | None:
    """Returns faults as they are stored."""
    return json.dumps([(fault.reason, fault.field) for fault in faults]) if faults else None


def faults_of(stored: Sequence[Sequence[str]] | None) -> tuple[Fault, ...]:
    """Returns faults that were stored."""
    return tuple(Fault(reason, field) for reason, field in stored or ())


class RejectionRepository:
    """Refused rows in PostgreSQL."""

    async def add(
        self, tx: Transaction, import_id: UUID, business_id: UUID, rows: PurchaseRows, rejections: Sequence[Rejection]
    ) -> None:
        """Keeps which of some rows of an import were refused.

        Args:
            tx: The transaction that writes the others.
            import_id: The import.
            business_id: The business that sold.
            rows: The rows, numbered without a gap.
            rejections: The refused ones.
        """
        if rejections:
            values = {"import_id": import_id, "business_id": business_id}
            await tx.execute(_ADD, values | _columns_of(rejections) | _buyers_of(rows, rejections))

    async def page(
        self, connection: ReadConnection, import_id: UUID, business_id: UUID, after_row: int, limit: int
    ) -> Sequence[Rejection]:
        """Returns refused rows of an import at a business, after a row, in the stream's order."""
        rows = await connection.fetch(_PAGE, import_id, business_id, after_row, limit)
        return [
            Rejection(row_number, external_id, reason, field, faults_of(further))
            for row_number, external_id, reason, field, further in rows
        ]

    async def forget(self, tx: Transaction, before_id: UUID) -> int:
        """Deletes some refused rows of imports whose ids lie before one; returns how many, 0 when none was left."""
        return (await tx.execute(_FORGET, {"before_id": before_id, "most": _MOST_FORGOTTEN})).rowcount


def _columns_of(rejections: Sequence[Rejection]) -> dict[str, list[Any]]:
    return {
        "row_numbers": [rejection.row_number for rejection in rejections],
        "external_ids": [rejection.external_id for rejection in rejections],
        "reasons": [rejection.reason for rejection in rejections],
        "fields": [rejection.field for rejection in rejections],
        "further": [json_of(rejection.further) for rejection in rejections],
    }


def _buyers_of(rows: PurchaseRows, rejections: Sequence[Rejection]) -> dict[str, list[Any]]:
    """Returns whom the refused rows name, as far as that can be told: by it they are erased with her."""
    places = [rejection.row_number - rows.numbers[0] for rejection in rejections]
    user_ids, phones = [rows.user_ids[at] for at in places], [rows.phones[at] for at in places]
    return {
        "user_ids": [user_id if is_user_id(user_id) else "" for user_id in user_ids],
        "phones": [phone if is_e164(phone) else parse_phone(phone) or "" for phone in phones],
    }
