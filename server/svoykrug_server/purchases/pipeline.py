"""The upkeep of the warehouse's copy as one job: proof, repair and rebuild, where the relay holds the lease."""

import asyncio

import structlog

from svoykrug_server.kit.errors import DomainError
from svoykrug_server.purchases.rebuild import Rebuild
from svoykrug_server.purchases.reconciler import Reconciler
from svoykrug_server.purchases.relay import Relay
from svoykrug_server.storage import outbox
from svoykrug_server.storage.postgres import Postgres

log = structlog.get_logger(__name__)


class Upkeep:
    """Keeps the warehouse equal to the ledger.

    Args:
        postgres: The system of record.
        relay: Seals and ships.
        reconciler: Proves and repairs.
        rebuild: Rebuilds on request.
        interval_seconds: How long it waits between two rounds.
    """

    def __init__(
        self, postgres: Postgres, relay: Relay, reconciler: Reconciler, rebuild: Rebuild, interval_seconds: float
    ) -> None:
        self._postgres = postgres
        self._relay = relay
        self._reconciler = reconciler
        self._rebuild = rebuild
        self._interval_seconds = interval_seconds
        self._is_compared = False

    async def run(self) -> None:
        """Works until cancelled; when a store is away, the next round tries again."""
        while True:
            try:
                await self.round()
            except DomainError as error:
                log.warning("upkeep_failed", reason=error.reason)
            await asyncio.sleep(self._interval_seconds)

    async def round(self) -> None:
        """Rebuilds when that is wanted, else proves and repairs; does nothing while another process leads.

        Whoever begins to lead looks first whether the warehouse is still what was proven: it may have been lost or
        put back from a copy while nobody served. That it was emptied since, whole or table by table, each round sees.

        Raises:
            StoreUnavailable: PostgreSQL is away.
            WarehouseUnavailable: ClickHouse is away.
        """
        async with self._postgres.read() as connection:
            lead = await outbox.lead(connection)
        if lead.holder != self._relay.holder:
            self._is_compared = False
            return
        rebuild_id = lead.rebuild_id or await self._rebuild.mend_tables()
        if rebuild_id is not None:
            await self._rebuild.run(rebuild_id)
        if not self._is_compared or await self._reconciler.lacks_rows():
            await self._reconciler.prove_changed()
            self._is_compared = await self._reconciler.compare_totals()
        await self._reconciler.step()
