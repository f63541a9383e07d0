"""Computes snapshots: the work function of the operation `create_snapshot`.

Every attempt writes its rows under a build id of its own, and PostgreSQL says in one step which build is the snapshot.
So half written rows are never seen, and an attempt that lost its lease cannot disturb the one that took over.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

import structlog

from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.model import SnapshotPlan
from svoykrug_server.analytics.ports import Disputes, Progress
from svoykrug_server.analytics.repository import SnapshotRepository
from svoykrug_server.analytics.segments import RULES_VERSION
from svoykrug_server.analytics.warehouse import SnapshotWarehouse
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import Unavailable
from svoykrug_server.kit.failpoints import failpoint

KIND = "create_snapshot"
_log = structlog.get_logger(__name__)


class SnapshotBuilder:
    """Computes and publishes snapshots.

    Args:
        repository: Which snapshots there are.
        warehouse: Their rows.
        disputes: Where the stores disagree.
        kept: From when on purchases are held.
        clock: Tells the time.
    """

    def __init__(
        self,
        repository: SnapshotRepository,
        warehouse: SnapshotWarehouse,
        disputes: Disputes,
        kept: KeptHistory,
        clock: Clock,
    ) -> None:
        self._repository = repository
        self._warehouse = warehouse
        self._disputes = disputes
        self._kept = kept
        self._clock = clock

    async def run(self, parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        """Computes the snapshot that `parameters` names, unless it is published already.

        Args:
            parameters: `snapshot_id`.
            progress: Told the stages `verify`, `clear`, `score` and `publish`.

        Returns:
            `snapshot_id`.

        Raises:
            FailedPrecondition: HISTORY_NOT_KEPT, not everything in its window is held any more.
            Unavailable: STORES_DISAGREE, a day it covers is being repaired.
            WarehouseUnavailable: The warehouse is away.
        """
        snapshot_id = UUID(parameters["snapshot_id"])
        build_id = uuid4()
        begun = await self._repository.begin_build(snapshot_id, build_id, RULES_VERSION)
        if begun is not None:
            plan, earlier_build_id = begun
            await progress.report("verify", 5)
            async with self._disputes.undisputed(plan.business_id, plan.cutoff) as refuse_disputed:
                await self._kept.refuse_before(self._warehouse.window_start(plan))
                if earlier_build_id is not None:
                    await progress.report("clear", 10)
                    await self._warehouse.clear(earlier_build_id)
                await self._build(plan, build_id, refuse_disputed, progress)
        return {"snapshot_id": str(snapshot_id)}

    async def _build(
        self, plan: SnapshotPlan, build_id: UUID, refuse_disputed: Callable[[], Awaitable[None]], progress: Progress
    ) -> None:
        published = False
        try:
            await progress.report("score", 15)
            failpoint("snapshot.begun")
            await self._warehouse.build(plan, build_id)
            failpoint("snapshot.scored")
            contents = await self._warehouse.contents(build_id)
            await progress.report("publish", 95, contents.member_count)
            await refuse_disputed()
            published = await self._repository.publish(plan.id, build_id, contents, self._clock.now())
            failpoint("snapshot.published")
        finally:
            if not published:
                await self._clear_quietly(build_id)
        if not published:
            raise asyncio.CancelledError

    async def _clear_quietly(self, build_id: UUID) -> None:
        """Removes what this attempt wrote; where that fails it stays, seen by nobody, until the next attempt."""
        try:
            await self._warehouse.clear(build_id)
        except Unavailable:
            _log.warning("snapshot_rows_left", build_id=str(build_id))
