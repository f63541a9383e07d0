"""Circles of random purchases for tests of snapshots, and the way they get into the warehouse.

The entries are those of the ledger: a refund or a reversal is a row of its own that names its purchase.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pyarrow as pa

from svoykrug_server.storage.warehouse import Warehouse

MICROSECONDS = pa.timestamp("us", tz="UTC")
BUSINESSES = tuple(UUID(int=number) for number in range(1, 6))
SENSITIVE = frozenset({BUSINESSES[3], BUSINESSES[4]})
CUTOFF = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)
WATERMARK = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger, as the warehouse holds it."""

    entry_id: UUID
    purchase_id: UUID
    business_id: UUID
    member_id: int
    kind: str
    amount_minor: int
    purchase_time: datetime
    ingest_time: datetime

    @property
    def sensitive(self) -> bool:
        return self.business_id in SENSITIVE


def purchase(
    number: int,
    member_id: int,
    amount_minor: int,
    purchase_time: datetime,
    business_id: UUID = BUSINESSES[0],
    ingest_time: datetime | None = None,
) -> Entry:
    """Returns a purchase; it is known at once unless said otherwise."""
    entry_id = UUID(int=number << 32)
    return Entry(
        entry_id,
        entry_id,
        business_id,
        member_id,
        "purchase",
        amount_minor,
        purchase_time,
        ingest_time or purchase_time,
    )


def correction(number: int, of: Entry, kind: str, amount_minor: int, after: timedelta, late: timedelta) -> Entry:
    """Returns a refund or reversal of a purchase.

    Args:
        number: Makes its id.
        of: The purchase.
        kind: `refund` or `reversal`.
        amount_minor: What goes back; positive.
        after: How long after the purchase it happened.
        late: How long after that it became known.
    """
    happened = of.purchase_time + after
    return replace(
        of,
        entry_id=UUID(int=number << 32),
        kind=kind,
        amount_minor=-amount_minor,
        purchase_time=happened,
        ingest_time=happened + late,
    )


def random_circle(seed: int, members: int = 120, purchases: int = 1500) -> list[Entry]:
    """Returns purchases that hold every hard case.

    There are ties in time and amount, refunds in parts and in full, reversals, late rows, zero amounts, moments around
    midnights of several zones, and times on both sides of every bound.
    """
    rng = random.Random(seed)
    entries: list[Entry] = []
    for number in range(1, purchases + 1):
        moment = CUTOFF - timedelta(days=rng.choice((rng.randint(-20, 60), rng.randint(0, 800))))
        moment = moment.replace(
            hour=rng.choice((0, 9, 20, 21, 22, 23)), minute=rng.choice((0, 30, 59)), second=0, microsecond=0
        )
        bought = purchase(
            number,
            rng.randint(1, members),
            rng.choice((0, 10_000, 25_050, rng.randint(1, 5_000_000))),
            moment,
            rng.choice(BUSINESSES),
            moment + timedelta(days=rng.choice((0, 0, 0, 1, 40, 500))),
        )
        entries += [bought, *_corrections(rng, number, bought)]
    return entries


def _corrections(rng: random.Random, number: int, bought: Entry) -> list[Entry]:
    after, late = timedelta(days=rng.randint(0, 30)), timedelta(days=rng.choice((0, 0, 3, 90)))
    what = rng.random()
    if bought.amount_minor < 2 or what > 0.25:
        return []
    if what < 0.05:
        return [correction(number + 10_000, bought, "reversal", bought.amount_minor, after, late)]
    if what < 0.12:
        return [correction(number + 10_000, bought, "refund", bought.amount_minor, after, late)]
    part = rng.randint(1, bought.amount_minor - 1)
    parts = [correction(number + 10_000, bought, "refund", part, after, late)]
    if what < 0.18:
        rest = bought.amount_minor - part
        parts.append(correction(number + 20_000, bought, "refund", rest, after + timedelta(days=5), late))
    return parts


async def ingest(warehouse: Warehouse, entries: Sequence[Entry], batches: int = 3) -> None:
    """Inserts entries in their order, in several inserts."""
    size = -(-len(entries) // batches)
    for batch_id in range(batches):
        rows = entries[batch_id * size : (batch_id + 1) * size]
        if rows:
            await warehouse.insert_arrow("purchases", _table(rows, batch_id), str(uuid4()))


def _table(rows: Sequence[Entry], batch_id: int) -> pa.Table:
    return pa.table(
        {
            "entry_id": pa.array([row.entry_id.bytes for row in rows], pa.binary(16)),
            "purchase_id": pa.array([row.purchase_id.bytes for row in rows], pa.binary(16)),
            "business_id": pa.array([row.business_id.bytes for row in rows], pa.binary(16)),
            "member_id": pa.array([row.member_id for row in rows], pa.int64()),
            "kind": pa.array([row.kind for row in rows]),
            "amount_minor": pa.array([row.amount_minor for row in rows], pa.int64()),
            "currency": pa.array(["RUB"] * len(rows)),
            "purchase_time": pa.array([row.purchase_time for row in rows], MICROSECONDS),
            "ingest_time": pa.array([row.ingest_time for row in rows], MICROSECONDS),
            "sensitive": pa.array([int(row.sensitive) for row in rows], pa.uint8()),
            "batch_id": pa.array([batch_id] * len(rows), pa.int64()),
        }
    )
