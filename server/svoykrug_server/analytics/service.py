"""Use cases of snapshots: ask for one, list them, read segments, members and movements.

The edge has checked that the caller owns the business that the request names, or may see the circle. What is left to
check here is that a snapshot is one of that scope.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.model import (
    DEFAULT_WINDOW_DAYS,
    MemberPage,
    MemberRow,
    Movements,
    SegmentSummary,
    Snapshot,
    SnapshotPage,
    SnapshotPlan,
)
from svoykrug_server.analytics.ports import Operation, Operations, Watermarks
from svoykrug_server.analytics.published_rows import PublishedRows
from svoykrug_server.analytics.repository import SnapshotRepository
from svoykrug_server.analytics.segments import RULES_VERSION, Segment
from svoykrug_server.analytics.small_groups import (
    sees_small_groups,
    without_small_movements,
    without_small_segments,
)
from svoykrug_server.analytics.snapshots import KIND
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import FailedPrecondition, InvalidFields, NotFound, PermissionDenied
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.kit.paging import PageTokens, page_size
from svoykrug_server.storage import idempotency
from svoykrug_server.storage.idempotency import RequestKey, hash_of
from svoykrug_server.storage.postgres import Postgres

DEFAULT_SNAPSHOTS = 50
MAX_SNAPSHOTS = 500
DEFAULT_MEMBERS = 50
MAX_MEMBERS = 1_000
STREAM_MEMBERS = 1_000
"""How many members one message of a stream holds."""
FETCH_MEMBERS = 20_000
"""How many members a stream reads from the warehouse at a time."""
EARLIEST_CUTOFF = datetime(2000, 1, 1, tzinfo=UTC)
CREATE_METHOD = "/svoykrug.analytics.v1.AnalyticsService/CreateSnapshot"


@dataclass(frozen=True, slots=True)
class NewSnapshot:
    """What a caller asks for.

    Attributes:
        business_id: The business; None for the circle.
        cutoff: Purchases before it count; None for `known`, or the watermark.
        window_days: How many days before the cutoff count; 0 for 365.
        request_id: Makes the call repeatable.
        known: What had been ingested by then is known; None for the watermark.
    """

    business_id: UUID | None
    cutoff: datetime | None
    window_days: int
    request_id: UUID
    known: datetime | None = None


class SnapshotService:
    """Snapshots as callers see them.

    Args:
        postgres: The system of record.
        repository: Which snapshots there are.
        warehouse: Their rows.
        watermarks: How far the warehouse is.
        kept: From when on purchases are held.
        operations: Starts long work.
        page_tokens: Makes and reads page tokens.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        repository: SnapshotRepository,
        warehouse: PublishedRows,
        watermarks: Watermarks,
        kept: KeptHistory,
        operations: Operations,
        page_tokens: PageTokens,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._warehouse = warehouse
        self._watermarks = watermarks
        self._kept = kept
        self._operations = operations
        self._page_tokens = page_tokens
        self._clock = clock

    async def create(self, caller: Caller, asked: NewSnapshot) -> Operation:
        """Queues the computation of a snapshot; the same request id again returns the operation of the first time.

        Raises:
            FailedPrecondition: CUTOFF_AHEAD_OF_WATERMARK, not everything that it is to know has arrived yet; or
                HISTORY_NOT_KEPT, not everything in the window is held any more.
            InvalidFields: REQUEST_ID_REUSED; or there is no such business, or the cutoff lies before any purchase, or
                behind what is to be known.
        """
        body = {
            "business_id": asked.business_id,
            "cutoff": asked.cutoff,
            "window_days": asked.window_days,
            "known": asked.known,
        }
        key = RequestKey(str(caller.subject_id), CREATE_METHOD, asked.request_id, hash_of(body))
        watermark = await self._watermarks.watermark()
        now = self._clock.now()
        async with self._postgres.transaction() as tx:
            first_answer = await idempotency.claim(tx, key, now)
            if first_answer is not None:
                return await self._operations.find(tx, UUID(first_answer["operation_id"]))
            if asked.business_id is not None and not await self._repository.knows_business(tx, asked.business_id):
                raise InvalidFields.of("business_id", "must name a business of the circle")
            plan = _plan(asked, watermark, uuid7(now))
            await self._kept.refuse_before(self._warehouse.window_start(plan))
            await self._repository.add(tx, plan, now)
            operation = await self._operations.start(tx, KIND, {"snapshot_id": str(plan.id)}, caller.subject_id)
            await idempotency.remember(tx, key, {"operation_id": str(operation.id)})
        return operation

    async def list_page(self, business_id: UUID | None, asked_size: int, page_token: str) -> SnapshotPage:
        """Returns a page of the snapshots of a scope, the latest cutoff first.

        Raises:
            InvalidFields: The page size is negative, or the token was made for another list.
        """
        size = page_size(asked_size, default=DEFAULT_SNAPSHOTS, most=MAX_SNAPSHOTS)
        listing = f"snapshots {business_id}"
        position = self._page_tokens.read(listing, page_token)
        before = None if position is None else (datetime.fromisoformat(str(position[0])), UUID(str(position[1])))
        found = await self._repository.list_before(business_id, before, size + 1)
        page = tuple(found[:size])
        token = ""
        if len(found) > size:
            token = self._page_tokens.make(listing, [page[-1].plan.cutoff.isoformat(), str(page[-1].id)])
        return SnapshotPage(page, token)

    async def summary(self, caller: Caller, business_id: UUID | None, snapshot_id: UUID | None) -> SegmentSummary:
        """Returns the eleven segments of a snapshot.

        Args:
            caller: Who asks.
            business_id: The scope; None for the circle.
            snapshot_id: The snapshot; None for the one of the usual window with the latest cutoff.

        Raises:
            PermissionDenied: There is no such snapshot in this scope.
            NotFound: The same, said to admins and services.
        """
        snapshot = await self._snapshot(caller, business_id, snapshot_id)
        segments = await self._warehouse.summary(snapshot)
        if not sees_small_groups(caller, business_id):
            segments = without_small_segments(segments)
        return SegmentSummary(snapshot, segments, await self._watermarks.watermark())

    async def members_page(
        self,
        caller: Caller,
        business_id: UUID | None,
        snapshot_id: UUID | None,
        segment: Segment | None,
        asked_size: int,
        page_token: str,
    ) -> MemberPage:
        """Returns a page of the members of a snapshot, the highest net spend first.

        Raises:
            InvalidFields: The page size is negative, or the token was made for another list.
            PermissionDenied: There is no such snapshot in this scope.
            NotFound: The same, said to admins and services.
        """
        size = page_size(asked_size, default=DEFAULT_MEMBERS, most=MAX_MEMBERS)
        listing = f"segment members {business_id} {snapshot_id} {segment}"
        position = self._page_tokens.read(listing, page_token)
        if position is None:
            snapshot, after = await self._snapshot(caller, business_id, snapshot_id), None
        else:
            snapshot = await self._snapshot(caller, business_id, UUID(str(position[0])))
            after = (int(position[1]), int(position[2]))
        rows = await self._warehouse.page(snapshot, segment, after, size + 1)
        token = ""
        if len(rows) > size:
            last = rows[size - 1]
            token = self._page_tokens.make(listing, [str(snapshot.id), last.net_spend_minor, last.member_id])
        return await self._page(snapshot, rows[:size], token)

    async def stream_members(
        self, caller: Caller, business_id: UUID | None, snapshot_id: UUID | None, segment: Segment | None
    ) -> AsyncIterator[MemberPage]:
        """Gives all members of a snapshot, the highest net spend first, up to 1,000 at a time.

        Raises:
            PermissionDenied: There is no such snapshot in this scope.
            NotFound: The same, said to admins and services.
        """
        snapshot = await self._snapshot(caller, business_id, snapshot_id)
        after: tuple[int, int] | None = None
        while True:
            rows = await self._warehouse.page(snapshot, segment, after, FETCH_MEMBERS)
            for start in range(0, len(rows), STREAM_MEMBERS):
                yield await self._page(snapshot, rows[start : start + STREAM_MEMBERS], "")
            if len(rows) < FETCH_MEMBERS:
                return
            after = (rows[-1].net_spend_minor, rows[-1].member_id)

    async def movements(self, caller: Caller, business_id: UUID | None, from_id: UUID, to_id: UUID) -> Movements:
        """Returns how many members went from which segment to which between two snapshots of one scope.

        Raises:
            FailedPrecondition: SNAPSHOTS_NOT_COMPARABLE, their windows or rules differ.
            InvalidFields: The second lies before the first.
            PermissionDenied: There is no such snapshot in this scope.
            NotFound: The same, said to admins and services.
        """
        earlier = await self._snapshot(caller, business_id, from_id)
        later = await self._snapshot(caller, business_id, to_id)
        _refuse_incomparable(earlier.plan, later.plan)
        movements = tuple(await self._warehouse.movements(earlier, later))
        if not sees_small_groups(caller, business_id):
            movements = without_small_movements(movements)
        return Movements(movements, await self._watermarks.watermark())

    async def _snapshot(self, caller: Caller, business_id: UUID | None, snapshot_id: UUID | None) -> Snapshot:
        if snapshot_id is None:
            snapshot = await self._repository.latest(business_id)
        else:
            snapshot = await self._repository.find(business_id, snapshot_id)
        if snapshot is None:
            raise NotFound if caller.is_admin or caller.is_service else PermissionDenied
        return snapshot

    async def _page(self, snapshot: Snapshot, rows: list[MemberRow], token: str) -> MemberPage:
        user_ids = await self._repository.user_ids_of([row.member_id for row in rows])
        members = tuple((user_ids.get(row.member_id), row) for row in rows)
        return MemberPage(snapshot, members, token, await self._watermarks.watermark())


def _plan(asked: NewSnapshot, watermark: datetime | None, snapshot_id: UUID) -> SnapshotPlan:
    """Fixes what a snapshot is computed from: from here on it depends on nothing that changes."""
    cutoff = asked.cutoff or asked.known or watermark
    known = asked.known or watermark
    if watermark is None or cutoff is None or known is None or max(cutoff, known) > watermark:
        metadata = {} if watermark is None else {"watermark": watermark.isoformat()}
        raise FailedPrecondition("CUTOFF_AHEAD_OF_WATERMARK", metadata=metadata)
    if cutoff < EARLIEST_CUTOFF:
        raise InvalidFields.of("cutoff_time", "must not lie before the year 2000")
    if known < cutoff:
        raise InvalidFields.of("known_time", "must not lie before the cutoff")
    return SnapshotPlan(
        id=snapshot_id,
        business_id=asked.business_id,
        cutoff=cutoff,
        window_days=asked.window_days or DEFAULT_WINDOW_DAYS,
        watermark=known,
        rules_version=RULES_VERSION,
    )


def _refuse_incomparable(earlier: SnapshotPlan, later: SnapshotPlan) -> None:
    """Refuses a comparison that would take another definition, or time turned round, for members who moved."""
    if (later.cutoff, later.watermark) < (earlier.cutoff, earlier.watermark):
        raise InvalidFields.of("to_snapshot_id", "must not lie before from_snapshot_id")
    if earlier.window_days != later.window_days:
        metadata = {"window_days": f"{earlier.window_days},{later.window_days}"}
        raise FailedPrecondition("SNAPSHOTS_NOT_COMPARABLE", metadata=metadata)
    if earlier.rules_version != later.rules_version:
        metadata = {"rules_version": f"{earlier.rules_version},{later.rules_version}"}
        raise FailedPrecondition("SNAPSHOTS_NOT_COMPARABLE", metadata=metadata)
