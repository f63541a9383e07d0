"""All ClickHouse SQL of snapshots. Python never holds the population: the engine reads purchases, writes the snapshot.

The rules, applied to what was ingested by the watermark and happened before the cutoff:

- A purchase's net is its amount plus its refunds (negative). It counts unless it was reversed or its refunds reach its
  amount; a receipt of 0.00 counts.
- A circle's snapshot leaves out what was bought at sensitive businesses; a business's holds its own purchases alone.
- Scores are by share with ties together: `least(5, 1 + floor(5 * share of members strictly worse))`, in whole numbers.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from svoykrug_server.analytics.history import LedgerEntry
from svoykrug_server.analytics.model import BuildContents, MemberRow, SegmentFigures, SegmentMovement, SnapshotPlan
from svoykrug_server.analytics.segments import NEW_DAYS, SEGMENT_BY_SCORES, Segment
from svoykrug_server.storage.warehouse import Warehouse

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INT64_MAX = 2**63 - 1

_CIRCLE = "sensitive = 0"
_BUSINESS = "business_id = {business_id:UUID}"

_BUILD = """
INSERT INTO snapshot_members (
    build_id, member_id, recency_days, purchase_count, net_spend_minor, recency_score, frequency_score, monetary_score,
    segment, first_purchase_time, last_purchase_time
)
WITH
    fromUnixTimestamp64Micro({cutoff_us:Int64}, 'UTC') AS cutoff,
    fromUnixTimestamp64Micro({window_start_us:Int64}, 'UTC') AS window_start,
    fromUnixTimestamp64Micro({watermark_us:Int64}, 'UTC') AS watermark,
    toDate(cutoff, {zone:String}) AS cutoff_date,
    corrections AS (
        SELECT purchase_id, sum(amount_minor) AS given_back_minor, max(kind = 'reversal') AS is_reversed
        FROM purchases
        WHERE kind != 'purchase' AND __SCOPE__ AND purchase_time < cutoff AND ingest_time <= watermark
        GROUP BY purchase_id
    ),
    kept AS (
        SELECT member_id, purchase_time, amount_minor + given_back_minor AS net_minor
        FROM purchases
        LEFT ANY JOIN corrections USING (purchase_id)
        WHERE kind = 'purchase' AND __SCOPE__ AND purchase_time < cutoff AND ingest_time <= watermark
            AND is_reversed = 0 AND (amount_minor = 0 OR net_minor > 0)
    ),
    bought AS (
        SELECT
            member_id,
            min(purchase_time) AS first_purchase_time,
            max(purchase_time) AS last_purchase_time,
            countIf(purchase_time >= window_start) AS purchase_count,
            sumIf(net_minor, purchase_time >= window_start) AS net_spend_minor
        FROM kept
        GROUP BY member_id
        HAVING purchase_count > 0
    ),
    dated AS (
        SELECT
            *,
            dateDiff('day', toDate(last_purchase_time, {zone:String}), cutoff_date) AS recency_days,
            dateDiff('day', toDate(first_purchase_time, {zone:String}), cutoff_date) AS first_purchase_days
        FROM bought
    ),
    scored AS (
        SELECT
            *,
            count() OVER () AS member_count,
            least(5, 1 + intDiv(5 * (rank() OVER (ORDER BY recency_days DESC) - 1), member_count)) AS recency_score,
            least(5, 1 + intDiv(5 * (rank() OVER (ORDER BY purchase_count) - 1), member_count)) AS frequency_score,
            least(5, 1 + intDiv(5 * (rank() OVER (ORDER BY net_spend_minor) - 1), member_count)) AS monetary_score
        FROM dated
    ),
    placed AS (
        SELECT
            *,
            transform(
                100 * recency_score + 10 * frequency_score + monetary_score,
                {cells:Array(UInt16)}, {segments:Array(UInt8)}, 0
            ) AS cell_segment
        FROM scored
    )
SELECT
    {build_id:UUID},
    member_id,
    recency_days,
    purchase_count,
    net_spend_minor,
    recency_score,
    frequency_score,
    monetary_score,
    multiIf(
        cell_segment != {new:UInt8} OR first_purchase_days <= {new_days:UInt16}, cell_segment,
        frequency_score > 1, {potential_loyalist:UInt8},
        {about_to_sleep:UInt8}
    ),
    first_purchase_time,
    last_purchase_time
FROM placed
SETTINGS max_block_size = 16384, query_plan_join_swap_table = 'false'
"""
"""Who is in which segment? Written for every member with a purchase in the window, in one pass over the purchases.

Blocks of 16,384 rows need less memory than the usual ones, four times as large, and no more time. Corrections are what
is held in memory, never purchases: the engine would guess which are fewer.
"""

_CONTENTS = """
SELECT
    count(),
    sum(cityHash64(
        member_id, recency_days, purchase_count, net_spend_minor, recency_score, frequency_score, monetary_score,
        segment, first_purchase_time, last_purchase_time
    ))
FROM snapshot_members
WHERE build_id = {build_id:UUID}
"""
"""What does this build hold?"""

_SUMMARY = """
SELECT segment, count(), sum(net_spend_minor), sum(purchase_count), avg(recency_days)
FROM snapshot_members
WHERE build_id = {build_id:UUID}
GROUP BY segment
ORDER BY segment
"""
"""How many members has each segment, and what did they spend?"""

_MEMBER = """
SELECT
    member_id, segment, recency_days, purchase_count, net_spend_minor, recency_score, frequency_score, monetary_score
FROM snapshot_members
PREWHERE build_id = {build_id:UUID} AND member_id = {member_id:Int64}
"""
"""Where is this member in the snapshot? (PREWHERE says what is to be read first: the engine need not find out)"""

_PAGE = """
SELECT
    member_id, segment, recency_days, purchase_count, net_spend_minor, recency_score, frequency_score, monetary_score
FROM snapshot_members
WHERE build_id = {build_id:UUID} AND ({segment:UInt8} = 0 OR segment = {segment:UInt8})
    AND (net_spend_minor < {after_spend:Int64}
        OR net_spend_minor = {after_spend:Int64} AND member_id > {after_member:Int64})
ORDER BY net_spend_minor DESC, member_id
LIMIT {limit:UInt32}
"""
"""Which members come next, the highest net spend first?"""

_MOVEMENTS = """
SELECT from_segment, to_segment, count()
FROM (
    SELECT
        maxIf(segment, build_id = {from_build_id:UUID}) AS from_segment,
        maxIf(segment, build_id = {to_build_id:UUID}) AS to_segment
    FROM snapshot_members
    WHERE build_id IN ({from_build_id:UUID}, {to_build_id:UUID})
    GROUP BY member_id
)
GROUP BY from_segment, to_segment
ORDER BY from_segment, to_segment
"""
"""How many members went from which segment to which?"""

_HISTORY = """
SELECT
    build_id, member_id, segment, recency_days, purchase_count, net_spend_minor, recency_score, frequency_score,
    monetary_score, 0 AS is_purchase, 0 AS happen_us, 0 AS ingest_us
FROM snapshot_members
WHERE build_id IN {build_ids:Array(UUID)} AND member_id = {member_id:Int64}
UNION ALL
SELECT
    toUUID('00000000-0000-0000-0000-000000000000'), member_id, 0, 0, 0, 0, 0, 0, 0, kind = 'purchase',
    toUnixTimestamp64Micro(purchase_time), toUnixTimestamp64Micro(ingest_time)
FROM purchases
WHERE member_id = {member_id:Int64} AND __SCOPE__
"""
"""Where was this member in each of these snapshots, and what did she buy or give back in the scope?"""

_CLEAR = "DELETE FROM snapshot_members WHERE build_id = {build_id:UUID}"
"""Remove what an attempt that was stopped had written."""


class SnapshotWarehouse:
    """The rows of snapshots in ClickHouse.

    Args:
        warehouse: The analytics copy.
        zone: The circle's time zone: a day is a day in it.
    """

    def __init__(self, warehouse: Warehouse, zone: ZoneInfo) -> None:
        self._warehouse = warehouse
        self._zone = zone

    async def build(self, plan: SnapshotPlan, build_id: UUID) -> None:
        """Computes a snapshot and writes its rows under a build id nobody knows yet.

        Raises:
            WarehouseUnavailable: The warehouse is away; some rows may have been written.
        """
        scope = _CIRCLE if plan.business_id is None else _BUSINESS
        sql = _BUILD.replace("__SCOPE__", scope)
        await self._warehouse.command(sql, self._build_parameters(plan, build_id), background=True)

    async def contents(self, build_id: UUID) -> BuildContents:
        """Returns how many rows a build holds, and their hash."""
        row = (await self._warehouse.query(_CONTENTS, {"build_id": build_id}, background=True))[0]
        return BuildContents(int(row[0]), int(row[1]))

    async def clear(self, build_id: UUID) -> None:
        """Removes the rows of a build."""
        await self._warehouse.command(_CLEAR, {"build_id": build_id}, background=True)

    async def summary(self, build_id: UUID) -> tuple[SegmentFigures, ...]:
        """Returns all eleven segments in their order, also the empty ones."""
        rows = await self._warehouse.query(_SUMMARY, {"build_id": build_id})
        by_segment = {row[0]: SegmentFigures(Segment(row[0]), row[1], row[2], row[3], row[4]) for row in rows}
        return tuple(by_segment.get(segment, SegmentFigures(segment)) for segment in Segment)

    async def member(self, build_id: UUID, member_id: int) -> MemberRow | None:
        """Returns one member's row, or None where the snapshot does not hold her."""
        rows = await self._warehouse.query(_MEMBER, {"build_id": build_id, "member_id": member_id})
        return _member(rows[0]) if rows else None

    async def page(
        self, build_id: UUID, segment: Segment | None, after: tuple[int, int] | None, limit: int
    ) -> list[MemberRow]:
        """Returns members, the highest net spend first.

        Args:
            build_id: The build.
            segment: Only this segment; None for all.
            after: Net spend and member id of the last one before; None for the first.
            limit: How many at most.
        """
        after_spend, after_member = after or (_INT64_MAX, _INT64_MAX)
        parameters = {
            "build_id": build_id,
            "segment": segment or 0,
            "after_spend": after_spend,
            "after_member": after_member,
            "limit": limit,
        }
        return [_member(row) for row in await self._warehouse.query(_PAGE, parameters)]

    async def history(
        self, business_id: UUID | None, build_ids: Sequence[UUID], member_id: int
    ) -> tuple[dict[UUID, MemberRow], list[LedgerEntry]]:
        """Returns a member's row in each build that holds her, and her entries in the ledger of the scope."""
        sql = _HISTORY.replace("__SCOPE__", _CIRCLE if business_id is None else _BUSINESS)
        parameters: dict[str, Any] = {"build_ids": list(build_ids), "member_id": member_id}
        if business_id is not None:
            parameters["business_id"] = business_id
        rows: dict[UUID, MemberRow] = {}
        entries: list[LedgerEntry] = []
        for build_id, *member, is_purchase, happen_us, ingest_us in await self._warehouse.query(sql, parameters):
            if build_id.int:
                rows[build_id] = _member(tuple(member))
            else:
                happened, ingested = (_EPOCH + each * _MICROSECOND for each in (happen_us, ingest_us))
                entries.append(LedgerEntry(bool(is_purchase), happened, ingested))
        return rows, entries

    async def movements(self, from_build_id: UUID, to_build_id: UUID) -> list[SegmentMovement]:
        """Returns how many members went from which segment to which between two builds."""
        parameters = {"from_build_id": from_build_id, "to_build_id": to_build_id}
        rows = await self._warehouse.query(_MOVEMENTS, parameters)
        return [SegmentMovement(_segment(row[0]), _segment(row[1]), row[2]) for row in rows]

    def _build_parameters(self, plan: SnapshotPlan, build_id: UUID) -> Mapping[str, Any]:
        parameters: dict[str, Any] = {
            "build_id": build_id,
            "cutoff_us": _microseconds(plan.cutoff),
            "window_start_us": _microseconds(self.window_start(plan)),
            "watermark_us": _microseconds(plan.watermark),
            "zone": self._zone.key,
            "cells": list(SEGMENT_BY_SCORES),
            "segments": [int(segment) for segment in SEGMENT_BY_SCORES.values()],
            "new": int(Segment.NEW),
            "new_days": NEW_DAYS,
            "potential_loyalist": int(Segment.POTENTIAL_LOYALIST),
            "about_to_sleep": int(Segment.ABOUT_TO_SLEEP),
        }
        if plan.business_id is not None:
            parameters["business_id"] = plan.business_id
        return parameters

    def window_start(self, plan: SnapshotPlan) -> datetime:
        """Returns the instant at which the circle's clock showed the cutoff's time so many days before."""
        return (plan.cutoff.astimezone(self._zone) - timedelta(days=plan.window_days)).astimezone(UTC)


def _microseconds(instant: datetime) -> int:
    """Returns microseconds since 1970, exactly."""
    return (instant - _EPOCH) // _MICROSECOND


def _segment(value: int) -> Segment | None:
    return Segment(value) if value else None


def _member(row: tuple[Any, ...]) -> MemberRow:
    return MemberRow(row[0], Segment(row[1]), *row[2:])
