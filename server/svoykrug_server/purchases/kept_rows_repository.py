"""SQL of kept rows: imported rows that name nobody we know."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.storage.postgres import ReadConnection, Transaction

_COLUMNS = "row_id, user_id, phone, external_id, amount_minor, currency_code, purchase_time, reject_time"

# Which rows of this business wait before a place in the list, the newest first?
_PAGE = f"""
    SELECT {_COLUMNS} FROM rejected_rows WHERE business_id = $1 AND (reject_time, row_id) < ($2, $3)
    ORDER BY reject_time DESC, row_id DESC LIMIT $4
"""  # noqa: S608 - constants only

# What does this row say? (it is not locked: whoever writes its receipt locks the receipt first and the row then)
_GET = text(f"SELECT {_COLUMNS} FROM rejected_rows WHERE business_id = :business_id AND row_id = :row_id")  # noqa: S608 - constants only

# Which row does nobody wait for any more?
_DELETE = text("DELETE FROM rejected_rows WHERE business_id = :business_id AND row_id = :row_id")

# Who has this phone?
_USER_WITH_PHONE = "SELECT id FROM users WHERE phone = $1"


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row of an import that named nobody.

    Attributes:
        id: The row's id.
        phone: The phone it names, E.164; empty where it names a user.
        external_id: The receipt's id at the business.
        amount_minor: What was paid.
        currency_code: ISO 4217.
        purchase_time: When she bought.
        create_time: When the row came first.
    """

    id: UUID
    phone: str
    external_id: str
    amount_minor: int
    currency_code: str
    purchase_time: datetime
    create_time: datetime


class KeptRowRepository:
    """Kept rows in PostgreSQL."""

    async def page(
        self, connection: ReadConnection, business_id: UUID, before: tuple[datetime, UUID], limit: int
    ) -> Sequence[KeptRow]:
        """Returns rows of a business before a place in the list, the newest first."""
        return [_kept(row) for row in await connection.fetch(_PAGE, business_id, *before, limit)]

    async def get(self, tx: Transaction, business_id: UUID, row_id: UUID) -> KeptRow | None:
        """Returns a row of a business, or None."""
        row = (await tx.execute(_GET, {"business_id": business_id, "row_id": row_id})).mappings().one_or_none()
        return None if row is None else _kept(row)

    async def delete(self, tx: Transaction, business_id: UUID, row_id: UUID) -> bool:
        """Forgets a row of a business; returns whether there was one."""
        return (await tx.execute(_DELETE, {"business_id": business_id, "row_id": row_id})).rowcount == 1

    async def user_with_phone(self, connection: ReadConnection, phone: str) -> UUID | None:
        """Returns who has a phone, E.164, or None."""
        user_id: UUID | None = await connection.fetchval(_USER_WITH_PHONE, phone)
        return user_id


def _kept(row: Any) -> KeptRow:
    return KeptRow(
        id=row["row_id"],
        phone=row["phone"] or "",
        external_id=row["external_id"],
        amount_minor=row["amount_minor"],
        currency_code=row["currency_code"],
        purchase_time=row["purchase_time"],
        create_time=row["reject_time"],
    )
