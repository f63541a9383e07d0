"""ClickHouse SQL of the ledger's copy."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from svoykrug_server.kit.errors import WarehouseUnavailable
from svoykrug_server.purchases.store_totals import BusinessDay, StoreTotals
from svoykrug_server.storage.migrate_warehouse import migrate_lost_warehouse, table_names

if TYPE_CHECKING:
    import pyarrow as pa

    from svoykrug_server.storage.warehouse import Warehouse

_EARLIEST_DAY = date(1970, 1, 2)

# What does the warehouse hold of this batch? (the instant of sealing leads straight to its part; PREWHERE says what
# is to be read first: the engine need not find out)
_BATCH = """
    SELECT count(), sum(amount_minor) FROM purchases
    PREWHERE ingest_time = {ingest_time:DateTime64(6, 'UTC')} AND batch_id = {batch_id:Int64}
"""

# Rows of this batch that are not as they were sealed: none are to be left.
_DELETE_BATCH = """
    DELETE FROM purchases
    WHERE ingest_time = {ingest_time:DateTime64(6, 'UTC')} AND batch_id = {batch_id:Int64}
"""

# Which tables are there?
_TABLES = "SELECT name FROM system.tables WHERE database = currentDatabase()"

# How many rows has the copy, deleted ones too? (known without reading it)
_ROW_COUNT = "SELECT total_rows FROM system.tables WHERE database = currentDatabase() AND name = 'purchases'"

# Is the copy there?
_THERE = "SELECT 1 FROM purchases LIMIT 1"

# What does the warehouse hold of batches up to this one and of days from this one on, in total?
_TOTAL = """
    SELECT count(), sum(amount_minor) FROM purchases
    WHERE batch_id <= {up_to_batch_id:Int64} AND purchase_time >= toDateTime({from_day:Date}, {time_zone:String})
"""

# The same without these days.
_TOTAL_WITHOUT = f"""{_TOTAL}
        AND (business_id, toDate(purchase_time, {{time_zone:String}})) NOT IN (
            SELECT arrayJoin(arrayZip({{business_ids:Array(UUID)}}, {{days:Array(Date)}}))
        )
"""

# What does the warehouse hold of these days, of batches up to this one? (business and time alone leave out most rows)
_TOTALS = """
    SELECT business_id, toDate(purchase_time, {time_zone:String}) AS day, count(), sum(amount_minor),
        sum(reinterpretAsUInt64(reverse(substring(MD5(concat(
            toString(entry_id), '|', toString(business_id), '|', toString(member_id), '|', toString(amount_minor), '|',
            currency, '|', toString(toUnixTimestamp64Micro(purchase_time)), '|', toString(toInt8(kind))
        )), 1, 8))))
    FROM purchases
    WHERE batch_id <= {up_to_batch_id:Int64} AND business_id IN {business_ids:Array(UUID)}
        AND purchase_time >= toDateTime({first_day:Date}, {time_zone:String})
        AND purchase_time < toDateTime({last_day:Date} + 1, {time_zone:String})
        AND (business_id, day) IN (SELECT arrayJoin(arrayZip({business_ids:Array(UUID)}, {days:Array(Date)})))
    GROUP BY business_id, day
"""

# Which days at which businesses does the warehouse have entries of?
_DAYS = "SELECT DISTINCT business_id, toDate(purchase_time, {time_zone:String}) AS day FROM purchases"

# The same of one business.
_DAYS_OF = f"{_DAYS} WHERE business_id = {{business_id:UUID}}"

# Entries of this day that are in batches up to this one: none are to be left.
_DELETE_DAY = """
    DELETE FROM purchases
    WHERE business_id = {business_id:UUID} AND toDate(purchase_time, {time_zone:String}) = {day:Date}
        AND batch_id <= {up_to_batch_id:Int64}
"""


class PurchaseWarehouse:
    """Writes and compares the ledger's copy.

    Args:
        warehouse: The analytics copy.
        time_zone: The circle's time zone: a day is a day there.
    """

    def __init__(self, warehouse: "Warehouse", time_zone: str) -> None:
        self._warehouse = warehouse
        self._time_zone = time_zone

    async def insert(self, rows: "pa.Table", deduplication_token: str) -> None:
        """Inserts rows as one block, once for each token."""
        await self._warehouse.insert_arrow("purchases", rows, deduplication_token)

    async def batch(self, batch_id: int, ingest_time: datetime) -> tuple[int, int]:
        """Returns count and sum of what the warehouse holds of a batch."""
        rows = await self._warehouse.query(_BATCH, {"batch_id": batch_id, "ingest_time": ingest_time})
        entry_count, sum_minor = rows[0]
        return int(entry_count), int(sum_minor)

    async def delete_batch(self, batch_id: int, ingest_time: datetime) -> None:
        """Deletes whatever the warehouse holds of a batch."""
        await self._warehouse.command(_DELETE_BATCH, {"batch_id": batch_id, "ingest_time": ingest_time})

    async def require(self) -> None:
        """Sees that there is a copy, whatever it holds.

        Raises:
            WarehouseUnavailable: ClickHouse is away, or somebody dropped the table.
        """
        await self._warehouse.query(_THERE)

    async def total(
        self, up_to_batch_id: int, from_day: date | None, without: Sequence[BusinessDay]
    ) -> tuple[int, int]:
        """Returns count and sum of what the warehouse holds.

        Args:
            up_to_batch_id: Later batches do not count.
            from_day: Earlier days do not count; None for all.
            without: Nor do these.
        """
        parameters = {
            "up_to_batch_id": up_to_batch_id,
            "from_day": from_day or _EARLIEST_DAY,
            "time_zone": self._time_zone,
        }
        if without:
            parameters |= {"business_ids": [at.business_id for at in without], "days": [at.day for at in without]}
        rows = await self._warehouse.query(_TOTAL_WITHOUT if without else _TOTAL, parameters, background=True)
        entry_count, sum_minor = rows[0]
        return int(entry_count), int(sum_minor)

    async def totals(self, days: Sequence[BusinessDay], up_to_batch_id: int) -> Mapping[BusinessDay, StoreTotals]:
        """Returns what the warehouse holds of one or more days, in batches up to one; empty days are left out."""
        parameters = {
            "time_zone": self._time_zone,
            "up_to_batch_id": up_to_batch_id,
            "business_ids": [at.business_id for at in days],
            "days": [at.day for at in days],
            "first_day": min(at.day for at in days),
            "last_day": max(at.day for at in days),
        }
        rows = await self._warehouse.query(_TOTALS, parameters, background=True)
        return {
            BusinessDay(UUID(str(business_id)), day): StoreTotals(int(entry_count), int(sum_minor), int(hash_))
            for business_id, day, entry_count, sum_minor, hash_ in rows
        }

    async def days(self, business_id: UUID | None = None) -> Sequence[BusinessDay]:
        """Returns every day at a business, or at any of them for None, of which the warehouse has an entry."""
        parameters: dict[str, object] = {"time_zone": self._time_zone}
        if business_id is not None:
            parameters["business_id"] = business_id
        rows = await self._warehouse.query(_DAYS if business_id is None else _DAYS_OF, parameters, background=True)
        return [BusinessDay(UUID(str(business_id)), day) for business_id, day in rows]

    async def delete_day(self, at: BusinessDay, up_to_batch_id: int) -> None:
        """Deletes the entries of a day at a business that are in batches up to one; later batches stay."""
        parameters = {
            "time_zone": self._time_zone,
            "up_to_batch_id": up_to_batch_id,
            "business_id": at.business_id,
            "day": at.day,
        }
        await self._warehouse.command(_DELETE_DAY, parameters, background=True)

    async def dropped_tables(self) -> frozenset[str]:
        """Returns which tables somebody dropped, with the database or alone; makes the database again."""
        await self._warehouse.make_database()
        return table_names() - {name for (name,) in await self._warehouse.query(_TABLES)}

    async def row_count(self) -> int:
        """Returns how many rows there are, at most: some of them may be deleted.

        Raises:
            WarehouseUnavailable: ClickHouse is away, or somebody dropped the table.
        """
        found = await self._warehouse.query(_ROW_COUNT)
        if not found:
            raise WarehouseUnavailable
        return int(found[0][0])

    async def begin_rebuild(self) -> None:
        """Makes an empty table beside the real one, and every other table that is missing.

        A real one that somebody dropped stays away until the rebuilt one takes its place: an empty one would be read as
        if nobody had ever bought anything.
        """
        await self._warehouse.make_database()
        # Is anything left of a rebuild that was cut short?
        await self._warehouse.command("DROP TABLE IF EXISTS purchases_rebuilt")
        # Where do the rows go until all are there?
        await self._warehouse.migrate(migrate_lost_warehouse)

    async def insert_rebuilt(self, rows: "pa.Table", deduplication_token: str) -> None:
        """Inserts rows into the table that is being rebuilt."""
        await self._warehouse.insert_arrow("purchases_rebuilt", rows, deduplication_token)

    async def exchange_rebuilt(self) -> None:
        """Puts the rebuilt table in the place of the real one, in one step."""
        # Is there a table to replace?
        if (await self._warehouse.query("EXISTS TABLE purchases"))[0][0]:
            # From now on the rebuilt rows are the ones that count.
            await self._warehouse.command("EXCHANGE TABLES purchases AND purchases_rebuilt")
        else:
            # From now on there are rows again.
            await self._warehouse.command("RENAME TABLE purchases_rebuilt TO purchases")

    async def drop_replaced(self) -> None:
        """Drops the table that the rebuilt one replaced."""
        # Nobody reads the old rows any more.
        await self._warehouse.command("DROP TABLE IF EXISTS purchases_rebuilt")
