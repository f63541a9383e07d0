"""The relay: seals what transactions wrote to the ledger, ships it to the warehouse, and moves the watermark.

A step is: ship what is sealed and not shipped (a crash, or the warehouse was away), seal what waits, ship it. Killed at
any point, the next process finds either nothing sealed (the claim was rolled back), or a sealed batch, which it inserts
again under the same token: the warehouse takes it once.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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

LONGEST_SPACING_SECONDS = 0.5
"""How long purchases are gathered where they are many. A step costs as much for one as for a hundred."""


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """How the relay works.

    Attributes:
        most_batch_entries: How many ledger rows a batch has at most.
        poll_seconds: How long it waits when nobody wakes it.
        spacing_seconds: How long it waits after a step at least, so that single purchases travel together; from the
            beginning of one step to the next as many times that as it shipped ledger rows, up to
            `LONGEST_SPACING_SECONDS`.
        lease_seconds: How long another process waits before it takes over from one that says nothing.
        retry_seconds: How long it waits after a step failed.
    """

    most_batch_entries: int = 200_000
    poll_seconds: float = 0.5
    spacing_seconds: float = 0.1
    lease_seconds: float = 5.0
    retry_seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.poll_seconds + max(self.spacing_seconds, LONGEST_SPACING_SECONDS) > self.lease_seconds / 2:
            raise ValueError("a lease outlives at least two polls")

    def rest_seconds(self, entry_count: int, took_seconds: float) -> float:
        """Returns how long to wait after a step that shipped so many ledger rows; a slow one has gathered meanwhile."""
        gathering_seconds = min(self.spacing_seconds * entry_count, LONGEST_SPACING_SECONDS)
        return max(self.spacing_seconds, gathering_seconds - took_seconds)


@dataclass(frozen=True, slots=True)
class RelayStep:
    """What one step did.

    Attributes:
        leads: Whether this process holds the lease.
        more: Whether ledger rows were left for the next step.
        entry_count: How many ledger rows it sealed.
    """

    leads: bool
    more: bool = False
    entry_count: int = 0


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
        while True:
            seal_time = self._clock.now()
            async with self._postgres.transaction() as tx:
                if not await self.take_lease(tx):
                    return RelayStep(leads=False)
                waiting = await outbox.unshipped(tx)
                sealed, clean = (None, False) if waiting else await self._seal(tx, seal_time)
            if not waiting:
                break
            await self._ship_waiting(waiting)
        if sealed is not None:
            failpoint("relay.sealed")
            await self._ship(*sealed)
        if clean:
            self._metrics.watermark_seconds.set(seal_time.timestamp())
        return RelayStep(leads=True, more=not clean, entry_count=len(sealed[1]) if sealed else 0)

    async def _ship_waiting(self, batches: Sequence[SealedBatch]) -> None:
        """Ships batches that were sealed by an earlier step."""
        for batch in batches:
            async with self._postgres.transaction() as tx:
                block = await self._pipeline.copy_batches(tx, batch.batch_id, batch.batch_id)
            await self._ship(batch, block)

    async def _seal(
        self, tx: Transaction, seal_time: datetime
    ) -> tuple[tuple[SealedBatch, "LedgerBlock"] | None, bool]:
        """Seals what waits; returns the batch, if any, and whether nothing is left.

        Args:
            tx: The transaction that took the lease.
            seal_time: The present, from before the transaction.
        """
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
        began = time.monotonic()
        try:
            step = await self.step()
        except DomainError as error:
            log.warning("relay_step_failed", reason=error.reason)
            self._metrics.failed_steps.labels("relay", error.reason).inc()
            return self._options.retry_seconds
        if step.more and step.leads:
            return 0.0
        return self._options.rest_seconds(step.entry_count, time.monotonic() - began)

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
