"""A repair beside a snapshot that is being computed: none is published from rows of before it, or of its middle."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from svoykrug_server.analytics.freshness.repository import FreshnessRepository
from svoykrug_server.analytics.freshness.service import FreshnessService
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.model import SnapshotPlan
from svoykrug_server.analytics.snapshots import SnapshotBuilder
from svoykrug_server.analytics.warehouse import SnapshotWarehouse
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.operations.model import OperationState
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.snapshots import Analytics
from tests.purchases.circle import NOON, TIME_ZONE, Circle
from tests.waiting import until

RECEIPT_MINOR, RECEIPTS = 100, 3
ONE_KOPECK_MORE = (
    "ALTER TABLE purchases UPDATE amount_minor = 101 WHERE entry_id = (SELECT min(entry_id) FROM purchases) "
    "SETTINGS mutations_sync = 1"
)


@dataclass(frozen=True, slots=True)
class Damaged:
    """A circle whose warehouse has a wrong row that nobody has seen yet.

    Attributes:
        circle: Its purchases, with what repairs them.
        analytics: Its snapshots, on the proofs that the circle's reconciler keeps.
    """

    circle: Circle
    analytics: Analytics

    async def see(self) -> None:
        """Sees the wrong row: its day is disputed from now on."""
        await self.circle.reconciler.touch_all()
        await self.circle.reconciler.prove_changed()

    async def net_spend_minor(self) -> list[int]:
        """Returns what the members of the snapshots spent, published or not."""
        rows = await self.analytics.warehouse.query("SELECT net_spend_minor FROM snapshot_members")
        return [int(row[0]) for row in rows]

    async def writers_wait(self) -> bool:
        """Tells whether somebody waits to write old rows."""
        async with self.circle.postgres.read() as connection:
            return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    def meanwhile(self, act: Callable[[], Awaitable[None]], *, before: bool) -> None:
        """Has something happen once, before or after the next snapshot's rows are computed."""
        build = self.analytics.rows.build

        async def build_and_act(plan: SnapshotPlan, build_id: UUID) -> None:
            self.analytics.rows.build = build  # type: ignore[method-assign]  # the next attempt is undisturbed
            if before:
                await act()
            await build(plan, build_id)
            if not before:
                await act()

        self.analytics.rows.build = build_and_act  # type: ignore[method-assign]  # where the other is interleaved


@pytest.fixture
async def damaged(postgres: Postgres, warehouse: Warehouse, clock: ManualClock) -> Damaged:
    """A member's three purchases, shipped and proven; one of them is a kopeck too much in the warehouse."""
    circle, analytics = Circle(postgres, warehouse, clock), Analytics(postgres, warehouse, clock)
    clock.set(NOON)
    business_id, member = await circle.add_business(), await circle.add_member()
    for number in range(RECEIPTS):
        await circle.buy(business_id, member, f"receipt-{number}", RECEIPT_MINOR)
    circle.pass_time()
    await circle.relay.step()
    await circle.reconciler.step()
    await warehouse.command(ONE_KOPECK_MORE)
    circle.pass_time(60)
    tokens, kept = PageTokens(bytes(32)), KeptHistory(postgres, ZoneInfo(TIME_ZONE))
    proofs = FreshnessService(postgres, FreshnessRepository(TIME_ZONE), circle.reconciler, tokens, clock)
    analytics.proofs.known_up_to = clock.now()
    analytics.rows = SnapshotWarehouse(warehouse, ZoneInfo(TIME_ZONE))
    analytics.builder = SnapshotBuilder(analytics.repository, analytics.rows, proofs, kept, clock)
    return Damaged(circle, analytics)


@pytest.mark.parametrize("before", [True, False], ids=["before its rows are read", "after its rows are read"])
async def test_a_day_seen_to_disagree_during_a_snapshot_is_repaired_after_it_and_it_is_not_published(
    damaged: Damaged, before: bool
) -> None:
    repairing: list[asyncio.Task[None]] = []

    async def see_and_begin_to_repair() -> None:
        await damaged.see()
        repairing.append(asyncio.create_task(damaged.circle.reconciler.repair()))
        await until(damaged.writers_wait)

    damaged.meanwhile(see_and_begin_to_repair, before=before)
    operation = await damaged.analytics.ask(cutoff=damaged.circle.clock.now())
    await damaged.analytics.runner().run_one()
    await asyncio.gather(*repairing)

    assert (await damaged.analytics.operation(operation)).state is OperationState.QUEUED
    assert await damaged.analytics.repository.latest(None, None) is None
    assert await damaged.net_spend_minor() == []
    assert damaged.circle.metric("pipeline_repaired_days_total") == 1


async def test_a_snapshot_waits_for_the_end_of_a_repair_and_reads_what_is_right(damaged: Damaged) -> None:
    await damaged.see()
    insert, deleted, go_on = damaged.circle.copy.insert, asyncio.Event(), asyncio.Event()

    async def insert_when_told(rows: pa.Table, deduplication_token: str) -> None:
        deleted.set()
        await go_on.wait()
        await insert(rows, deduplication_token)

    damaged.circle.copy.insert = insert_when_told  # type: ignore[method-assign]  # the snapshot comes in
    repairing = asyncio.create_task(damaged.circle.reconciler.repair())
    await deleted.wait()
    operation = await damaged.analytics.ask(cutoff=damaged.circle.clock.now())
    snapshot = asyncio.create_task(damaged.analytics.runner().run_one())
    await until(damaged.writers_wait)
    go_on.set()
    await asyncio.gather(repairing, snapshot)

    assert (await damaged.analytics.operation(operation)).state is OperationState.SUCCEEDED
    assert await damaged.net_spend_minor() == [RECEIPTS * RECEIPT_MINOR]
