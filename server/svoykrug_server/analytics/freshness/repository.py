"""SQL that reads the proof of equality, which the reconciler keeps by business and day."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import asyncpg

from svoykrug_server.analytics.freshness.model import Comparison, DayComparison, DayRange, ProofState, StoreTotals
from svoykrug_server.storage.postgres import ReadConnection

_IN_SCOPE = """
    FROM proven_days JOIN businesses ON businesses.id = proven_days.business_id
    WHERE ($1::uuid IS NULL OR business_id = $1) AND ($2 OR NOT businesses.sensitive)
"""

# What does each store hold of the scope in total, on how many days do they disagree, how many are not proven as far as
# is shipped, and how old is the oldest proof? (a batch may have been shipped since the proof though the last one of the
# day is not: the proof itself must go as far, unless nothing touched the day after it)
_TOTALS = f"""
    SELECT coalesce(sum(postgres_count), 0)::bigint AS postgres_count,
        coalesce(sum(postgres_sum_minor), 0)::bigint AS postgres_sum_minor,
        mod(coalesce(sum(postgres_hash), 0), 18446744073709551616) AS postgres_hash,
        coalesce(sum(clickhouse_count), 0)::bigint AS clickhouse_count,
        coalesce(sum(clickhouse_sum_minor), 0)::bigint AS clickhouse_sum_minor,
        mod(coalesce(sum(clickhouse_hash), 0), 18446744073709551616) AS clickhouse_hash,
        count(disputed_since_time) AS disputed_day_count,
        count(*) FILTER (WHERE touched_batch_id > proven_batch_id AND proven_batch_id < $3) AS unproven_day_count,
        min(proven_time) AS proven_time
    {_IN_SCOPE}
"""

# Which days of the scope lie in this range, after a position in the list?
_DAYS = f"""
    SELECT business_id, day {_IN_SCOPE} AND day >= $3 AND day < $4
        AND ($5::uuid IS NULL OR (business_id, day) > ($5, $6)) ORDER BY business_id, day LIMIT $7
"""

# What does each store hold of these days, when was that, and does it still stand, as far as is shipped?
_COMPARED = """
    SELECT business_id, day, postgres_count, postgres_sum_minor, postgres_hash, clickhouse_count,
        clickhouse_sum_minor, clickhouse_hash, proven_time, disputed_since_time IS NOT NULL AS is_disputed,
        touched_batch_id > proven_batch_id AND proven_batch_id < $3 AS is_unproven
    FROM proven_days JOIN unnest($1::uuid[], $2::date[]) AS listed (business_id, day) USING (business_id, day)
    ORDER BY business_id, day
"""

# Do the stores disagree on a day of the scope that begins before this instant?
_DISPUTED = f"""
    SELECT EXISTS (
        SELECT {_IN_SCOPE} AND disputed_since_time IS NOT NULL AND day::timestamp AT TIME ZONE $4 < $3
    )
"""

# Does this business keep its purchases secret?
_SENSITIVE = "SELECT sensitive FROM businesses WHERE id = $1"


Day = tuple[UUID, date]
"""A day at a business."""


class FreshnessRepository:
    """Reads the proof.

    Args:
        time_zone: The circle's time zone: a day is a day there.
    """

    def __init__(self, time_zone: str) -> None:
        self._time_zone = time_zone

    async def totals(
        self, connection: ReadConnection, business_id: UUID | None, up_to_batch_id: int, *, with_sensitive: bool
    ) -> Comparison:
        """Returns what each store holds of a business or the circle; what is not shipped up to a batch is no lack."""
        row = await connection.fetchrow(_TOTALS, business_id, with_sensitive, up_to_batch_id)
        if row is None:
            raise LookupError("an aggregate has one row")
        counts = row["disputed_day_count"], row["unproven_day_count"]
        return Comparison(_totals(row, "postgres"), _totals(row, "clickhouse"), *counts, row["proven_time"])

    async def days(
        self,
        connection: ReadConnection,
        business_id: UUID | None,
        days: DayRange,
        after: Day | None,
        limit: int,
        *,
        with_sensitive: bool,
    ) -> Sequence[Day]:
        """Returns the next days of a scope, each at a business, in their order."""
        position = after or (None, None)
        rows = await connection.fetch(_DAYS, business_id, with_sensitive, days.from_day, days.to_day, *position, limit)
        return [(row["business_id"], row["day"]) for row in rows]

    async def compared(
        self, connection: ReadConnection, days: Sequence[Day], up_to_batch_id: int
    ) -> Sequence[DayComparison]:
        """Returns what each store holds of days, by business and day; what is not shipped up to a batch is no lack."""
        business_ids, dates = [business_id for business_id, _ in days], [day for _, day in days]
        rows = await connection.fetch(_COMPARED, business_ids, dates, up_to_batch_id)
        return [
            DayComparison(
                *(row["business_id"], row["day"], _totals(row, "postgres"), _totals(row, "clickhouse")),
                *(_state(row), row["proven_time"]),
            )
            for row in rows
        ]

    async def disputed(
        self, connection: ReadConnection, business_id: UUID | None, cutoff: datetime, *, with_sensitive: bool
    ) -> bool:
        """Tells whether the stores disagree on a day of a scope that begins before a cutoff."""
        found: bool = await connection.fetchval(_DISPUTED, business_id, with_sensitive, cutoff, self._time_zone)
        return found

    async def is_sensitive(self, connection: ReadConnection, business_id: UUID) -> bool | None:
        """Tells whether a business keeps its purchases secret; None when there is no such business."""
        sensitive: bool | None = await connection.fetchval(_SENSITIVE, business_id)
        return sensitive


def _state(row: asyncpg.Record) -> ProofState:
    if row["is_disputed"]:
        return ProofState.DISPUTED
    return ProofState.UNPROVEN if row["is_unproven"] or row["proven_time"] is None else ProofState.EQUAL


def _totals(row: asyncpg.Record, store: str) -> StoreTotals:
    return StoreTotals(row[f"{store}_count"], row[f"{store}_sum_minor"], int(row[f"{store}_hash"]))
