"""SQL of the horizon: from which day on the warehouse holds everything, and what from before it must come back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.purchases.pipeline_repository import LEDGER_ROWS, copy_ledger
from svoykrug_server.storage.postgres import ReadConnection, Transaction

if TYPE_CHECKING:
    from svoykrug_server.purchases.ledger_block import LedgerBlock

# From which day on does the warehouse hold everything, and of which older days has everything gone that is to go?
_HORIZON = "SELECT kept_from_day, let_go_before_day FROM relay_state"

# Has everything before this day gone that is to go?
_LET_GO = text("UPDATE relay_state SET let_go_before_day = :day")

# Is there anything before this day, and may it go from now on? (the row stays locked: no batch is sealed meanwhile)
_MOVE = text(
    """
    UPDATE relay_state SET kept_from_day = :day
    WHERE (kept_from_day IS NULL OR kept_from_day < :day) AND EXISTS (SELECT FROM proven_days WHERE day < :day)
    RETURNING only_row
    """
)

# Is a day before this one not proven to be equal in both stores?
_UNSETTLED = text(
    """
    SELECT EXISTS (
        SELECT FROM proven_days
        WHERE day < :day AND (disputed_since_time IS NOT NULL OR touched_batch_id > proven_batch_id)
    )
    """
)

# Which days are not compared any more?
_FORGET_DAYS = text("DELETE FROM proven_days WHERE day < :day")

# What did these members buy and give back at these businesses before this day, of batches up to this one?
_COPY_MEMBERS = f"""
    {LEDGER_ROWS}
    JOIN (SELECT unnest($1::uuid[]) AS business_id, unnest($2::bigint[]) AS member_id) AS wanted
        ON wanted.business_id = entry.business_id AND wanted.member_id = entry.member_id
    WHERE entry.purchase_time < $3::date::timestamp AT TIME ZONE $4 AND outbox.batch_id <= $5
    ORDER BY outbox_id, entry.entry_id
"""


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far the past has been let go.

    Attributes:
        kept_from: From this day on the warehouse holds everything.
        let_go_before: Of older days than this it holds first purchases alone; None when nothing has gone yet.
    """

    kept_from: date
    let_go_before: date | None


class RetentionRepository:
    """The horizon in PostgreSQL.

    Args:
        time_zone: The circle's time zone: a day is a day there.
    """

    def __init__(self, time_zone: str) -> None:
        self._time_zone = time_zone

    async def horizon(self, connection: ReadConnection) -> Horizon | None:
        """Returns how far the past is let go; None while all of it is kept."""
        row = await connection.fetchrow(_HORIZON)
        if row is None or row["kept_from_day"] is None:
            return None
        return Horizon(row["kept_from_day"], row["let_go_before_day"])

    async def note_let_go(self, tx: Transaction, day: date) -> None:
        """Notes that everything before a day has gone that is to go."""
        await tx.execute(_LET_GO, {"day": day})

    async def move(self, tx: Transaction, day: date) -> bool:
        """Moves the horizon on, and says so; it stays where nothing is older, or where it is later already."""
        return (await tx.execute(_MOVE, {"day": day})).one_or_none() is not None

    async def is_unsettled(self, tx: Transaction, day: date) -> bool:
        """Tells whether the stores are not proven to be equal on every day before one."""
        return bool((await tx.execute(_UNSETTLED, {"day": day})).scalar_one())

    async def forget_days(self, tx: Transaction, day: date) -> None:
        """Takes the days before one out of the proof."""
        await tx.execute(_FORGET_DAYS, {"day": day})

    async def copy_members(
        self, tx: Transaction, members: Sequence[tuple[UUID, int]], before: date, up_to_batch_id: int
    ) -> "LedgerBlock":
        """Returns the ledger rows of members, each at one business, before a day and in batches up to one."""
        businesses, member_ids = [business_id for business_id, _ in members], [member_id for _, member_id in members]
        return await copy_ledger(tx, _COPY_MEMBERS, businesses, member_ids, before, self._time_zone, up_to_batch_id)
