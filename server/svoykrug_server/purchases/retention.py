"""Retention: lets go of what the warehouse holds of purchases that are older than so many months.

PostgreSQL keeps every purchase. What goes are the raw entries of the warehouse, whole months of the circle at a time,
but for those that tell since when a member has been one (`retention_warehouse`). First the horizon is written down:
from then on nothing older is compared, asked for, or counted on. Then the entries go. Killed at any point, the next
night goes on; the horizon only moves forward, and whatever arrives late behind it goes the next night.
"""

from datetime import UTC, date, datetime, time, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import structlog

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import Unavailable
from svoykrug_server.kit.failpoints import failpoint
from svoykrug_server.purchases.pipeline_repository import PipelineRepository
from svoykrug_server.purchases.reconciler import Reconciler
from svoykrug_server.purchases.retention_repository import Horizon, RetentionRepository
from svoykrug_server.purchases.retention_warehouse import PURCHASES, REBUILT, RetentionWarehouse
from svoykrug_server.storage import outbox
from svoykrug_server.storage.old_rows import writing_old_rows
from svoykrug_server.storage.postgres import Postgres

_log = structlog.get_logger(__name__)
_REPAIR_DELAY = timedelta(seconds=5)
_MEMBERS_AT_ONCE = 1_000
_EVERY_BATCH = (1 << 63) - 1


class Retention:
    """Lets go of old months.

    Args:
        postgres: The system of record.
        repository: SQL of the horizon.
        pipeline: SQL of the ledger.
        warehouse: SQL of its copy.
        reconciler: Proves that the months that go were right.
        zone: The circle's time zone.
        months: How many whole months are kept before the present one; 0 for all.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        repository: RetentionRepository,
        pipeline: PipelineRepository,
        warehouse: RetentionWarehouse,
        reconciler: Reconciler,
        zone: ZoneInfo,
        months: int,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._pipeline = pipeline
        self._warehouse = warehouse
        self._reconciler = reconciler
        self._zone = zone
        self._months = months
        self._clock = clock

    async def let_go(self, _: object = None, /) -> None:
        """Moves the horizon on when a month is over, and deletes what lies before it.

        Raises:
            Unavailable: STORES_DISAGREE, a day that would go is not proven to be equal in both stores.
            StoreUnavailable: PostgreSQL is away.
            WarehouseUnavailable: ClickHouse is away.
        """
        if self._months:
            await self._move(self._oldest_day())
        failpoint("retention.recorded")
        async with writing_old_rows(self._postgres):
            horizon, up_to = await self._horizon(), await self._shipped_up_to()
            if horizon is None:
                return
            if horizon.let_go_before is not None:
                await self._restore_firsts(horizon.let_go_before, horizon.kept_from, up_to)
            count = await self._delete(PURCHASES, horizon.kept_from, up_to)
            async with self._postgres.transaction() as tx:
                await self._repository.note_let_go(tx, horizon.kept_from)
            _log.info("old_purchases_let_go", kept_from_day=horizon.kept_from.isoformat(), entry_count=count)

    async def thin_rebuilt(self) -> None:
        """Takes out of the rebuilt table what had been let go; the caller keeps others from writing old rows."""
        horizon = await self._horizon()
        if horizon is not None:
            await self._delete(REBUILT, horizon.kept_from, _EVERY_BATCH)

    async def _move(self, day: date) -> None:
        await self._reconciler.prove_changed()
        async with self._postgres.transaction() as tx:
            if not await self._repository.move(tx, day):
                return
            if await self._repository.is_unsettled(tx, day):
                raise Unavailable("STORES_DISAGREE", retry_after=_REPAIR_DELAY)
            await self._repository.forget_days(tx, day)
        _log.info("horizon_moved", kept_from_day=day.isoformat())

    async def _delete(self, table: str, before: date, up_to_batch_id: int) -> int:
        horizon = self._start_of(before)
        await self._warehouse.choose(table, horizon, up_to_batch_id)
        failpoint("retention.chosen")
        count = await self._warehouse.delete(table, horizon, up_to_batch_id)
        failpoint("retention.deleted")
        return count

    async def _restore_firsts(self, let_go_before: date, before: date, up_to: int) -> None:
        """Brings back whoever gave back what was left of her: another of her old purchases is the first now.

        Args:
            let_go_before: Of older days only first purchases are left.
            before: Older entries come back.
            up_to: Entries in later batches are not known yet.
        """
        members = await self._warehouse.gave_all_back(self._start_of(let_go_before), up_to)
        for first in range(0, len(members), _MEMBERS_AT_ONCE):
            some = members[first : first + _MEMBERS_AT_ONCE]
            async with self._postgres.transaction() as tx:
                block = await self._repository.copy_members(tx, some, before, up_to)
                ingest_times = await self._pipeline.ingest_times(tx, block.batch_ids)
            if len(block):
                rows = block.to_arrow(ingest_times)
                await self._warehouse.insert_missing(rows, self._start_of(before), f"first-{uuid4().hex}")
        failpoint("retention.restored")

    async def _horizon(self) -> Horizon | None:
        async with self._postgres.read() as connection:
            return await self._repository.horizon(connection)

    def _start_of(self, day: date) -> datetime:
        return datetime.combine(day, time(), self._zone).astimezone(UTC)

    async def _shipped_up_to(self) -> int:
        async with self._postgres.read() as connection:
            return await outbox.shipped_up_to(connection)

    def _oldest_day(self) -> date:
        """Returns the first day of the month that lies so many months before the present one."""
        today = self._clock.now().astimezone(self._zone).date()
        year, month = divmod(today.year * 12 + today.month - 1 - self._months, 12)
        return date(year, month + 1, 1)
