"""The way from the ledger to the warehouse: nothing lost, nothing twice."""

import asyncio
from datetime import timedelta

import pytest

from svoykrug_server.kit.errors import WarehouseUnavailable
from svoykrug_server.purchases.model import NewRefund
from svoykrug_server.purchases.relay import RelayOptions
from svoykrug_server.storage import outbox
from svoykrug_server.storage.outbox import Backlog, SealedBatch
from svoykrug_server.storage.postgres import Transaction
from svoykrug_server.users.membership.tier_repository import FOLLOW_LEDGER
from tests.purchases.circle import IMPORTER, NOON, Circle
from tests.waiting import until


async def backlog(circle: Circle) -> Backlog:
    async with circle.postgres.read() as connection:
        return await outbox.backlog(connection)


async def test_a_purchase_and_its_refund_arrive_as_signed_rows(circle: Circle) -> None:
    business_id, member = await circle.add_business(sensitive=True), await circle.add_member()
    purchase_id = await circle.buy(business_id, member, "receipt-1", 5_000)
    refund = NewRefund(purchase_id, None, "refund-1", 2_000, "", NOON + timedelta(days=1))
    await circle.refunds.refund(IMPORTER, business_id, refund)

    await circle.relay.step()

    rows = await circle.warehouse_rows()
    assert rows == await circle.ledger()
    assert sorted((row[1], row[4], row[5], row[9]) for row in rows) == [
        (purchase_id, 1, 5_000, 1),
        (purchase_id, 2, -2_000, 1),
    ]


async def test_the_watermark_is_the_last_seal_that_left_nothing_unclaimed(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "receipt-1")
    before = await backlog(circle)

    await circle.relay.step()

    after = await backlog(circle)
    assert (before.watermark, before.waiting_count) == (None, 1)
    assert (after.watermark, after.waiting_count) == (circle.clock.now(), 0)


async def test_a_batch_marked_while_another_process_seals_does_not_vouch_for_its_batch(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()

    async def seal(tx: Transaction) -> SealedBatch:
        await outbox.take_turn(tx)
        claim = await outbox.claim(tx, circle.clock.now(), 100)
        return await outbox.seal(tx, claim, bytes(32))

    async def mark(batch: SealedBatch) -> None:
        async with circle.postgres.transaction() as tx:
            await outbox.mark_shipped(tx, batch.batch_id, circle.clock.now())

    async def is_waited_for() -> bool:
        async with circle.postgres.read() as connection:
            return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    await circle.buy(business_id, member, "receipt-1")
    async with circle.postgres.transaction() as tx:
        first = await seal(tx)
    circle.pass_time()
    await circle.buy(business_id, member, "receipt-2")
    async with circle.postgres.transaction() as tx:
        second = await seal(tx)
        marking = asyncio.create_task(mark(first))
        await until(is_waited_for)
    await marking
    assert (await backlog(circle)).watermark is None
    await mark(second)
    assert (await backlog(circle)).watermark == second.ingest_time


async def test_the_watermark_moves_on_while_nothing_happens(circle: Circle) -> None:
    await circle.relay.step()
    circle.pass_time(60)
    await circle.relay.step()

    assert (await backlog(circle)).watermark == circle.clock.now()


async def test_a_transaction_held_open_across_a_seal_is_shipped_by_the_next(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    async with circle.postgres.transaction() as tx:
        early_number = await outbox.reserve(tx)
        driver = await tx.driver()
        await driver.execute(
            "INSERT INTO purchase_entries (entry_id, purchase_id, business_id, member_id, outbox_id, amount_minor, "
            "purchase_time, kind, sensitive, currency_code, external_id) "
            "SELECT id, id, $1, $2, $3, 700, $4, 1, false, 'RUB', 'early' FROM gen_random_uuid() AS id",
            business_id,
            member.member_id,
            early_number,
            NOON,
        )
        await outbox.append(tx, FOLLOW_LEDGER, early_number, business_id, 1, circle.clock.now())
        await circle.buy(business_id, member, "late")
        await circle.relay.step()
        shipped_while_open = await circle.warehouse_rows()
    circle.pass_time()
    await circle.relay.step()

    rows = await circle.warehouse_rows()
    assert [row[5] for row in shipped_while_open] == [1_000]
    assert rows == await circle.ledger()
    assert sorted((row[10], row[5]) for row in rows) == [(1, 1_000), (2, 700)]


async def test_ingest_times_never_go_back_though_the_clock_does(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "receipt-1")
    await circle.relay.step()
    circle.clock.set(circle.clock.now() - timedelta(hours=1))
    await circle.buy(business_id, member, "receipt-2")
    await circle.relay.step()

    ingest_times = [row[8] for row in sorted(await circle.warehouse_rows(), key=lambda row: str(row[10]))]
    assert ingest_times[1] > ingest_times[0]  # type: ignore[operator]  # rows are of mixed types


async def test_more_than_a_batch_holds_is_sealed_in_several_and_the_watermark_waits(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    for number in range(5):
        await circle.buy(business_id, member, f"receipt-{number}")
    relay = circle.make_relay(most_batch_entries=2)

    first = await relay.step()
    watermark_after_first = (await backlog(circle)).watermark
    while (await relay.step()).more:
        pass

    assert first.more
    assert watermark_after_first is None
    assert (await backlog(circle)).watermark is not None
    assert sorted(row[10] for row in await circle.warehouse_rows()) == [1, 1, 2, 2, 3]  # type: ignore[type-var]  # ints


async def test_a_batch_inserted_but_not_marked_is_inserted_again_and_kept_once(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "receipt-1")
    await circle.relay.step()
    async with circle.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE sealed_batches SET shipped_time = NULL")

    await circle.relay.step()

    assert await circle.warehouse_rows() == await circle.ledger()
    assert circle.metric("pipeline_reshipped_batches_total") == 0


async def test_a_batch_that_the_warehouse_lost_is_shipped_again(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "receipt-1")
    await circle.relay.step()
    await circle.warehouse.command("DELETE FROM purchases WHERE 1")
    async with circle.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE sealed_batches SET shipped_time = NULL")

    await circle.relay.step()

    assert await circle.warehouse_rows() == await circle.ledger()
    assert circle.metric("pipeline_reshipped_batches_total") == 1


async def test_only_one_process_seals_until_its_lease_is_over(circle: Circle) -> None:
    other = circle.make_relay()
    assert (await circle.relay.step()).leads
    assert not (await other.step()).leads
    circle.pass_time(10)
    assert (await other.step()).leads
    assert not (await circle.relay.step()).leads


async def test_purchases_go_on_while_the_warehouse_is_away_and_the_relay_catches_up(
    circle: Circle, monkeypatch: pytest.MonkeyPatch
) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()

    async def away(*_: object) -> None:
        raise WarehouseUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(circle.warehouse, "insert_arrow", away)
        for number in range(3):
            await circle.buy(business_id, member, f"receipt-{number}")
            with pytest.raises(WarehouseUnavailable):
                await circle.relay.step()
    waiting = await backlog(circle)

    await circle.relay.step()

    assert (waiting.watermark, waiting.waiting_count) == (None, 3)
    assert await circle.warehouse_rows() == await circle.ledger()
    assert (await backlog(circle)).waiting_count == 0


async def test_a_late_purchase_keeps_its_own_time_and_gets_the_time_of_its_seal(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "receipt-1")
    await circle.relay.step()
    circle.pass_time(3600)
    await circle.buy(business_id, member, "late", at=NOON - timedelta(days=400))
    await circle.relay.step()

    by_batch = {row[10]: row for row in await circle.warehouse_rows()}
    assert by_batch[2][7] == NOON - timedelta(days=400)
    assert by_batch[2][8] == circle.clock.now()


@pytest.mark.parametrize(
    ("entry_count", "seconds"), [(0, 0.1), (1, 0.1), (2, 0.2), (4, 0.4), (5, 0.5), (6, 0.5), (200_000, 0.5)]
)
def test_the_more_a_step_ships_the_longer_is_gathered_up_to_half_a_second(entry_count: int, seconds: float) -> None:
    assert RelayOptions().rest_seconds(entry_count, 0) == pytest.approx(seconds)
    assert RelayOptions().rest_seconds(entry_count, 0.1) == pytest.approx(max(0.1, seconds - 0.1))
    assert RelayOptions().rest_seconds(entry_count, 9) == 0.1


def test_who_asks_for_more_or_for_no_time_between_steps_gets_it() -> None:
    assert RelayOptions(spacing_seconds=1.5, lease_seconds=6).rest_seconds(100, 0) == 1.5
    assert RelayOptions(spacing_seconds=0).rest_seconds(100, 0) == 0


def test_a_lease_that_a_gathering_relay_could_lose_is_refused() -> None:
    assert RelayOptions(poll_seconds=0.5, lease_seconds=2).lease_seconds == 2
    with pytest.raises(ValueError, match="lease"):
        RelayOptions(poll_seconds=0.5, lease_seconds=1.9)


async def test_a_step_ships_what_was_sealed_before_and_then_what_waits(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "early")
    async with circle.postgres.transaction() as tx:
        assert await circle.relay.take_lease(tx)
        sealed, _ = await circle.relay._seal(tx, circle.clock.now())
    assert sealed is not None
    circle.pass_time()
    await circle.buy(business_id, member, "late-1")
    await circle.buy(business_id, member, "late-2")
    step = await circle.relay.step()
    assert (step.leads, step.more, step.entry_count) == (True, False, 2)
    assert await circle.ledger() == await circle.warehouse_rows()
    assert {row[-1] for row in await circle.ledger()} == {sealed[0].batch_id, sealed[0].batch_id + 1}
    assert (await backlog(circle)).watermark == circle.clock.now()


async def test_a_relay_that_does_not_lead_seals_and_ships_nothing(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    other = circle.make_relay()
    assert (await other.step()).leads
    await circle.buy(business_id, member, "receipt-1")
    assert not (await circle.relay.step()).leads
    assert (await backlog(circle)).waiting_count == 1
