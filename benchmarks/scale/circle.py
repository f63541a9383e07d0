"""The circle that is measured: purchases are made inside ClickHouse, and copied from there for the other engines."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow.csv
import pyarrow.parquet

from svoykrug_server.analytics.churn.warehouse import blocks
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.folder import DataFolder
from svoykrug_server.storage.migrate import migrate_postgres
from svoykrug_server.storage.migrate_warehouse import migrate_warehouse
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.warehouse import Warehouse, WarehouseOptions

ZONE = ZoneInfo("Europe/Moscow")
END = datetime(2026, 6, 1, tzinfo=UTC)
START_US, END_US = 1_717_200_000_000_000, 1_780_272_000_000_000
"""Two years of purchases, up to `END`."""
MEMBER_PURCHASES = 50
"""Purchases a member makes on average; one in three hundred makes over 285."""
SHOPS = 12
"""Businesses; the last, with one purchase in seventeen, is sensitive where there are several."""
EXPORT_PURCHASES = 500_000
"""About how many purchases are copied at a time."""

# Purchases: a member begins within the first six tenths of the time, and one in two leaves before the end.
_PURCHASES = """
    INSERT INTO purchases
    SELECT entry_id, entry_id,
        toUUID(concat('00000000-0000-0000-0000-0000000000', leftPad(hex(toUInt8(1 + business)), 2, '0'))),
        member_id, 'purchase', amount_minor, 'RUB', fromUnixTimestamp64Micro(time_us, 'UTC'),
        fromUnixTimestamp64Micro(time_us + 1000000, 'UTC'), {shops:UInt8} > 1 AND business + 1 = {shops:UInt8}, 1
    FROM (
        SELECT member_id, cityHash64(member_id, place) AS chance, generateUUIDv4(place) AS entry_id,
            toInt64(start_us + (stop_us - start_us) * ((chance % 1000003) / 1000003.)) AS time_us,
            toInt64(10000 + intDiv(chance, 1000003) % 500000) AS amount_minor,
            toUInt8(floor({shops:UInt8} * pow((intDiv(chance, 7) % 10007) / 10007., 1.5))) AS business
        FROM (
            SELECT intDiv(9223372036854775807, {members:UInt64}) AS step,
                toInt64(number * step + cityHash64(number) % step) AS member_id,
                {start_us:UInt64} + cityHash64(number, 1) % intDiv(({end_us:UInt64} - {start_us:UInt64}) * 6, 10)
                    AS start_us,
                if(cityHash64(number, 2) % 2, {end_us:UInt64},
                    start_us + cityHash64(number, 3) % ({end_us:UInt64} - start_us)) AS stop_us,
                1 + toUInt32(-{mean:Float64} * log((1 + cityHash64(number, 4) % 999983) / 999984.)) AS purchase_count
            FROM numbers({members:UInt64})
        ) ARRAY JOIN range(purchase_count) AS place
    )
    SETTINGS max_partitions_per_insert_block = 0, max_block_size = 4096, min_insert_block_size_rows = 4000000,
        min_insert_block_size_bytes = 0
"""

# Of one purchase in a hundred a part is given back, all of it, or it is reversed, within twenty days.
_CORRECTIONS = """
    INSERT INTO purchases
    SELECT generateUUIDv4(), purchase_id, business_id, member_id, if(chance % 5 = 0, 'reversal', 'refund'),
        -if(chance % 5 < 3, amount_minor, intDiv(amount_minor, 2)), currency,
        least(purchase_time + toIntervalSecond(intDiv(chance, 5) % 1728000), last_time) AS given_time,
        given_time + toIntervalSecond(1), sensitive, 2
    FROM (
        SELECT *, intDiv(cityHash64(entry_id), 100) AS chance,
            fromUnixTimestamp64Micro(toInt64({end_us:UInt64} - 5000000), 'UTC') AS last_time
        FROM purchases WHERE kind = 'purchase' AND cityHash64(entry_id) % 100 = 0
    )
    SETTINGS max_partitions_per_insert_block = 0
"""

# What did the members of a block do, with identifiers as text?
_TEXT_BLOCK = """
    SELECT toString(purchase_id) AS purchase_id, toString(business_id) AS business_id, member_id, toInt8(kind) AS kind,
        amount_minor, purchase_time, ingest_time, sensitive
    FROM purchases WHERE member_id BETWEEN {first_member_id:Int64} AND {last_member_id:Int64}
"""

# The same with numbers in place of identifiers, which flatters whoever reads it.
_NUMBER_BLOCK = """
    SELECT reinterpretAsInt64(cityHash64(purchase_id)) AS purchase_id,
        toInt16(reinterpretAsUInt8(unhex(right(toString(business_id), 2)))) AS business, member_id,
        toInt8(kind) AS kind, amount_minor, purchase_time, ingest_time, sensitive
    FROM purchases WHERE member_id BETWEEN {first_member_id:Int64} AND {last_member_id:Int64}
"""

_POSTGRES_TABLE = """
    CREATE UNLOGGED TABLE bought (
        purchase_id uuid, business_id uuid, member_id bigint, kind smallint, amount_minor bigint,
        purchase_time timestamptz, ingest_time timestamptz, sensitive smallint
    )
"""
_POSTGRES_INDEXES = (
    "CREATE INDEX ON bought (member_id, purchase_time)",
    "CREATE INDEX ON bought (purchase_time)",
    "CREATE INDEX ON bought (purchase_id) WHERE kind <> 1",
)


@dataclass(frozen=True, slots=True)
class Stores:
    """Stores of our own.

    Attributes:
        postgres: The system of record; the measured purchases are in `bought`, made by `copy_to_postgres`.
        beside: The warehouse as it works beside serving: one thread of the engine for a background statement.
        alone: The same warehouse with as many threads as the machine has.
    """

    postgres: Postgres
    beside: Warehouse
    alone: Warehouse


@asynccontextmanager
async def open_stores(folder: Path, cores: int, warehouse_url: str = "") -> AsyncIterator[Stores]:
    """Opens stores of our own, migrated and empty.

    Args:
        folder: Where they lie.
        cores: How many threads of the engine `alone` may use.
        warehouse_url: Where ClickHouse serves; empty for the engine in this process.
    """
    place = DataFolder(folder / "data")
    place.open(0)
    server = EmbeddedPostgres.start(place, durable=False)
    postgres = await Postgres.connect(PostgresOptions(server.url))
    await migrate_postgres(postgres)
    location = warehouse_url or str(folder / "warehouse")
    beside = Warehouse(WarehouseOptions(location, timeout_seconds=3_600), migrate_warehouse)
    await beside.prepare()
    alone = Warehouse(WarehouseOptions(location, background_threads=cores, timeout_seconds=3_600), migrate_warehouse)
    try:
        yield Stores(postgres, beside, alone)
    finally:
        await alone.close()
        await beside.close()
        await postgres.close()
        server.stop()


async def fill(warehouse: Warehouse, purchases: int, shops: int = SHOPS) -> int:
    """Makes about so many purchases, in as few parts as upkeep would leave.

    Returns:
        How many rows the ledger has, corrections among them.
    """
    for table in ("purchases", "snapshot_members", "churn_scores"):
        await warehouse.command(f"TRUNCATE TABLE {table}")
    values = {
        "members": purchases // MEMBER_PURCHASES,
        "mean": MEMBER_PURCHASES - 0.5,
        "shops": shops,
        "start_us": START_US,
        "end_us": END_US,
    }
    await warehouse.command(_PURCHASES, values)
    await warehouse.command(_CORRECTIONS, values)
    await warehouse.command("OPTIMIZE TABLE purchases FINAL")
    rows: int = (await warehouse.query("SELECT count() FROM purchases"))[0][0]
    return rows


async def open_shops(postgres: Postgres) -> None:
    """Makes the businesses."""
    async with postgres.transaction() as tx:
        await (await tx.driver()).executemany(
            "INSERT INTO businesses (id, name, category, sensitive, create_time, update_time)"
            " VALUES ($1, $2, 'beauty', $3, now(), now())",
            [(UUID(int=number), str(number), number == SHOPS) for number in range(1, SHOPS + 1)],
        )


async def copy_to_postgres(warehouse: Warehouse, postgres: Postgres, rows: int) -> None:
    """Copies the ledger into the table `bought`, with the indexes that its statements could use."""
    async with postgres.transaction() as tx:
        connection = await tx.driver()
        await connection.execute("DROP TABLE IF EXISTS bought")
        await connection.execute(_POSTGRES_TABLE)
        async for block in _blocks(warehouse, _TEXT_BLOCK, rows):
            text = BytesIO()
            pyarrow.csv.write_csv(block, text, pyarrow.csv.WriteOptions(include_header=False))
            text.seek(0)
            await connection.copy_to_table("bought", source=text, format="csv")
        for index in _POSTGRES_INDEXES:
            await connection.execute(index)
    vacuuming = await postgres.dedicated()
    await vacuuming.execute("SET statement_timeout = 0")
    await vacuuming.execute("VACUUM ANALYZE bought")
    await vacuuming.close()


async def copy_to_file(warehouse: Warehouse, file: Path, rows: int) -> None:
    """Copies the ledger into a Parquet file."""
    writer: Any = None
    async for block in _blocks(warehouse, _NUMBER_BLOCK, rows):
        writer = writer or pyarrow.parquet.ParquetWriter(file, block.schema)
        writer.write_table(block)
    writer.close()


async def _blocks(warehouse: Warehouse, sql: str, rows: int) -> AsyncIterator[Any]:
    for block in blocks(rows // EXPORT_PURCHASES + 1):
        yield await warehouse.query_arrow(sql, block.parameters())
