"""The relay: seals what transactions wrote to the ledger, ships it to the warehouse, and moves the watermark.

A step is: ship what is sealed and not shipped (a crash, or the warehouse was away), seal what waits, ship it. Killed at
any point, the next process finds either nothing sealed (the claim was rolled back), or a sealed batch, which it inserts
again under the same token: the warehouse takes it once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.kit.failpoints import failpoint
from svoykrug_server.purchases.pipeline_metrics import PipelineMetrics
from svoykrug_server.purchases.pipeline_repository import PipelineRepository
from svoykrug_server.purchases.warehouse import PurchaseWarehouse
from svoykrug_server.storage import outbox
from svoykrug_server.storage.outbox import SealedBatch
from svoykrug_server.storage.postgres import Postgres, Transaction

if TYPE_CHECKING:
    from svoykrug_server.purchases.ledger_block import LedgerBlock

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """How the relay works.

    Attributes:
        most_batch_entries: How many ledger rows a batch has at most.
        poll_seconds: How long it waits when nobody wakes it.
        spacing_seconds: How long it waits after a step at least, so that single purchases travel together.
        lease_seconds: How long another process waits before it takes over from one that says nothing.
        retry_seconds: How long it waits after a step failed.
    """

    most_batch_entries: int = 200_000
    poll_seconds: float = 0.5
    spacing_seconds: float = 0.1
    lease_seconds: float = 5.0
    retry_seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.poll_seconds + self.spacing_seconds > self.lease_seconds / 2:
            raise ValueError("a lease outlives at least two polls")


@dataclass(frozen=True, slots=True)
class RelayStep:
    """What one step did.

    Attributes:
        leads: Whether this process holds the lease.
        more: Whether ledger rows were left for the next step.
    """

    leads: bool
    more: bool = False


class Relay:
    """Carries the ledger to the warehouse.

    Args:
        postgres: The system of record.
        pipeline: SQL of the ledger.
        warehouse: SQL of its copy.
        clock: The time.
        metrics: What is counted.
        options: How it works.
    """

    def __init__(
        self,
        postgres: Postgres,
        pipeline: PipelineRepository,
        warehouse: PurchaseWarehouse,
        clock: Clock,
        metrics: PipelineMetrics,
        options: RelayOptions,
    ) -> None:
        self._postgres = postgres
        self._pipeline = pipeline
        self._warehouse = warehouse
        self._clock = clock
        self._metrics = metrics
        self._options = options
        self.holder = uuid4()
        """What this process is called as holder of the lease."""
        self._woken = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self.shipping = asyncio.Lock()
        """Held while batches are shipped: whoever exchanges the warehouse's table takes it first."""

    def wake(self) -> None:
        """Makes the next step begin at once: something was written to the ledger in this process."""
        self._woken.set()

    def tell_when_shipped(self, listener: Callable[[], None]) -> None:
        """Has a listener called whenever this process has shipped a batch."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Works until cancelled; then gives the lease back."""
        try:
            while True:
                await self._wait(await self._try_step())
        except asyncio.CancelledError:
            await self._release()
            raise

    async def step(self) -> RelayStep:
        """Ships what is sealed, seals what waits, and ships it.

        Raises:
            StoreUnavailable: PostgreSQL is away.
            WarehouseUnavailable: ClickHouse is away; what is sealed waits.
        """
        async with self.shipping:
            return await self._step()

    async def take_lease(self, tx: Transaction) -> bool:
        """Takes or prolongs the lease unless another process has it; none can take it before the transaction ends."""
        lasts = timedelta(seconds=self._options.lease_seconds)
        return await outbox.take_lease(tx, self.holder, self._clock.now(), lasts)

    async def _step(self) -> RelayStep:
        async with self._postgres.transaction() as tx:
            leads = await self.take_lease(tx)
            waiting = await outbox.unshipped(tx) if leads else ()
        if not leads:
            return RelayStep(leads=False)
        for batch in waiting:
            async with self._postgres.transaction() as tx:
                block = await self._pipeline.copy_batches(tx, batch.batch_id, batch.batch_id)
            await self._ship(batch, block)
        seal_time = self._clock.now()
        sealed, clean = await self._seal()
        if sealed is not None:
            failpoint("relay.sealed")
            await self._ship(*sealed)
        if clean:
            self._metrics.watermark_seconds.set(seal_time.timestamp())
        return RelayStep(leads=True, more=not clean)

    async def _seal(self) -> tuple[tuple[SealedBatch, "LedgerBlock"] | None, bool]:
        """Seals what waits; returns the batch, if any, and whether nothing is left."""
        seal_time = self._clock.now()
        async with self._postgres.transaction() as tx:
            if not await self.take_lease(tx):
                return None, False
            claim = await outbox.claim(tx, seal_time, self._options.most_batch_entries)
            if not claim.entry_count:
                return None, claim.clean
            block = await self._pipeline.copy_batches(tx, claim.batch_id, claim.batch_id)
            if len(block) != claim.entry_count:
                raise ValueError("the outbox counts other rows than the ledger has")
            await self._pipeline.touch_days(tx, claim.batch_id)
            batch = await outbox.seal(tx, claim, block.content_hash)
            failpoint("relay.claimed")
        return (batch, block), claim.clean

    async def _ship(self, batch: SealedBatch, block: "LedgerBlock") -> None:
        if block.content_hash != batch.content_hash:
            raise ValueError(f"batch {batch.batch_id} has other rows than were sealed")
        rows = block.to_arrow({batch.batch_id: batch.ingest_time})
        held = (len(block), block.sum_minor)
        await self._warehouse.insert(rows, batch.deduplication_token)
        failpoint("relay.inserted")
        if await self._warehouse.batch(batch.batch_id, batch.ingest_time) != held:
            await self._ship_again(batch, block)
        async with self._postgres.transaction() as tx:
            await outbox.mark_shipped(tx, batch.batch_id, self._clock.now())
        self._metrics.shipped_batches.inc()
        self._metrics.shipped_entries.inc(len(block))
        for listener in self._listeners:
            listener()
        failpoint("relay.shipped")

    async def _ship_again(self, batch: SealedBatch, block: "LedgerBlock") -> None:
        """Replaces what the warehouse holds of a batch: it lost rows, or lost the memory of having them already."""
        self._metrics.reshipped_batches.inc()
        log.warning("batch_shipped_again", batch_id=batch.batch_id)
        await self._warehouse.delete_batch(batch.batch_id, batch.ingest_time)
        failpoint("relay.batch_deleted")
        rows = block.to_arrow({batch.batch_id: batch.ingest_time})
        await self._warehouse.insert(rows, f"{batch.deduplication_token}-{uuid4().hex}")
        if await self._warehouse.batch(batch.batch_id, batch.ingest_time) != (len(block), block.sum_minor):
            raise ValueError(f"the warehouse does not hold batch {batch.batch_id} as it was sealed")

    async def _try_step(self) -> float:
        """Makes a step; returns how many seconds to wait before the next."""
        self._woken.clear()
        try:
            step = await self.step()
        except DomainError as error:
            log.warning("relay_step_failed", reason=error.reason)
            self._metrics.failed_steps.labels("relay", error.reason).inc()
            return self._options.retry_seconds
        return 0.0 if step.more and step.leads else self._options.spacing_seconds

    async def _wait(self, at_least_seconds: float) -> None:
        """Waits a while; then, unless more is known to wait, until it is woken or the poll is due."""
        if not at_least_seconds:
            return
        await asyncio.sleep(at_least_seconds)
        try:
            async with asyncio.timeout(self._options.poll_seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _release(self) -> None:
        try:
            async with self._postgres.transaction() as tx:
                await outbox.release_lease(tx, self.holder)
        except DomainError as error:
            log.info("lease_not_released", reason=error.reason)
