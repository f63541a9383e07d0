"""Bulk: purchases imported by one client into PostgreSQL, and carried from there to ClickHouse by the relay."""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

import asyncpg
from rich.console import Console
from svoykrug.purchases.v1.purchases_service_pb2 import ImportPurchasesRequest
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub

from benchmarks.bench.figures import Figure, Measured
from benchmarks.bench.mix_callers import SHOP, purchase
from benchmarks.bench.stage import Stage, own_stores, served, stage
from tests.e2e.circle import Person
from tests.waiting import until

ROWS, BATCH_ROWS, MEMBERS = 200_000, 5_000, 200
RELAYED_BATCHES = 6
"""How many full batches of the relay are carried when it works alone: one more than there are rounds."""
WAIT_SECONDS = 120.0

# How long did each batch take the relay? (from the arrival of the one before; the first is not known)
_BATCHES = """
    SELECT entry_count, extract(epoch FROM shipped_time - lag(shipped_time) OVER (ORDER BY batch_id)) AS seconds
    FROM sealed_batches ORDER BY batch_id
"""

# What has ClickHouse not got yet?
_BEHIND = """
    SELECT (SELECT count(*) FROM outbox WHERE batch_id IS NULL)
        + (SELECT count(*) FROM sealed_batches WHERE shipped_time IS NULL)
"""

# How long was a purchase of an import in PostgreSQL alone? (of the batches that came after one)
_LAG = """
    SELECT max(extract(epoch FROM s.shipped_time - o.record_time))
    FROM outbox o JOIN sealed_batches s USING (batch_id) WHERE o.record_time >= $1
"""

# Who may have bought something?
_BUYERS = "SELECT id::text FROM users WHERE status = 'unclaimed' ORDER BY id LIMIT $1"


async def measure(rounds: int, console: Console) -> Measured:
    """Measures imports with the relay beside, then the relay alone."""
    seen: dict[str, list[float]] = defaultdict(list)
    async with stage() as product:
        await _import_in_rounds(product, rounds, console, seen)
    with own_stores() as stores:
        async with served(stores, {"BACKGROUND_WORK": "false"}) as product:
            owner, members = await _shop(product)
            await import_rows(product, owner, members, RELAYED_BATCHES * ROWS)
        async with served(stores):
            seen["relay alone: rows/s"] = await _relayed(stores.url)
    note = (
        f"{ROWS:,} purchases a round in messages of {BATCH_ROWS:,}, made beforehand; PostgreSQL is durable, the relay"
        f" and the tiers work beside. The relay alone carries {RELAYED_BATCHES} batches of {ROWS:,}."
    )
    return {name: Figure.of(values) for name, values in seen.items()}, note


async def _import_in_rounds(product: Stage, rounds: int, console: Console, seen: dict[str, list[float]]) -> None:
    owner, members = await _shop(product)
    connection = await asyncpg.connect(product.url)
    for number in range(rounds):
        began = await connection.fetchval("SELECT now()")
        cpu_seconds = product.server.cpu_seconds()
        seconds = await import_rows(product, owner, members, ROWS)
        seen["import: rows/s"].append(ROWS / seconds)
        seen["import: server CPU us a row"].append(1e6 * (product.server.cpu_seconds() - cpu_seconds) / ROWS)
        await until(lambda: _is_shipped(connection), WAIT_SECONDS)
        seen["relay beside an import: most lag s"].append(float(await connection.fetchval(_LAG, began)))
        console.print(f"import, round {number + 1} of {rounds}: {ROWS / seconds:,.0f} rows/s", style="dim")
    await connection.close()


async def _shop(product: Stage) -> tuple[Person, Sequence[str]]:
    owner, *members = await product.people(MEMBERS + 1)
    await product.give_shop(SHOP, owner)
    return owner, [member.user_id for member in members]


async def import_rows(product: Stage, owner: Person, user_ids: Sequence[str], rows: int) -> float:
    """Imports new purchases and returns how long that took, each of them written.

    Raises:
        ValueError: One was refused.
    """
    buyers = [user_ids[number % len(user_ids)] for number in range(rows)]
    messages = [
        ImportPurchasesRequest(business_id=str(SHOP), purchases=map(purchase, buyers[begin : begin + BATCH_ROWS]))
        for begin in range(0, rows, BATCH_ROWS)
    ]

    async def sent() -> AsyncIterator[ImportPurchasesRequest]:
        for message in messages:
            yield message

    began = time.perf_counter()
    answer = await PurchasesServiceStub(product.circle.channel).ImportPurchases(sent(), metadata=owner.metadata)
    seconds = time.perf_counter() - began
    if answer.recorded_count != rows:
        raise ValueError(f"{answer.recorded_count} of {rows} purchases were recorded")
    return seconds


async def buyers(url: str, count: int) -> list[str]:
    """Returns the ids of some users who have not signed in."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(_BUYERS, count)
    await connection.close()
    return [row["id"] for row in rows]


async def _is_shipped(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    behind: int = await connection.fetchval(_BEHIND)
    return behind == 0


async def _relayed(url: str) -> list[float]:
    """Waits until all is carried, and returns how many rows a second each batch but the first was."""
    connection = await asyncpg.connect(url)
    await until(lambda: _is_shipped(connection), WAIT_SECONDS)
    rows = await connection.fetch(_BATCHES)
    await connection.close()
    return [float(row["entry_count"]) / float(row["seconds"]) for row in rows if row["seconds"] is not None]
