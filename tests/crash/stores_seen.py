"""Looks at both stores from outside the server: while it is dead, or after it has stopped."""

import asyncio
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from svoykrug_server.storage import outbox
from svoykrug_server.storage.postgres import Postgres
from tests.crash.own_rows import Totals

# What does the ledger hold: rows, different receipts, sum and hash?
_LEDGER_TOTALS = """
    SELECT count(*), count(DISTINCT (business_id, external_id)), coalesce(sum(amount_minor), 0)::bigint,
        mod(mod(coalesce(sum(('x' || left(md5(concat_ws('|', entry_id, business_id, member_id, amount_minor,
            currency_code, (extract(epoch FROM purchase_time) * 1000000)::bigint, kind)), 16))::bit(64)::bigint), 0),
            18446744073709551616) + 18446744073709551616, 18446744073709551616)::text
    FROM purchase_entries
"""

# How many rows are committed, how many batches sealed and not shipped, and how many rows sealed, and shipped?
_PIPELINE = """
    SELECT (SELECT count(*) FROM purchase_entries) AS committed_rows,
        count(*) FILTER (WHERE shipped_time IS NULL) AS unshipped_batches,
        coalesce(sum(entry_count), 0)::bigint AS sealed_rows,
        coalesce(sum(entry_count) FILTER (WHERE shipped_time IS NOT NULL), 0)::bigint AS shipped_rows
    FROM sealed_batches
"""

# What does ClickHouse hold: rows, different ones, sum and hash?
WAREHOUSE_TOTALS = """
    SELECT count(), uniqExact(entry_id), sum(amount_minor),
        sum(reinterpretAsUInt64(reverse(substring(MD5(concat(
            toString(entry_id), '|', toString(business_id), '|', toString(member_id), '|', toString(amount_minor), '|',
            currency, '|', toString(toUnixTimestamp64Micro(purchase_time)), '|', toString(toInt8(kind))
        )), 1, 8))))
    FROM svoykrug.purchases
"""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """How far the rows have come, as PostgreSQL knows it.

    Attributes:
        committed_rows: Rows of the ledger.
        unshipped_batches: Batches that are sealed and not marked shipped.
        sealed_rows: Rows of sealed batches.
        shipped_rows: Rows of batches that are marked shipped.
    """

    committed_rows: int
    unshipped_batches: int
    sealed_rows: int
    shipped_rows: int


async def pipeline(postgres: Postgres) -> Pipeline:
    """Returns how far the rows have come."""
    async with postgres.read() as connection:
        row = await connection.fetchrow(_PIPELINE)
        assert row is not None
        return Pipeline(*row)


async def ledger_totals(postgres: Postgres) -> Totals:
    """Returns what PostgreSQL holds."""
    async with postgres.read() as connection:
        row = await connection.fetchrow(_LEDGER_TOTALS)
        assert row is not None
        return Totals(*map(int, row))


async def entry_ids(postgres: Postgres) -> dict[str, UUID]:
    """Returns the id that the server gave to each row, by its external id."""
    async with postgres.read() as connection:
        rows = await connection.fetch("SELECT external_id, entry_id FROM purchase_entries")
        return {row["external_id"]: row["entry_id"] for row in rows}


async def ask_warehouse(data_dir: Path, *statements: str) -> list[list[list[Any]]]:
    """Runs statements on the ClickHouse of a folder that no server has open; returns the rows of each."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("ask_warehouse.py")), str(data_dir / "warehouse"), *statements),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    answers: list[list[list[Any]]] = json.loads(printed)
    return answers


async def warehouse_totals(data_dir: Path) -> Totals:
    """Returns what ClickHouse holds in a folder that no server has open."""
    (answer,) = await ask_warehouse(data_dir, WAREHOUSE_TOTALS)
    return Totals(*map(int, answer[0]))


async def hold_lease(postgres: Postgres) -> UUID:
    """Keeps servers from sealing and shipping, as another server would, until `release_lease`; returns the holder."""
    holder = uuid4()
    tomorrow = datetime.now(UTC) + timedelta(days=1)  # By then the lease of the server that was killed is over.
    async with postgres.transaction() as tx:
        assert await outbox.take_lease(tx, holder, tomorrow, timedelta(days=1))
    return holder


async def release_lease(postgres: Postgres, holder: UUID) -> None:
    """Lets the server seal and ship."""
    async with postgres.transaction() as tx:
        await outbox.release_lease(tx, holder)
