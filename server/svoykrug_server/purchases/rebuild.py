"""Rebuilds the warehouse's copy of the ledger from PostgreSQL while serving and shipping go on.

The rows go into a table beside the real one, batch by batch with the times at which they were sealed, so they come out
identical. What has been let go goes there too, before anybody sees it. When it has caught up, shipping pauses for the
moment it takes to exchange the two tables. A rebuild that was cut short begins again.
"""

from uuid import UUID, uuid4

import structlog

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.failpoints import failpoint
from svoykrug_server.purchases.pipeline_repository import PipelineRepository
from svoykrug_server.purchases.relay import Relay
from svoykrug_server.purchases.retention import Retention
from svoykrug_server.purchases.warehouse import PurchaseWarehouse
from svoykrug_server.storage import outbox
from svoykrug_server.storage.old_rows import writing_old_rows
from svoykrug_server.storage.postgres import Postgres

log = structlog.get_logger(__name__)


class Rebuild:
    """Rebuilds on request.

    Args:
        postgres: The system of record.
        pipeline: SQL of the ledger.
        warehouse: SQL of its copy.
        relay: What ships meanwhile.
        retention: What has been let go.
        clock: The time.
        most_insert_entries: How many rows go into one insert.
    """

    def __init__(
        self,
        postgres: Postgres,
        pipeline: PipelineRepository,
        warehouse: PurchaseWarehouse,
        relay: Relay,
        retention: Retention,
        clock: Clock,
        most_insert_entries: int,
    ) -> None:
        self._postgres = postgres
        self._pipeline = pipeline
        self._warehouse = warehouse
        self._relay = relay
        self._retention = retention
        self._clock = clock
        self._most_insert_entries = most_insert_entries

    async def mend_tables(self) -> UUID | None:
        """Makes tables again that somebody dropped; returns the rebuild that is wanted if `purchases` is one of them.

        Asked by the one process that rebuilds, when no rebuild is wanted: so what is missing was dropped.

        Raises:
            WarehouseUnavailable: ClickHouse is away.
        """
        dropped = await self._warehouse.dropped_tables()
        if not dropped:
            return None
        log.error("warehouse_tables_lost", tables=sorted(dropped))
        if "purchases" in dropped:
            rebuild_id = uuid4()
            async with self._postgres.transaction() as tx:
                await self._pipeline.want_rebuild(tx, rebuild_id)
            return rebuild_id
        await self._warehouse.begin_rebuild()
        await self._warehouse.drop_replaced()
        return None

    async def run(self, rebuild_id: UUID) -> None:
        """Rebuilds, and says so in PostgreSQL when it is done; every day is then proven again.

        Raises:
            WarehouseUnavailable: ClickHouse is away.
        """
        log.info("rebuild_begun", rebuild_id=str(rebuild_id))
        await self._warehouse.begin_rebuild()
        last_id = await self._copy(rebuild_id, 0)
        async with writing_old_rows(self._postgres):
            await self._retention.thin_rebuilt()
            if not await self._exchange(rebuild_id, last_id):
                return
        await self._warehouse.drop_replaced()
        log.info("rebuild_done", rebuild_id=str(rebuild_id))

    async def _exchange(self, rebuild_id: UUID, last_id: int) -> bool:
        """Copies what was shipped since, and puts the new table in place; returns False when another process leads."""
        async with self._relay.shipping, self._postgres.transaction() as tx:
            if not await self._relay.take_lease(tx):
                return False
            await self._copy(rebuild_id, last_id)
            await self._warehouse.exchange_rebuilt()
            failpoint("rebuild.exchanged")
            await self._pipeline.end_rebuild(tx, rebuild_id)
            await self._pipeline.touch_all(tx, self._clock.now())
        return True

    async def _copy(self, rebuild_id: UUID, after_id: int) -> int:
        """Copies all shipped batches after one; returns the last."""
        while True:
            async with self._postgres.transaction() as tx:
                last_id = await self._pipeline.next_shipped(tx, after_id, self._most_insert_entries)
                if last_id is None:
                    return after_id
                block = await self._pipeline.copy_batches(tx, after_id + 1, last_id)
                ingest_times = await self._pipeline.ingest_times(tx, block.batch_ids)
            await self._warehouse.insert_rebuilt(block.to_arrow(ingest_times), f"rebuild-{rebuild_id}-{last_id}")
            failpoint("rebuild.copied")
            after_id = last_id


class RebuildRequest:
    """Asks the process that ships to rebuild the warehouse, and looks how that goes.

    Args:
        postgres: The system of record.
        pipeline: SQL of the ledger.
        clock: The time.
    """

    def __init__(self, postgres: Postgres, pipeline: PipelineRepository, clock: Clock) -> None:
        self._postgres = postgres
        self._pipeline = pipeline
        self._clock = clock

    async def ask(self) -> UUID:
        """Asks for a rebuild and returns its id."""
        rebuild_id = uuid4()
        async with self._postgres.transaction() as tx:
            await self._pipeline.request_rebuild(tx, rebuild_id)
        return rebuild_id

    async def is_done(self, rebuild_id: UUID) -> bool:
        """Tells whether a rebuild is done."""
        return (await self._lead()).rebuild_id != rebuild_id

    async def anyone_ships(self) -> bool:
        """Tells whether a process holds the lease, so that the rebuild goes on now."""
        lead = await self._lead()
        return lead.holder is not None and lead.expire_time is not None and lead.expire_time > self._clock.now()

    async def _lead(self) -> outbox.Lead:
        async with self._postgres.read() as connection:
            return await outbox.lead(connection)
