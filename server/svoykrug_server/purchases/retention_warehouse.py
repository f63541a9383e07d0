"""ClickHouse SQL that lets go of old months, except for what tells since when a member has been one.

For each member, business and secrecy the entries stay of every purchase before the horizon which none precedes that was
kept and was known no later, and what took such a purchase back. So at any cutoff, by what was known at any time, the
first purchase, and the first that was kept, are those that all entries would tell. Entries beyond these do no harm.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    import pyarrow as pa

    from svoykrug_server.storage.warehouse import Warehouse

# ruff: noqa: S608  statements are put together from texts of this module and names of tables; every value is bound

PURCHASES, REBUILT = "purchases", "purchases_rebuilt"
MEMBER_IDS = 1 << 63
BLOCK_ENTRIES = 1_000_000
"""About how many entries are judged at a time: member ids are random, so equal ranges of them hold equally many."""

_OLD = "purchase_time < {horizon:DateTime64(6, 'UTC')}"
_BLOCK = "member_id BETWEEN {first_member_id:Int64} AND {last_member_id:Int64}"
_KNOWN = "batch_id <= {up_to_batch_id:Int64}"
_RETURNED = f"""
    SELECT purchase_id FROM __TABLE__
    WHERE __WHERE__ AND {_KNOWN}
        AND purchase_id IN (SELECT purchase_id FROM __TABLE__ WHERE __WHERE__ AND {_KNOWN} AND kind != 'purchase')
    GROUP BY purchase_id HAVING sum(amount_minor) <= 0
"""

# How many entries are older than the horizon?
_COUNT_OLD = f"SELECT count() FROM __TABLE__ WHERE {_OLD}"

# Which old entries of a block of members stay?
_KEEP = f"""
    INSERT INTO kept_entries
    WITH judged AS (
        SELECT purchase_id, ingest_time,
            (count() OVER before) = 0 OR (
                min(if(
                    purchase_id IN ({_RETURNED.replace("__WHERE__", _BLOCK)}),
                    toDateTime64('2299-12-31 00:00:00', 6, 'UTC'), ingest_time
                )) OVER before
            ) > ingest_time AS stays
        FROM __TABLE__
        WHERE {_BLOCK} AND {_OLD} AND kind = 'purchase'
        WINDOW before AS (
            PARTITION BY member_id, business_id, sensitive ORDER BY purchase_time, ingest_time, entry_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
    )
    SELECT entry_id FROM __TABLE__
    WHERE {_BLOCK} AND {_OLD} AND purchase_id IN (SELECT purchase_id FROM judged WHERE stays)
"""

_TO_GO = f"{_OLD} AND {_KNOWN} AND entry_id NOT IN (SELECT entry_id FROM kept_entries)"

# Does any old entry go?
_COUNT_TO_GO = f"SELECT count() FROM __TABLE__ WHERE {_TO_GO}"

# Every old entry that does not stay is deleted for good, and its room on the disk is free.
_DELETE = f"ALTER TABLE __TABLE__ DELETE WHERE {_TO_GO} SETTINGS mutations_sync = 1"

# Who gave back, wholly, every old purchase at a business that the warehouse still holds?
_GAVE_ALL_BACK = f"""
    SELECT DISTINCT business_id, member_id FROM (
        SELECT business_id, member_id, sensitive FROM purchases
        WHERE {_OLD} AND kind = 'purchase'
        GROUP BY business_id, member_id, sensitive
        HAVING countIf(purchase_id NOT IN ({_RETURNED.replace("__TABLE__", "purchases").replace("__WHERE__", "1")})) = 0
    )
    ORDER BY business_id, member_id
"""

# Which old entries of these members does the warehouse hold?
_HELD = f"SELECT entry_id FROM purchases WHERE member_id IN {{member_ids:Array(Int64)}} AND {_OLD}"


class RetentionWarehouse:
    """Lets go of old entries.

    Args:
        warehouse: The analytics copy.
    """

    def __init__(self, warehouse: "Warehouse") -> None:
        self._warehouse = warehouse

    async def choose(self, table: str, horizon: datetime, up_to_batch_id: int) -> None:
        """Notes which entries before the horizon stay, by what was given back in batches up to one."""
        # Nothing is left of a choice that was cut short.
        await self._warehouse.command("TRUNCATE TABLE kept_entries", background=True)
        old = await self._warehouse.query(_of(_COUNT_OLD, table), {"horizon": horizon}, background=True)
        for first, last in _blocks(int(old[0][0]) // BLOCK_ENTRIES + 1):
            values = {"horizon": horizon, "up_to_batch_id": up_to_batch_id}
            block = {"first_member_id": first, "last_member_id": last}
            await self._warehouse.command(_of(_KEEP, table), values | block, background=True)

    async def delete(self, table: str, horizon: datetime, up_to_batch_id: int) -> int:
        """Deletes the entries before the horizon that were not chosen to stay, of batches up to one.

        Returns:
            How many it was.
        """
        values = {"horizon": horizon, "up_to_batch_id": up_to_batch_id}
        count = int((await self._warehouse.query(_of(_COUNT_TO_GO, table), values, background=True))[0][0])
        if count:
            await self._warehouse.command(_of(_DELETE, table), values, background=True)
        # The choice has served.
        await self._warehouse.command("TRUNCATE TABLE kept_entries", background=True)
        return count

    async def gave_all_back(self, horizon: datetime, up_to_batch_id: int) -> Sequence[tuple[UUID, int]]:
        """Returns business and member of whoever gave back all that the warehouse still holds of her old purchases."""
        values = {"horizon": horizon, "up_to_batch_id": up_to_batch_id}
        rows = await self._warehouse.query(_GAVE_ALL_BACK, values, background=True)
        return [(UUID(str(business_id)), int(member_id)) for business_id, member_id in rows]

    async def insert_missing(self, rows: "pa.Table", horizon: datetime, token: str) -> None:
        """Inserts those of some old entries that the warehouse does not hold."""
        values = {"horizon": horizon, "member_ids": rows.column("member_id").unique().to_pylist()}
        held = {UUID(str(row[0])).bytes for row in await self._warehouse.query(_HELD, values, background=True)}
        places = [place for place, entry_id in enumerate(rows.column("entry_id").to_pylist()) if entry_id not in held]
        if places:
            await self._warehouse.insert_arrow("purchases", rows.take(places), token)


def _of(sql: str, table: str) -> str:
    return sql.replace("__TABLE__", table)


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    """Gives so many equal ranges that hold every member id, both ends included."""
    edges = [MEMBER_IDS * number // count for number in range(count + 1)]
    return ((first, last - 1) for first, last in pairwise(edges))
