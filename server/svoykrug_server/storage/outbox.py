"""The outbox: how what a transaction wrote to the ledger becomes a sealed batch for the warehouse, exactly once.

A transaction that writes ledger rows reserves a number, puts it on each row, and appends one outbox entry:

    outbox_id = await outbox.reserve(tx)
    ...                                                     # write ledger rows with this outbox_id
    await outbox.append(tx, follower, outbox_id, business_id, entry_count, now)

One process at a time, by a lease, claims entries that belong to no batch. It asks each entry (`batch_id IS NULL`) and
never goes by a highest number or time: a transaction that was open across a seal commits a number lower than ones
already claimed, and is claimed by the next seal. A batch never changes once sealed; `ingest_time` is stored with it, so
that a rebuild repeats it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

from sqlalchemy import TextClause, text

from svoykrug_server.storage.postgres import ReadConnection, Transaction

_ONE_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """What goes to the warehouse in one insert.

    Attributes:
        batch_id: 1, 2, 3, ... in the order of sealing.
        ingest_time: When it was sealed; grows with `batch_id`.
        entry_count: How many ledger rows it has.
        content_hash: 16 bytes that tell these rows from any others.
    """

    batch_id: int
    ingest_time: datetime
    entry_count: int
    content_hash: bytes

    @property
    def deduplication_token(self) -> str:
        """The token under which the warehouse takes this batch, and these rows, once."""
        return f"{self.batch_id}-{self.content_hash.hex()}"


@dataclass(frozen=True, slots=True)
class Claim:
    """Outbox entries that were given to a batch that is not sealed yet.

    Attributes:
        batch_id: The batch.
        ingest_time: When it is sealed.
        entry_count: How many ledger rows the entries stand for; 0 when nothing waited.
        clean: Whether nothing that was committed before is left unclaimed.
    """

    batch_id: int
    ingest_time: datetime
    entry_count: int
    clean: bool


@dataclass(frozen=True, slots=True)
class Lead:
    """Who seals and ships.

    Attributes:
        holder: The process that last took the lease; None when it gave it back.
        expire_time: When another process may take over.
        rebuild_id: The rebuild of the warehouse that is wanted; None when none is.
    """

    holder: UUID | None
    expire_time: datetime | None
    rebuild_id: UUID | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for the warehouse.

    Attributes:
        watermark: Up to here the warehouse holds everything; None before the first seal.
        waiting_count: How many ledger rows are not shipped.
        oldest_record_time: When the oldest of them was recorded; None when none waits.
    """

    watermark: datetime | None
    waiting_count: int
    oldest_record_time: datetime | None


# Which number does the next outbox entry get?
_RESERVE = text("SELECT nextval('outbox_number')")

# Which ledger rows has this transaction written? (and whoever follows the ledger hears of them)
_APPEND = """
    WITH appended AS (
        INSERT INTO outbox (outbox_id, business_id, entry_count, record_time)
        VALUES (:outbox_id, :business_id, :entry_count, :now)
        RETURNING outbox_id, entry_count
    )
"""

# May this process seal and ship until the lease expires? (the row stays locked until the transaction ends)
_TAKE_LEASE = text(
    """
    UPDATE relay_state SET lease_holder = :holder, lease_expire_time = :expire_time
    WHERE lease_holder IS NULL OR lease_holder = :holder OR lease_expire_time < :now
    RETURNING only_row
    """
)

# Does nobody else seal, or write proofs of days? (until the transaction ends)
_TAKE_TURN = text("SELECT FROM relay_state FOR UPDATE")

# Who seals and ships, and is a rebuild of the warehouse wanted?
_LEAD = "SELECT lease_holder, lease_expire_time, rebuild_id FROM relay_state"

# Was anything ever shipped? Then a rebuild of the warehouse is wanted, this one unless another is already.
_WANT_REBUILD_OF_SHIPPED = text(
    """
    UPDATE relay_state SET rebuild_id = coalesce(rebuild_id, :rebuild_id)
    WHERE EXISTS (SELECT FROM sealed_batches WHERE shipped_time IS NOT NULL)
    RETURNING only_row
    """
)

# May another process take over at once?
_RELEASE_LEASE = text("UPDATE relay_state SET lease_holder = NULL WHERE lease_holder = :holder")

# What was the last batch, and which is the latest instant that a batch or a clean seal bears?
_LAST_SEAL = text(
    """
    SELECT coalesce(max(batch_id), 0) AS batch_id,
        greatest(max(ingest_time), (SELECT clean_seal_time FROM relay_state)) AS seal_time
    FROM sealed_batches
    """
)

# Which entries belong to no batch yet, up to a number of ledger rows, and is any of them left? (all by one view of the
# outbox)
_CLAIM = text(
    """
    WITH waiting AS MATERIALIZED (
        SELECT outbox_id, entry_count FROM outbox WHERE batch_id IS NULL ORDER BY outbox_id LIMIT :most_entries
    ), counted AS (
        SELECT outbox_id, sum(entry_count) OVER (ORDER BY outbox_id) AS so_far, entry_count FROM waiting
    ), claimed AS (
        UPDATE outbox SET batch_id = :batch_id FROM counted
        WHERE outbox.outbox_id = counted.outbox_id
            AND (counted.so_far <= :most_entries OR counted.so_far = counted.entry_count)
        RETURNING outbox.entry_count
    )
    SELECT coalesce(sum(entry_count), 0) AS entry_count,
        count(*) = (SELECT count(*) FROM waiting) AND count(*) < :most_entries AS clean
    FROM claimed
    """
)

# What is in this batch?
_SEAL = text(
    """
    INSERT INTO sealed_batches (batch_id, ingest_time, entry_count, content_hash)
    VALUES (:batch_id, :ingest_time, :entry_count, :content_hash)
    """
)

# When was nothing left unclaimed, and which was the last batch then?
_NOTE_CLEAN_SEAL = text("UPDATE relay_state SET clean_seal_time = :seal_time, clean_seal_batch_id = :batch_id")

# Which batches does the warehouse not hold yet, the oldest first?
_UNSHIPPED = text(
    """
    SELECT batch_id, ingest_time, entry_count, content_hash FROM sealed_batches
    WHERE shipped_time IS NULL ORDER BY batch_id
    """
)

# When was the warehouse seen to hold this batch? (from here on nobody seals: a statement that waited for a seal would
# know its time and not its batch, and call that shipped)
_MARK_SHIPPED = text(
    """
    WITH turn AS MATERIALIZED (SELECT FROM relay_state FOR UPDATE)
    UPDATE sealed_batches SET shipped_time = :now FROM turn WHERE batch_id = :batch_id AND shipped_time IS NULL
    """
)

# Up to when does the warehouse hold everything: is every batch of the last clean seal shipped?
_MOVE_WATERMARK = text(
    """
    UPDATE relay_state SET watermark = clean_seal_time
    WHERE clean_seal_time IS DISTINCT FROM watermark AND NOT EXISTS (
        SELECT FROM sealed_batches
        WHERE shipped_time IS NULL AND batch_id <= relay_state.clean_seal_batch_id
    )
    """
)

# Up to which batch does the warehouse hold all of them?
_SHIPPED_UP_TO = """
    SELECT coalesce(
        (SELECT min(batch_id) - 1 FROM sealed_batches WHERE shipped_time IS NULL),
        (SELECT max(batch_id) FROM sealed_batches), 0
    )
"""

# How many ledger rows wait (of a business, or of all when it is null), since when, and how far is the warehouse?
_BACKLOG = """
    SELECT (SELECT watermark FROM relay_state) AS watermark,
        coalesce(sum(entry_count), 0)::bigint AS waiting_count, min(record_time) AS oldest_record_time
    FROM (
        SELECT entry_count, record_time, business_id FROM outbox WHERE batch_id IS NULL
        UNION ALL
        SELECT outbox.entry_count, outbox.record_time, outbox.business_id
        FROM sealed_batches JOIN outbox USING (batch_id) WHERE shipped_time IS NULL
    ) AS waiting
    WHERE ($1::uuid IS NULL OR business_id = $1)
        AND ($2 OR business_id NOT IN (SELECT id FROM businesses WHERE sensitive))
"""


async def reserve(tx: Transaction) -> int:
    """Returns the number of the outbox entry that this transaction is going to append."""
    number: int = (await tx.execute(_RESERVE)).scalar_one()
    return number


async def append(
    tx: Transaction, follower: str, outbox_id: int, business_id: UUID, entry_count: int, now: datetime
) -> None:
    """Says which ledger rows this transaction has written.

    Args:
        tx: The transaction.
        follower: What whoever follows the ledger does in the same statement: SQL that selects `outbox_id` and
            `entry_count` from `appended`.
        outbox_id: The number that the rows carry.
        business_id: Whose they are.
        entry_count: How many there are, 1 or more.
        now: The present.
    """
    values = {"outbox_id": outbox_id, "business_id": business_id, "entry_count": entry_count, "now": now}
    await tx.execute(_appending(follower), values)


@cache
def _appending(follower: str) -> TextClause:
    return text(_APPEND + follower)


async def take_lease(tx: Transaction, holder: UUID, now: datetime, lasts: timedelta) -> bool:
    """Takes or prolongs the lease; returns False while another process holds it."""
    taken = await tx.execute(_TAKE_LEASE, {"holder": holder, "now": now, "expire_time": now + lasts})
    return taken.one_or_none() is not None


async def take_turn(tx: Transaction) -> None:
    """Waits for the row that whoever seals locks first.

    Whoever is going to write rows of `proven_days` locks it first as well: each in another order, they would wait for
    one another.
    """
    await tx.execute(_TAKE_TURN)


async def release_lease(tx: Transaction, holder: UUID) -> None:
    """Gives the lease back, if this process holds it."""
    await tx.execute(_RELEASE_LEASE, {"holder": holder})


async def want_rebuild_of_shipped(tx: Transaction, rebuild_id: UUID) -> bool:
    """Asks whoever holds the lease to rebuild the warehouse if anything was ever shipped; tells whether it was."""
    wanted = await tx.execute(_WANT_REBUILD_OF_SHIPPED, {"rebuild_id": rebuild_id})
    return wanted.one_or_none() is not None


async def claim(tx: Transaction, seal_time: datetime, most_entries: int) -> Claim:
    """Gives the entries that belong to no batch to the next one. The caller holds the lease in this transaction.

    Args:
        tx: The transaction that took the lease.
        seal_time: The present; read before the transaction began, so that nothing committed before it is missed.
        most_entries: How many ledger rows a batch has at most, unless one entry alone has more.
    """
    last = (await tx.execute(_LAST_SEAL)).one()
    batch_id = last.batch_id + 1
    ingest_time = max(seal_time, last.seal_time + _ONE_MICROSECOND) if last.seal_time else seal_time
    claimed = (await tx.execute(_CLAIM, {"batch_id": batch_id, "most_entries": most_entries})).one()
    if claimed.clean:
        last_batch_id = batch_id if claimed.entry_count else last.batch_id
        await tx.execute(_NOTE_CLEAN_SEAL, {"seal_time": ingest_time, "batch_id": last_batch_id})
    if not claimed.entry_count:
        await tx.execute(_MOVE_WATERMARK)
    return Claim(batch_id, ingest_time, int(claimed.entry_count), claimed.clean)


async def seal(tx: Transaction, claimed: Claim, content_hash: bytes) -> SealedBatch:
    """Seals the batch of a claim that is not empty, in the claim's transaction."""
    batch = SealedBatch(claimed.batch_id, claimed.ingest_time, claimed.entry_count, content_hash)
    await tx.execute(
        _SEAL,
        {
            "batch_id": batch.batch_id,
            "ingest_time": batch.ingest_time,
            "entry_count": batch.entry_count,
            "content_hash": batch.content_hash,
        },
    )
    return batch


async def unshipped(tx: Transaction) -> Sequence[SealedBatch]:
    """Returns the batches that the warehouse does not hold yet, the oldest first."""
    rows = await tx.execute(_UNSHIPPED)
    return [SealedBatch(row.batch_id, row.ingest_time, row.entry_count, bytes(row.content_hash)) for row in rows]


async def mark_shipped(tx: Transaction, batch_id: int, now: datetime) -> None:
    """Says that the warehouse was seen to hold a batch, and moves the watermark if that was the last one missing."""
    await tx.execute(_MARK_SHIPPED, {"batch_id": batch_id, "now": now})
    await tx.execute(_MOVE_WATERMARK)


async def lead(connection: ReadConnection) -> Lead:
    """Returns who seals and ships."""
    row = await connection.fetchrow(_LEAD)
    if row is None:
        raise LookupError("the relay's state has one row")
    return Lead(row["lease_holder"], row["lease_expire_time"], row["rebuild_id"])


async def shipped_up_to(connection: ReadConnection) -> int:
    """Returns the last batch up to which the warehouse holds all; 0 when it holds none."""
    batch_id: int = await connection.fetchval(_SHIPPED_UP_TO)
    return batch_id


async def backlog(
    connection: ReadConnection, business_id: UUID | None = None, *, with_sensitive: bool = True
) -> Backlog:
    """Returns what waits for the warehouse: of a business, or of all, with or without sensitive businesses."""
    row = await connection.fetchrow(_BACKLOG, business_id, with_sensitive)
    if row is None:
        raise LookupError("an aggregate has one row")
    return Backlog(row["watermark"], row["waiting_count"], row["oldest_record_time"])
