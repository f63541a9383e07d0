"""SQL of the way from the ledger to the warehouse, and of the proof that both hold the same."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
from sqlalchemy import text

from svoykrug_server.purchases.store_totals import BusinessDay, DayProof, KeptProof, Standing, StoreTotals
from svoykrug_server.storage.postgres import ReadConnection, Transaction

if TYPE_CHECKING:
    from svoykrug_server.purchases.ledger_block import LedgerBlock

LEDGER_ROWS = """
    SELECT entry.entry_id, entry.purchase_id, entry.business_id, entry.member_id, entry.amount_minor,
        entry.purchase_time, entry.kind, entry.sensitive, entry.currency_code, outbox.batch_id
    FROM outbox JOIN purchase_entries AS entry USING (outbox_id)
"""

# Which ledger rows are in these batches? (in an order that never changes, so that their hash does not; numbers stand
# in the text: COPY takes no parameters, and asyncpg would have them quoted by the database, in two round trips more)
_COPY_BATCHES = f"""
    {LEDGER_ROWS} WHERE outbox.batch_id BETWEEN {{:d}} AND {{:d}} ORDER BY outbox_id, entry.entry_id
"""

# Which ledger rows of this day at this business are in batches up to this one?
_COPY_DAY = f"""
    {LEDGER_ROWS}
    WHERE entry.business_id = $1 AND outbox.batch_id <= $4
        AND entry.purchase_time >= $2::date::timestamp AT TIME ZONE $3
        AND entry.purchase_time < ($2::date + 1)::timestamp AT TIME ZONE $3
    ORDER BY outbox_id, entry.entry_id
"""

# When were these batches sealed?
_INGEST_TIMES = text(
    "SELECT batch_id, ingest_time FROM sealed_batches WHERE batch_id = ANY(CAST(:batch_ids AS bigint[]))"
)

# Which shipped batches come after this one, as many as together hold so many rows?
_NEXT_SHIPPED = text(
    """
    SELECT max(batch_id) FROM (
        SELECT batch_id, sum(entry_count) OVER (ORDER BY batch_id) AS so_far, entry_count FROM sealed_batches
        WHERE batch_id > :after_id AND shipped_time IS NOT NULL ORDER BY batch_id LIMIT 10000
    ) AS batches WHERE so_far <= :most_entries OR so_far = entry_count
    """
)

# Which days does this batch touch, of those that the warehouse holds?
_TOUCH_DAYS = text(
    """
    INSERT INTO proven_days (business_id, day, touched_batch_id)
    SELECT DISTINCT purchase_entries.business_id, CAST(purchase_time AT TIME ZONE :time_zone AS date), outbox.batch_id
    FROM outbox JOIN purchase_entries USING (outbox_id)
    WHERE outbox.batch_id = :batch_id
        AND CAST(purchase_time AT TIME ZONE :time_zone AS date)
            >= coalesce((SELECT kept_from_day FROM relay_state), '-infinity')
    ON CONFLICT (business_id, day) DO UPDATE SET touched_batch_id = excluded.touched_batch_id
    """
)

# Which days have entries in the warehouse only, or must be read again for another reason?
_TOUCH_AGAIN = text(
    """
    INSERT INTO proven_days (business_id, day, touched_batch_id)
    SELECT business_id, day, 0
    FROM unnest(CAST(:business_ids AS uuid[]), CAST(:days AS date[])) AS days (business_id, day)
    WHERE day >= coalesce((SELECT kept_from_day FROM relay_state), '-infinity')
    ON CONFLICT (business_id, day) DO UPDATE SET proven_batch_id = least(proven_days.proven_batch_id, 0) - 1
    """
)

# Is every day (of this business) to be read again, and are the stores taken to disagree until it is? (below 0 each time
# asked is another number, so that a comparison that was begun before is told from one begun after)
_TOUCH_ALL = text(
    """
    UPDATE proven_days SET proven_batch_id = least(proven_batch_id, 0) - 1,
        disputed_since_time = CASE WHEN :doubted THEN coalesce(disputed_since_time, :now) ELSE disputed_since_time END
    WHERE CAST(:business_id AS uuid) IS NULL OR business_id = :business_id
    """
)

# When was every day set to be read again? (of one business it is not; the row is locked first in any case)
_NOTE_FULL_PROOF = text("UPDATE relay_state SET full_proof_time = CASE WHEN :all THEN :now ELSE full_proof_time END")

# When was every day last set to be read again?
_FULL_PROOF_TIME = "SELECT full_proof_time FROM relay_state"

# Which days changed since they were proven, and were not proven as far as is shipped? (the last batch that touched one
# may not be shipped, and another before it be so since the proof; of one business, or of all for null)
_UNPROVEN = """
    SELECT business_id, day FROM proven_days WHERE touched_batch_id > proven_batch_id AND proven_batch_id < $1
        AND ($3::uuid IS NULL OR business_id = $3)
    ORDER BY business_id, day LIMIT $2
"""

# Which of these days were last compared by this instant, never, or not as far as is shipped?
_COMPARED_BY = """
    SELECT business_id, day FROM proven_days JOIN unnest($1::uuid[], $2::date[]) AS asked (business_id, day)
        USING (business_id, day)
    WHERE proven_time IS NULL OR proven_time <= $4 OR touched_batch_id > proven_batch_id AND proven_batch_id < $3
    ORDER BY business_id, day
"""

# Which proof does each of these days have?
_KEPT_PROOFS = """
    SELECT business_id, day, proven_batch_id, proven_time
    FROM proven_days JOIN unnest($1::uuid[], $2::date[]) AS asked (business_id, day) USING (business_id, day)
"""

# What should the warehouse hold in total of the days that are proven equal, and which days are not, so many at most?
_STANDING = """
    WITH days AS NOT MATERIALIZED (
        SELECT *, touched_batch_id > proven_batch_id OR disputed_since_time IS NOT NULL AS open FROM proven_days
    ), few AS MATERIALIZED (SELECT business_id, day FROM days WHERE open LIMIT $1)
    SELECT (SELECT coalesce(max(batch_id), 0) FROM sealed_batches) AS batch_id,
        (SELECT kept_from_day FROM relay_state) AS kept_from_day,
        coalesce(sum(clickhouse_count) FILTER (WHERE NOT open), 0)::bigint AS entry_count,
        coalesce(sum(clickhouse_sum_minor) FILTER (WHERE NOT open), 0)::bigint AS sum_minor,
        (SELECT array_agg(business_id ORDER BY business_id, day) FROM few) AS business_ids,
        (SELECT array_agg(day ORDER BY business_id, day) FROM few) AS days
    FROM days
"""

_SEEN_TO_DISAGREE = "FROM proven_days WHERE disputed_since_time IS NOT NULL AND proven_batch_id >= 0"

# On which days have the stores been seen to disagree, so many at most? (not those that are doubted and to be read yet)
_DISPUTED = f"SELECT business_id, day {_SEEN_TO_DISAGREE} ORDER BY business_id, day LIMIT $1"

# On how many?
_DISPUTED_COUNT = f"SELECT count(*) {_SEEN_TO_DISAGREE}"

# What does the ledger hold of these days, of batches up to this one?
_TOTALS = """
    SELECT days.business_id, days.day, count(*) AS entry_count, sum(amount_minor)::bigint AS sum_minor,
        mod(mod(sum(('x' || left(md5(concat_ws('|', entry_id, days.business_id, member_id, amount_minor, currency_code,
            (extract(epoch FROM purchase_time) * 1000000)::bigint, kind)), 16))::bit(64)::bigint),
            18446744073709551616) + 18446744073709551616, 18446744073709551616) AS hash
    FROM unnest($1::uuid[], $2::date[]) AS days (business_id, day)
    JOIN purchase_entries AS entry ON entry.business_id = days.business_id
        AND purchase_time >= days.day::timestamp AT TIME ZONE $3
        AND purchase_time < (days.day + 1)::timestamp AT TIME ZONE $3
    JOIN outbox ON outbox.outbox_id = entry.outbox_id AND outbox.batch_id <= $4
    GROUP BY days.business_id, days.day
"""

# What did each store hold of these days when they were compared, and did they disagree? (unless another was kept since
# the comparison was begun, or one asked for)
_STORE_PROOF = text(
    """
    UPDATE proven_days SET proven_batch_id = :batch_id, proven_time = :now,
        postgres_count = proof.postgres_count, postgres_sum_minor = proof.postgres_sum_minor,
        postgres_hash = proof.postgres_hash, clickhouse_count = proof.clickhouse_count,
        clickhouse_sum_minor = proof.clickhouse_sum_minor, clickhouse_hash = proof.clickhouse_hash,
        disputed_since_time = CASE WHEN proof.equal THEN NULL ELSE coalesce(disputed_since_time, :now) END
    FROM unnest(
        CAST(:business_ids AS uuid[]), CAST(:days AS date[]), CAST(:postgres_counts AS bigint[]),
        CAST(:postgres_sums AS bigint[]), CAST(:postgres_hashes AS numeric[]), CAST(:clickhouse_counts AS bigint[]),
        CAST(:clickhouse_sums AS bigint[]), CAST(:clickhouse_hashes AS numeric[]), CAST(:equal AS boolean[]),
        CAST(:before_batch_ids AS bigint[]), CAST(:before_times AS timestamptz[])
    ) AS proof (
        business_id, day, postgres_count, postgres_sum_minor, postgres_hash, clickhouse_count, clickhouse_sum_minor,
        clickhouse_hash, equal, before_batch_id, before_time
    )
    WHERE proven_days.business_id = proof.business_id AND proven_days.day = proof.day
        AND proven_days.proven_batch_id = proof.before_batch_id AND proven_days.proven_batch_id <= :batch_id
        AND proven_days.proven_time IS NOT DISTINCT FROM proof.before_time
    RETURNING proven_days.business_id, proven_days.day
    """
)

# Is a rebuild of the warehouse wanted?
_REQUEST_REBUILD = text("UPDATE relay_state SET rebuild_id = :rebuild_id")

# May a rebuild be asked for: is none wanted yet?
_WANT_REBUILD = text("UPDATE relay_state SET rebuild_id = :rebuild_id WHERE rebuild_id IS NULL")

# Is this rebuild done?
_END_REBUILD = text("UPDATE relay_state SET rebuild_id = NULL WHERE rebuild_id = :rebuild_id")


class PipelineRepository:
    """Reads what goes to the warehouse and keeps the proof.

    Args:
        time_zone: The circle's time zone: a day is a day there.
    """

    def __init__(self, time_zone: str) -> None:
        self._time_zone = time_zone

    async def copy_batches(self, tx: Transaction, first_id: int, last_id: int) -> "LedgerBlock":
        """Returns the ledger rows of a range of batches; both ends belong to it."""
        return await copy_ledger(tx, _COPY_BATCHES.format(first_id, last_id))

    async def copy_day(self, tx: Transaction, at: BusinessDay, up_to_batch_id: int) -> "LedgerBlock":
        """Returns the ledger rows of a day at a business that are in batches up to one."""
        return await copy_ledger(tx, _COPY_DAY, at.business_id, at.day, self._time_zone, up_to_batch_id)

    async def ingest_times(self, tx: Transaction, batch_ids: Sequence[int]) -> Mapping[int, datetime]:
        """Returns when some batches were sealed."""
        rows = await tx.execute(_INGEST_TIMES, {"batch_ids": list(batch_ids)})
        return {row.batch_id: row.ingest_time for row in rows}

    async def next_shipped(self, tx: Transaction, after_id: int, most_entries: int) -> int | None:
        """Returns the last of the shipped batches after one that together hold so many rows; None for no more."""
        found = await tx.execute(_NEXT_SHIPPED, {"after_id": after_id, "most_entries": most_entries})
        last_id: int | None = found.scalar_one()
        return last_id

    async def touch_days(self, tx: Transaction, batch_id: int) -> None:
        """Notes which days a batch that is being sealed touches: they must be proven again."""
        await tx.execute(_TOUCH_DAYS, {"batch_id": batch_id, "time_zone": self._time_zone})

    async def touch_again(self, tx: Transaction, days: Sequence[BusinessDay]) -> None:
        """Notes days that must be proven again though no batch touches them."""
        business_ids, dates = [at.business_id for at in days], [at.day for at in days]
        await tx.execute(_TOUCH_AGAIN, {"business_ids": business_ids, "days": dates})

    async def touch_all(
        self, tx: Transaction, now: datetime, *, business_id: UUID | None = None, doubted: bool = False
    ) -> None:
        """Notes that every day must be proven again, and that it was noted.

        Args:
            tx: The transaction.
            now: The present.
            business_id: Only every day of this business, which is not noted; None for all.
            doubted: Whether the stores are taken to disagree on each until it is proven.
        """
        await tx.execute(_NOTE_FULL_PROOF, {"now": now, "all": business_id is None})
        await tx.execute(_TOUCH_ALL, {"now": now, "doubted": doubted, "business_id": business_id})

    async def full_proof_time(self, connection: ReadConnection) -> datetime | None:
        """Returns when every day was last set to be proven again."""
        instant: datetime | None = await connection.fetchval(_FULL_PROOF_TIME)
        return instant

    async def unproven_days(
        self, connection: ReadConnection, up_to_batch_id: int, limit: int, business_id: UUID | None = None
    ) -> Sequence[BusinessDay]:
        """Returns days (of one business) that changed since they were proven and are not proven up to a batch."""
        return _days_of(await connection.fetch(_UNPROVEN, up_to_batch_id, limit, business_id))

    async def compared_by(
        self, connection: ReadConnection, days: Sequence[BusinessDay], up_to_batch_id: int, instant: datetime
    ) -> Sequence[BusinessDay]:
        """Returns those of some days that were last compared by an instant, never, or not up to a batch."""
        business_ids, dates = [at.business_id for at in days], [at.day for at in days]
        return _days_of(await connection.fetch(_COMPARED_BY, business_ids, dates, up_to_batch_id, instant))

    async def kept_proofs(
        self, connection: ReadConnection, days: Sequence[BusinessDay]
    ) -> Mapping[BusinessDay, KeptProof]:
        """Returns which proof days have; those that are not among the days to compare are left out."""
        rows = await connection.fetch(_KEPT_PROOFS, [at.business_id for at in days], [at.day for at in days])
        return {
            BusinessDay(row["business_id"], row["day"]): KeptProof(row["proven_batch_id"], row["proven_time"])
            for row in rows
        }

    async def standing(self, connection: ReadConnection, most_open_days: int) -> Standing:
        """Returns what the warehouse should hold in total, by the proofs; names so many open days at most."""
        row = await connection.fetchrow(_STANDING, most_open_days)
        if row is None:
            raise LookupError("an aggregate has one row")
        open_days = [BusinessDay(*at) for at in zip(row["business_ids"] or (), row["days"] or (), strict=True)]
        return Standing(row["batch_id"], row["kept_from_day"], open_days, (row["entry_count"], row["sum_minor"]))

    async def disputed_days(self, connection: ReadConnection, limit: int) -> Sequence[BusinessDay]:
        """Returns days on which the stores have been seen to disagree."""
        return _days_of(await connection.fetch(_DISPUTED, limit))

    async def disputed_day_count(self, connection: ReadConnection) -> int:
        """Returns on how many days the stores have been seen to disagree."""
        count: int = await connection.fetchval(_DISPUTED_COUNT)
        return count

    async def totals(
        self, connection: ReadConnection, days: Sequence[BusinessDay], up_to_batch_id: int
    ) -> Mapping[BusinessDay, StoreTotals]:
        """Returns what the ledger holds of days, of batches up to one; days without an entry are left out."""
        business_ids, dates = [at.business_id for at in days], [at.day for at in days]
        rows = await connection.fetch(_TOTALS, business_ids, dates, self._time_zone, up_to_batch_id)
        return {
            BusinessDay(row["business_id"], row["day"]): StoreTotals(
                row["entry_count"], row["sum_minor"], int(row["hash"])
            )
            for row in rows
        }

    async def store_proof(
        self, tx: Transaction, proofs: Iterable[DayProof], batch_id: int, now: datetime
    ) -> frozenset[BusinessDay]:
        """Keeps what each store held of days, of batches up to one, and returns the days of which it was kept.

        A day stays as it is when, since its comparison was begun, another was kept or one asked for; one that has been
        let go is not compared any more.
        """
        kept = [(proof, proof.before) for proof in proofs if proof.before is not None]
        rows = await tx.execute(
            _STORE_PROOF,
            {
                "batch_id": batch_id,
                "now": now,
                "business_ids": [proof.at.business_id for proof, _ in kept],
                "days": [proof.at.day for proof, _ in kept],
                "postgres_counts": [proof.postgres.entry_count for proof, _ in kept],
                "postgres_sums": [proof.postgres.sum_minor for proof, _ in kept],
                "postgres_hashes": [proof.postgres.hash for proof, _ in kept],
                "clickhouse_counts": [proof.clickhouse.entry_count for proof, _ in kept],
                "clickhouse_sums": [proof.clickhouse.sum_minor for proof, _ in kept],
                "clickhouse_hashes": [proof.clickhouse.hash for proof, _ in kept],
                "equal": [proof.equal for proof, _ in kept],
                "before_batch_ids": [before.batch_id for _, before in kept],
                "before_times": [before.time for _, before in kept],
            },
        )
        return frozenset(BusinessDay(row.business_id, row.day) for row in rows)

    async def request_rebuild(self, tx: Transaction, rebuild_id: UUID) -> None:
        """Asks whoever holds the lease to rebuild the warehouse."""
        await tx.execute(_REQUEST_REBUILD, {"rebuild_id": rebuild_id})

    async def want_rebuild(self, tx: Transaction, rebuild_id: UUID) -> None:
        """Asks for a rebuild, unless one is asked for already."""
        await tx.execute(_WANT_REBUILD, {"rebuild_id": rebuild_id})

    async def end_rebuild(self, tx: Transaction, rebuild_id: UUID) -> None:
        """Says that a rebuild is done."""
        await tx.execute(_END_REBUILD, {"rebuild_id": rebuild_id})


def _days_of(rows: Sequence[asyncpg.Record]) -> Sequence[BusinessDay]:
    return [BusinessDay(row["business_id"], row["day"]) for row in rows]


async def copy_ledger(tx: Transaction, query: str, *parameters: object) -> "LedgerBlock":
    """Returns the ledger rows that a query finds: one that selects `LEDGER_ROWS`, with `$1` and so on as values."""
    from svoykrug_server.purchases.ledger_block import LedgerBlock  # noqa: PLC0415  pyarrow and numpy load beside the start

    copied = BytesIO()
    connection = await tx.driver()
    await connection.copy_from_query(query, *parameters, output=copied, format="binary")
    return LedgerBlock(copied.getvalue())
