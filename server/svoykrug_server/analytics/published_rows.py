"""The rows of published snapshots, as callers read them: those that the warehouse has lost are refused, never left out.

What PostgreSQL knows to be gone is refused at once. Sums have to come to the members of the snapshot. Any other answer
is taken for true only where the warehouse holds the whole build (`build_rows`): one that says of nobody, or of a member
that a snapshot does not hold her, by what is there after it; one that has rows, by what was there a moment ago. So it
is with the row of a member who was asked about lately, which is not read again.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from svoykrug_server.analytics.build_rows import Build, BuildRows
from svoykrug_server.analytics.history import LedgerEntry
from svoykrug_server.analytics.model import MemberRow, SegmentFigures, SegmentMovement, Snapshot, SnapshotPlan
from svoykrug_server.analytics.rows_read import RowsRead
from svoykrug_server.analytics.segments import Segment
from svoykrug_server.analytics.standing import being_remade
from svoykrug_server.analytics.warehouse import SnapshotWarehouse

KEPT_ROWS = 2_000
"""So many members' rows are kept, the last asked for: some 1 MB."""


class PublishedRows:
    """Reads rows of snapshots. Every method raises as follows.

    Raises:
        Unavailable: RESULT_BEING_REMADE, rows are gone and are being made again.
        FailedPrecondition: RESULT_LOST, they cannot be made again.
        WarehouseUnavailable: The warehouse is away.

    Args:
        rows: The rows of all builds.
        held: Which builds the warehouse holds.
    """

    def __init__(self, rows: SnapshotWarehouse, held: BuildRows) -> None:
        self._rows = rows
        self._held = held
        self._read = RowsRead[MemberRow](KEPT_ROWS)

    def window_start(self, plan: SnapshotPlan) -> datetime:
        """Returns the instant at which the window of a snapshot begins."""
        return self._rows.window_start(plan)

    async def summary(self, snapshot: Snapshot) -> tuple[SegmentFigures, ...]:
        """Returns all eleven segments in their order, also the empty ones."""
        snapshot.standing.refuse_gone()
        segments = await self._rows.summary(snapshot.build_id)
        _refuse_less(sum(figures.member_count for figures in segments), snapshot)
        return segments

    async def member(self, snapshot: Snapshot, member_id: int) -> MemberRow | None:
        """Returns one member's row, or None where the snapshot does not hold her."""
        snapshot.standing.refuse_gone()
        row = kept = self._read.get(snapshot.build_id, member_id)
        if kept is None:
            row = await self._rows.member(snapshot.build_id, member_id)
        await self._refuse_partial([snapshot], anew=row is None)
        if kept is None and row is not None:
            self._read.keep(snapshot.build_id, member_id, row)
        return row

    async def page(
        self, snapshot: Snapshot, segment: Segment | None, after: tuple[int, int] | None, limit: int
    ) -> list[MemberRow]:
        """Returns members, the highest net spend first.

        Args:
            snapshot: The snapshot.
            segment: Only this segment; None for all.
            after: Net spend and member id of the last one before; None for the first.
            limit: How many at most.
        """
        snapshot.standing.refuse_gone()
        rows = await self._rows.page(snapshot.build_id, segment, after, limit)
        await self._refuse_partial([snapshot], anew=not rows)
        return rows

    async def movements(self, earlier: Snapshot, later: Snapshot) -> list[SegmentMovement]:
        """Returns how many members went from which segment to which between two snapshots."""
        earlier.standing.refuse_gone()
        later.standing.refuse_gone()
        movements = await self._rows.movements(earlier.build_id, later.build_id)
        _refuse_less(sum(each.member_count for each in movements if each.from_segment is not None), earlier)
        _refuse_less(sum(each.member_count for each in movements if each.to_segment is not None), later)
        return movements

    async def history(
        self, business_id: UUID | None, snapshots: Sequence[Snapshot], member_id: int
    ) -> tuple[dict[UUID, MemberRow], list[LedgerEntry]]:
        """Returns a member's row in each build that holds her, and her entries in the ledger of the scope."""
        for snapshot in snapshots:
            snapshot.standing.refuse_gone()
        build_ids = [snapshot.build_id for snapshot in snapshots]
        rows, entries = await self._rows.history(business_id, build_ids, member_id)
        await self._refuse_partial(snapshots, anew=len(rows) < len(snapshots))
        return rows, entries

    async def _refuse_partial(self, snapshots: Sequence[Snapshot], *, anew: bool) -> None:
        builds = [Build(each.build_id, each.build_id, each.member_count) for each in snapshots]
        await self._held.refuse_partial(builds, anew=anew)


def _refuse_less(found: int, snapshot: Snapshot) -> None:
    if found != snapshot.member_count:
        raise being_remade()
