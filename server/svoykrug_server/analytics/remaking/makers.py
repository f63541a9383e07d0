"""Who makes rows again: of snapshots and of scorings, by what makes them the first time."""

from uuid import UUID

from svoykrug_server.analytics.churn.repository import ChurnRepository
from svoykrug_server.analytics.churn.scoring import ScoreWriter
from svoykrug_server.analytics.churn.starts import look_back_start
from svoykrug_server.analytics.churn.warehouse import ChurnWarehouse
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.model import BuildContents, Snapshot
from svoykrug_server.analytics.remaking.model import Gone
from svoykrug_server.analytics.repository import SnapshotRepository
from svoykrug_server.analytics.segments import RULES_VERSION
from svoykrug_server.analytics.standing import CannotBeMade, LostReason
from svoykrug_server.analytics.versions import refuse_unknown
from svoykrug_server.analytics.warehouse import SnapshotWarehouse
from svoykrug_server.kit.errors import FailedPrecondition


class SnapshotMaker:
    """Makes the rows of snapshots.

    Args:
        repository: Which snapshots there are.
        rows: Their rows.
        kept: From when on purchases are held.
    """

    def __init__(self, repository: SnapshotRepository, rows: SnapshotWarehouse, kept: KeptHistory) -> None:
        self._repository = repository
        self._rows = rows
        self._kept = kept

    async def make(self, gone: Gone, build_id: UUID) -> BuildContents:
        """Computes the snapshot again, from its plan and by its rules.

        Raises:
            CannotBeMade: The rules are others by now, or not everything in its window is held any more.
            UnknownVersion: The rules are newer ones.
            WarehouseUnavailable: The warehouse is away.
        """
        snapshot = await self._repository.find(gone.business_id, gone.id)
        if snapshot is None:
            raise LookupError("a published snapshot is never deleted")
        refuse_unknown(snapshot.plan.rules_version, RULES_VERSION)
        if snapshot.plan.rules_version != RULES_VERSION:
            raise CannotBeMade(LostReason.RULES_CHANGED)
        try:
            await self._kept.refuse_before(self._rows.window_start(snapshot.plan))
        except FailedPrecondition as refusal:
            raise CannotBeMade(LostReason.HISTORY_NOT_KEPT) from refusal
        await self._rows.build(snapshot.plan, build_id)
        return await self._rows.contents(build_id)

    async def clear(self, gone: Gone, build_id: UUID) -> None:  # noqa: ARG002  a build names its rows
        """Removes the rows of a build."""
        await self._rows.clear(build_id)


class ScoringMaker:
    """Makes the rows of scorings.

    Args:
        repository: Which scorings there are.
        writer: Computes and writes.
        rows: Their rows.
        snapshots: Who was in which segment.
        kept: From when on purchases are held.
    """

    def __init__(
        self,
        repository: ChurnRepository,
        writer: ScoreWriter,
        rows: ChurnWarehouse,
        snapshots: SnapshotRepository,
        kept: KeptHistory,
    ) -> None:
        self._repository = repository
        self._writer = writer
        self._rows = rows
        self._snapshots = snapshots
        self._kept = kept

    async def make(self, gone: Gone, build_id: UUID) -> BuildContents:
        """Scores again, by the same model and with the segments of the same snapshot.

        Raises:
            CannotBeMade: The snapshot is lost, this program does not read the model, or not everything in the year
                before the cutoff is held any more.
            UnknownVersion: The model is a newer program's.
            Unavailable: The snapshot is being made again itself; or the warehouse is away.
        """
        scoring = await self._repository.find_scoring(gone.id)
        if scoring is None:
            raise LookupError("a finished scoring is never deleted")
        try:
            await self._kept.refuse_before(look_back_start(scoring.plan.cutoff))
        except FailedPrecondition as refusal:
            raise CannotBeMade(LostReason.HISTORY_NOT_KEPT) from refusal
        segments = await self._segments(gone.business_id, scoring.snapshot_id)
        made = await self._writer.write(scoring.plan, build_id, segments, Silent())
        if made.content_hash is None:
            raise LookupError("what was just written has a hash")
        return BuildContents(made.scored_count, made.content_hash)

    async def clear(self, gone: Gone, build_id: UUID) -> None:
        """Removes the rows of a build."""
        await self._rows.clear(gone.id, build_id)

    async def _segments(self, business_id: UUID | None, snapshot_id: UUID | None) -> Snapshot | None:
        if snapshot_id is None:
            return None
        snapshot = await self._snapshots.find(business_id, snapshot_id)
        if snapshot is not None and snapshot.standing.is_lost:
            raise CannotBeMade(LostReason.SEGMENTS_LOST)
        return snapshot


class Silent:
    """Progress that nobody watches."""

    async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:
        """Tells nobody."""
