"""The reconciler: proves that both stores hold the same by business and day, and repairs where they do not.

Days that a batch touched since their last proof are read again from both stores; once a week all of them. Both stores
are asked for batches up to the last one shipped, so that serving and shipping go on meanwhile. A day that differs is
disputed until it is repaired: what would be computed from it is refused. Where many days differ, all of the warehouse
is rebuilt. Where the warehouse holds another total than was proven, every day is disputed until it is proven again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID, uuid4

import structlog

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.failpoints import failpoint
from svoykrug_server.purchases.pipeline_metrics import PipelineMetrics
from svoykrug_server.purchases.pipeline_repository import PipelineRepository
from svoykrug_server.purchases.store_totals import BusinessDay, DayProof, Standing, StoreTotals
from svoykrug_server.purchases.warehouse import PurchaseWarehouse
from svoykrug_server.storage import outbox
from svoykrug_server.storage.old_rows import reading_old_rows, writing_old_rows
from svoykrug_server.storage.postgres import Postgres, ReadConnection

log = structlog.get_logger(__name__)
DAYS_AT_ONCE = 1_000
"""So many days are compared by one statement in each store; a caller waits for no more."""
ASKED_SECONDS = 5.0
"""So long a caller waits for proofs at most."""
LOOK_SECONDS = 2.0
"""So long of it a caller waits for the totals: his days are proven also where those take longer."""
TOTALS_STAND = timedelta(seconds=10)
"""So long no caller of this process has the totals compared again: ClickHouse reads all its rows for that."""
DAYS_STAND = timedelta(seconds=60)
"""So long no caller of any process has a day compared again that nothing was shipped of since."""
MOST_REPAIRED_DAYS = 100
"""A day takes about a third of a second to repair: where more are disputed, a rebuild of everything ends sooner."""


class Reconciler:
    """Compares the stores.

    Args:
        postgres: The system of record.
        pipeline: SQL of the ledger and of the proof.
        warehouse: SQL of the ledger's copy.
        clock: The time.
        metrics: What is counted.
        full_proof_days: After how many days all days are read again.
    """

    def __init__(
        self,
        postgres: Postgres,
        pipeline: PipelineRepository,
        warehouse: PurchaseWarehouse,
        clock: Clock,
        metrics: PipelineMetrics,
        full_proof_days: int,
    ) -> None:
        self._postgres = postgres
        self._pipeline = pipeline
        self._warehouse = warehouse
        self._clock = clock
        self._metrics = metrics
        self._full_proof_days = full_proof_days
        self._proving = asyncio.Lock()
        self._look: asyncio.Task[None] | None = None
        self._looked_time: datetime | None = None

    async def step(self) -> None:
        """Proves what changed, and everything when a week has passed; repairs what is disputed."""
        async with self._postgres.read() as connection:
            last_full_proof = await self._pipeline.full_proof_time(connection)
        if not _stands(last_full_proof, timedelta(days=self._full_proof_days), self._clock.now()):
            await self.touch_all()
        await self.prove_changed()
        await self.repair()

    async def touch_all(self) -> None:
        """Makes the next proof read every day again, of either store."""
        await self._touch_all(doubted=False)

    async def touch_scope(self, business_id: UUID | None) -> None:
        """Makes the next proof read every day of a business again, of either store; None for all businesses."""
        await self._touch_all(business_id, doubted=False)

    async def prove_changed(self) -> None:
        """Proves every day that changed since it was proven, as far as it is shipped by now.

        Raises:
            WarehouseUnavailable: ClickHouse is away.
        """
        # Read once: what is shipped meanwhile is for the next proof, or in a busy circle none would ever end.
        async with self._postgres.read() as connection:
            up_to = await outbox.shipped_up_to(connection)
        while days := await self._unproven(up_to, DAYS_AT_ONCE):
            # A caller who wants few days comes in between.
            async with self._proving:
                await self._prove(days, up_to)
        await self._count_disputed()

    async def prove_again(self, business_id: UUID | None, days: Sequence[tuple[UUID, date]]) -> None:
        """Looks whether the totals are as proven; then proves what changed, and some days again though they did not.

        What changed at other businesses than the one asked for waits for the next round: in a busy circle that may be
        more than a caller can wait for at any time.

        What that costs is bounded, however many ask: one caller at a time has the totals compared, and one has days
        compared; who waited takes what was found meanwhile. Totals stand for `TOTALS_STAND`, a day's proof for
        `DAYS_STAND`. All of it as far as a caller may wait: where very much changed, as after a rebuild, and when the
        time is over, the rest is left to the next round.

        Args:
            business_id: What changed at this business is proven; None for all businesses.
            days: The days, each at a business; at most `DAYS_AT_ONCE`.

        Raises:
            WarehouseUnavailable: ClickHouse is away.
        """
        try:
            async with asyncio.timeout(ASKED_SECONDS):
                await self._look_at_totals()
                await self._prove_few(business_id)
                if days:
                    await self._prove_old([BusinessDay(*at) for at in days])
        except TimeoutError:
            log.warning("proof_left_to_upkeep", asked_days=len(days))

    async def lacks_rows(self) -> bool:
        """Tells whether the warehouse has fewer rows than are proven, which it knows without reading them.

        Raises:
            WarehouseUnavailable: ClickHouse is away.
        """
        proven = await self._standing()
        return await self._warehouse.row_count() < proven.total[0]

    async def compare_totals(self) -> bool:
        """Looks whether the warehouse holds as much as was proven; where it does not, every day is disputed.

        Returns:
            False when that cannot be told, as too many days are not proven now.

        Raises:
            WarehouseUnavailable: ClickHouse is away.
        """
        agree = await self._totals_agree()
        if agree is False:
            # Was anything repaired, rebuilt or let go while ClickHouse was asked? What is only shipped and proven
            # meanwhile changes no day that was proven before, or in a busy circle nothing could ever be told.
            async with reading_old_rows(self._postgres):
                agree = await self._totals_agree()
        if agree is False:
            log.error("totals_disagree")
            await self._doubt_all()
        return agree is not None

    async def repair(self) -> None:
        """Writes every disputed day of the warehouse again from PostgreSQL and proves it, or asks for a rebuild."""
        disputed = await self._count_disputed()
        if not disputed:
            return
        if disputed > MOST_REPAIRED_DAYS:
            log.error("rebuild_wanted", disputed_days=disputed)
            async with self._postgres.transaction() as tx:
                await self._pipeline.want_rebuild(tx, uuid4())
            return
        async with writing_old_rows(self._postgres):
            for at in await self._disputed():
                async with self._proving:
                    await self._repair_day(at)
        await self._count_disputed()

    async def _totals_agree(self) -> bool | None:
        """Tells whether the warehouse holds as much as was proven; None where too many days are not proven now."""
        proven = await self._standing()
        if len(proven.open_days) > DAYS_AT_ONCE:
            return None
        held = await self._warehouse.total(proven.batch_id, proven.kept_from_day, proven.open_days)
        if held != proven.total:
            log.warning("totals_differ", entry_count=held[0], proven_entry_count=proven.total[0])
        return held == proven.total

    async def _doubt_all(self) -> None:
        """Has every day disputed until it is proven: at once, however long it takes to list those of the warehouse."""
        async with self._postgres.transaction() as tx:
            await self._pipeline.touch_all(tx, self._clock.now(), doubted=True)
        await self._touch_all(doubted=True)

    async def _touch_all(self, business_id: UUID | None = None, *, doubted: bool) -> None:
        in_warehouse = await self._warehouse.days(business_id)
        async with self._postgres.transaction() as tx:
            # In this order the row of the relay's state is locked first, so that the horizon does not move in between.
            await self._pipeline.touch_all(tx, self._clock.now(), business_id=business_id, doubted=doubted)
            await self._pipeline.touch_again(tx, in_warehouse)
        failpoint("reconciler.touched")

    async def _standing(self) -> Standing:
        async with self._postgres.read() as connection:
            return await self._pipeline.standing(connection, DAYS_AT_ONCE + 1)

    async def _unproven(self, up_to: int, most: int) -> Sequence[BusinessDay]:
        async with self._postgres.read() as connection:
            return await self._pipeline.unproven_days(connection, up_to, most)

    async def _look_at_totals(self) -> None:
        """Compares the totals unless that was done a moment ago; the copy must be there in any case.

        A comparison that takes longer than a caller waits goes on for those who come after: begun anew by each of them
        it would never end.
        """
        if self._look is None and not _stands(self._looked_time, TOTALS_STAND, self._clock.now()):
            self._look = asyncio.create_task(self._compare_totals_for_callers())
            # Who began it may be gone when it fails.
            self._look.add_done_callback(lambda look: look.cancelled() or look.exception())
        if self._look is not None:
            ended, _ = await asyncio.wait([self._look], timeout=LOOK_SECONDS)
            for look in ended:
                look.result()
        await self._warehouse.require()

    async def _compare_totals_for_callers(self) -> None:
        try:
            await self.compare_totals()
            self._looked_time = self._clock.now()
        finally:
            self._look = None

    async def _prove_few(self, business_id: UUID | None) -> None:
        """Proves what changed (at a business), unless that is so much that a caller had to wait long for it."""

        async def changed(connection: ReadConnection, up_to: int) -> Sequence[BusinessDay]:
            days = await self._pipeline.unproven_days(connection, up_to, DAYS_AT_ONCE + 1, business_id)
            return days if len(days) <= DAYS_AT_ONCE else ()

        await self._prove_due(changed)
        await self._count_disputed()

    async def _prove_old(self, days: Sequence[BusinessDay]) -> None:
        """Proves those of some days whose proof does not stand any more."""

        async def old(connection: ReadConnection, up_to: int) -> Sequence[BusinessDay]:
            return await self._pipeline.compared_by(connection, days, up_to, self._clock.now() - DAYS_STAND)

        await self._prove_due(old)

    async def _prove_due(self, due: Callable[[ReadConnection, int], Awaitable[Sequence[BusinessDay]]]) -> None:
        """Proves the days that a question finds, unless somebody else does so meanwhile."""

        async def ask() -> tuple[Sequence[BusinessDay], int]:
            async with self._postgres.read() as connection:
                up_to = await outbox.shipped_up_to(connection)
                return await due(connection, up_to), up_to

        if not (await ask())[0]:
            return
        async with self._proving:
            days, up_to = await ask()
            if days:
                await self._prove(days, up_to)

    async def _prove(self, days: Sequence[BusinessDay], up_to: int) -> Sequence[DayProof]:
        """Compares days, and returns the proofs that are kept: the others are older than what is known or asked for."""
        async with self._postgres.read() as connection:
            before = await self._pipeline.kept_proofs(connection, days)
            ours = await self._pipeline.totals(connection, days, up_to)
        theirs = await self._warehouse.totals(days, up_to)
        nothing = StoreTotals()
        proofs = [DayProof(at, ours.get(at, nothing), theirs.get(at, nothing), before.get(at)) for at in days]
        failpoint("reconciler.compared")
        async with self._postgres.transaction() as tx:
            await outbox.take_turn(tx)
            stored = await self._pipeline.store_proof(tx, proofs, up_to, self._clock.now())
        kept = [proof for proof in proofs if proof.at in stored]
        for proof in kept:
            if not proof.equal:
                self._metrics.mismatched_days.inc()
                log.error("stores_disagree", business_id=str(proof.at.business_id), day=str(proof.at.day))
        failpoint("reconciler.proven")
        return kept

    async def _repair_day(self, at: BusinessDay) -> None:
        async with self._postgres.read() as connection:
            up_to = await outbox.shipped_up_to(connection)
        async with self._postgres.transaction() as tx:
            block = await self._pipeline.copy_day(tx, at, up_to)
            ingest_times = await self._pipeline.ingest_times(tx, block.batch_ids)
        await self._warehouse.delete_day(at, up_to)
        failpoint("reconciler.deleted")
        if len(block):
            await self._warehouse.insert(block.to_arrow(ingest_times), f"repair-{uuid4().hex}")
            failpoint("reconciler.inserted")
        if any(proof.equal for proof in await self._prove([at], up_to)):
            self._metrics.repaired_days.inc()
            log.warning("day_repaired", business_id=str(at.business_id), day=str(at.day))

    async def _disputed(self) -> Sequence[BusinessDay]:
        async with self._postgres.read() as connection:
            return await self._pipeline.disputed_days(connection, MOST_REPAIRED_DAYS)

    async def _count_disputed(self) -> int:
        async with self._postgres.read() as connection:
            disputed = await self._pipeline.disputed_day_count(connection)
        self._metrics.disputed_days.set(disputed)
        return disputed


def _stands(begin_time: datetime | None, lasts: timedelta, now: datetime) -> bool:
    """Tells whether what was done at an instant stands still; not what was done by a clock that was set back since."""
    return begin_time is not None and timedelta(0) <= now - begin_time < lasts
