"""The proof that both stores are equal, and what happens when they are not."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svoykrug_server.purchases.model import NewRefund, us_of_instant
from svoykrug_server.purchases.rebuild import RebuildRequest
from svoykrug_server.purchases.reconciler import Reconciler
from svoykrug_server.purchases.store_totals import BusinessDay, StoreTotals
from svoykrug_server.storage import outbox
from tests.purchases.circle import IMPORTER, NOON, Circle, rows_of
from tests.waiting import until

ONE_KOPECK_LESS = "ALTER TABLE purchases UPDATE amount_minor = amount_minor - 1 WHERE 1 SETTINGS mutations_sync = 1"


async def proofs(circle: Circle) -> list[tuple[UUID, date, int, int, int, int, bool]]:
    async with circle.postgres.read() as connection:
        rows = await connection.fetch(
            "SELECT business_id, day, postgres_count, postgres_sum_minor, clickhouse_count, clickhouse_sum_minor, "
            "disputed_since_time IS NOT NULL FROM proven_days ORDER BY business_id, day"
        )
    return [tuple(row) for row in rows]


async def test_days_that_changed_are_proven_by_business_and_day_in_the_circles_zone(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "still May in Moscow", 100, datetime(2026, 5, 31, 20, 59, tzinfo=UTC))
    await circle.buy(business_id, member, "June in Moscow", 20, datetime(2026, 5, 31, 21, 0, tzinfo=UTC))
    await circle.relay.step()

    await circle.reconciler.step()

    assert await proofs(circle) == [
        (business_id, date(2026, 5, 31), 1, 100, 1, 100, False),
        (business_id, date(2026, 6, 1), 1, 20, 1, 20, False),
    ]
    assert circle.metric("pipeline_mismatched_days_total") == 0


async def test_a_proof_ends_though_batches_are_shipped_all_the_while(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "receipt")
    await circle.relay.step()
    totals, compared = circle.copy.totals, 0

    async def totals_beside_a_sale(
        days: Sequence[BusinessDay], up_to_batch_id: int
    ) -> Mapping[BusinessDay, StoreTotals]:
        nonlocal compared
        compared += 1
        held = await totals(days, up_to_batch_id)
        await circle.buy(business_id, member, f"meanwhile-{compared}")
        await circle.relay.step()
        return held

    circle.copy.totals = totals_beside_a_sale  # type: ignore[method-assign]  # a busy circle
    async with asyncio.timeout(30):
        await circle.reconciler.prove_changed()
        first = compared
        await circle.reconciler.prove_changed()

    assert (first, compared) == (1, 2)


async def test_a_comparison_that_was_begun_before_all_days_were_doubted_proves_none_of_them(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "receipt", 100)
    await circle.relay.step()
    await circle.reconciler.step()
    other = Reconciler(circle.postgres, circle.pipeline, circle.copy, circle.clock, circle.metrics, 7)
    await circle.reconciler.touch_all()
    totals = circle.copy.totals

    async def totals_before_a_loss(
        days: Sequence[BusinessDay], up_to_batch_id: int
    ) -> Mapping[BusinessDay, StoreTotals]:
        held = await totals(days, up_to_batch_id)
        circle.copy.totals = totals  # type: ignore[method-assign]  # as it was
        await circle.warehouse.command(ONE_KOPECK_LESS)
        await other.touch_all()
        return held

    circle.copy.totals = totals_before_a_loss  # type: ignore[method-assign]  # the rows are lost while they are compared
    await circle.reconciler.prove_changed()

    assert await proofs(circle) == [(business_id, NOON.date(), 1, 100, 1, 99, True)]


async def test_a_comparison_that_ends_after_a_later_one_does_not_take_its_place(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "receipt", 100)
    await circle.relay.step()
    other = Reconciler(circle.postgres, circle.pipeline, circle.copy, circle.clock, circle.metrics, 7)
    totals = circle.copy.totals

    async def totals_before_another(
        days: Sequence[BusinessDay], up_to_batch_id: int
    ) -> Mapping[BusinessDay, StoreTotals]:
        held = await totals(days, up_to_batch_id)
        circle.copy.totals = totals  # type: ignore[method-assign]  # as it was
        await circle.warehouse.command(ONE_KOPECK_LESS)
        await other.prove_changed()
        return held

    circle.copy.totals = totals_before_another  # type: ignore[method-assign]  # another process compares meanwhile
    await circle.reconciler.prove_changed()

    assert await proofs(circle) == [(business_id, NOON.date(), 1, 100, 1, 99, True)]


async def test_one_kopeck_changed_in_the_warehouse_is_seen_blocks_and_is_repaired(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    for number in range(3):
        await circle.buy(business_id, member, f"receipt-{number}", 100)
    await circle.relay.step()
    await circle.reconciler.step()
    await circle.warehouse.command(
        "ALTER TABLE purchases UPDATE amount_minor = 101 WHERE entry_id = (SELECT min(entry_id) FROM purchases) "
        "SETTINGS mutations_sync = 1"
    )
    circle.pass_time(8 * 86_400)

    await circle.reconciler.touch_all()
    await circle.reconciler.prove_changed()
    seen, disputed = await proofs(circle), circle.metric("pipeline_disputed_days")
    await circle.reconciler.repair()

    assert seen == [(business_id, NOON.date(), 3, 300, 3, 301, True)]
    assert (disputed, circle.metric("pipeline_mismatched_days_total")) == (1, 1)
    assert await proofs(circle) == [(business_id, NOON.date(), 3, 300, 3, 300, False)]
    assert (circle.metric("pipeline_disputed_days"), circle.metric("pipeline_repaired_days_total")) == (0, 1)
    assert await circle.warehouse_rows() == await circle.ledger()


async def test_where_many_days_differ_a_rebuild_is_asked_for_once(
    circle: Circle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("svoykrug_server.purchases.reconciler.MOST_REPAIRED_DAYS", 1)
    business_id, member = await circle.add_business(), await circle.add_member()
    for day in range(2):
        await circle.buy(business_id, member, f"receipt-{day}", 100, NOON - timedelta(days=day))
    await circle.relay.step()
    await circle.reconciler.step()
    before = await circle.warehouse_rows()
    await circle.warehouse.command("TRUNCATE TABLE purchases SYNC")

    await circle.reconciler.compare_totals()
    await circle.reconciler.prove_changed()
    asked: list[UUID | None] = []
    for _ in range(2):
        await circle.reconciler.repair()
        async with circle.postgres.read() as connection:
            asked.append((await outbox.lead(connection)).rebuild_id)
    assert asked[0] is not None
    await circle.rebuild.run(asked[0])
    await circle.reconciler.step()

    assert asked == [asked[0]] * 2
    assert await circle.warehouse_rows() == before
    assert circle.metric("pipeline_disputed_days") == 0


async def test_days_of_one_business_are_read_again_also_one_that_only_the_warehouse_has_and_no_other(
    circle: Circle,
) -> None:
    shop, other, member = await circle.add_business(), await circle.add_business(), await circle.add_member()
    for business_id in (shop, other):
        await circle.buy(business_id, member, "receipt")
    await circle.relay.step()
    await circle.reconciler.step()
    await circle.warehouse.command(
        "INSERT INTO purchases SELECT * REPLACE (generateUUIDv4() AS entry_id, "
        "purchase_time - INTERVAL 90 DAY AS purchase_time) FROM purchases"
    )

    await circle.reconciler.touch_scope(shop)
    async with circle.postgres.read() as connection:
        touched = await circle.pipeline.unproven_days(connection, await outbox.shipped_up_to(connection), 10)
    await circle.reconciler.step()

    assert [at.business_id for at in touched] == [shop, shop]
    assert circle.metric("pipeline_repaired_days_total") == 1


async def test_a_clock_that_was_a_year_ahead_once_keeps_no_day_from_being_read_again(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "receipt")
    await circle.relay.step()
    right = circle.clock.now()
    circle.clock.set(right + timedelta(days=365))
    await circle.reconciler.step()
    circle.clock.set(right)
    await circle.warehouse.command(
        "INSERT INTO purchases SELECT * REPLACE (generateUUIDv4() AS entry_id, "
        "purchase_time - INTERVAL 90 DAY AS purchase_time) FROM purchases"
    )

    await circle.reconciler.step()

    assert circle.metric("pipeline_repaired_days_total") == 1


async def somebody_waits(circle: Circle) -> bool:
    async with circle.postgres.read() as connection:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(await connection.fetchval(sql))


@pytest.mark.parametrize("method", [Reconciler.touch_all, Reconciler.prove_changed])
async def test_a_seal_and_whoever_writes_proofs_wait_in_turn_and_never_for_one_another(
    circle: Circle, method: Callable[[Reconciler], Coroutine[None, None, None]]
) -> None:
    await circle.buy(await circle.add_business(), await circle.add_member(), "receipt")
    await circle.relay.step()

    async with circle.postgres.transaction() as sealing:
        assert await circle.relay.take_lease(sealing)
        writing = asyncio.create_task(method(circle.reconciler))
        await until(lambda: somebody_waits(circle), 60)
        await circle.pipeline.touch_days(sealing, 1)
    await writing

    await circle.reconciler.step()
    assert len(await proofs(circle)) == 1


async def test_no_caller_is_handed_more_days_than_it_can_do_something_about(circle: Circle) -> None:
    async with circle.postgres.transaction() as tx:
        await (await tx.driver()).execute(
            "INSERT INTO proven_days (business_id, day, touched_batch_id, proven_batch_id, clickhouse_count,"
            " clickhouse_sum_minor, disputed_since_time)"
            " SELECT gen_random_uuid(), '2026-05-01', 1, 1, 1, 100, CASE WHEN number <= 5 THEN now() END"
            " FROM generate_series(1, 8) AS number"
        )

    async with circle.postgres.read() as connection:
        standing = await circle.pipeline.standing(connection, 3)
        all_open = (await circle.pipeline.standing(connection, 6)).open_days
        disputed = await circle.pipeline.disputed_days(connection, 2)
        count = await circle.pipeline.disputed_day_count(connection)

    assert (len(standing.open_days), standing.total) == (3, (3, 300))
    assert len(all_open) == count == 5
    assert list(disputed) == sorted(all_open)[:2]


async def test_after_a_week_every_day_is_read_again_also_one_that_only_the_warehouse_has(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "receipt")
    await circle.relay.step()
    await circle.reconciler.step()
    await circle.warehouse.command(
        "INSERT INTO purchases SELECT * REPLACE (generateUUIDv4() AS entry_id, "
        "purchase_time - INTERVAL 90 DAY AS purchase_time) FROM purchases"
    )
    circle.pass_time(8 * 86_400)

    await circle.reconciler.step()

    assert circle.metric("pipeline_repaired_days_total") == 1
    assert await circle.warehouse_rows() == await circle.ledger()


async def test_a_rebuilt_warehouse_repeats_identical_rows_while_new_ones_arrive(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    for number in range(4):
        purchase_id = await circle.buy(business_id, member, f"receipt-{number}", 100)
        circle.pass_time()
        await circle.relay.step()
    await circle.refunds.refund(IMPORTER, business_id, NewRefund(purchase_id, None, "back", 5, "", NOON))
    await circle.relay.step()
    before = await circle.warehouse_rows()
    await circle.warehouse.command("DROP TABLE purchases SYNC")

    request = RebuildRequest(circle.postgres, circle.pipeline, circle.clock)
    rebuild_id = await request.ask()
    await circle.rebuild.run(rebuild_id)
    rebuilt = await circle.warehouse_rows()
    await circle.buy(business_id, member, "new", 100)
    await circle.relay.step()
    await circle.reconciler.step()

    assert await request.is_done(rebuild_id)
    assert rebuilt == before
    assert await circle.warehouse_rows() == await circle.ledger()
    assert circle.metric("pipeline_mismatched_days_total") == 0


async def hashed(circle: Circle, business_id: UUID) -> list[tuple[StoreTotals, StoreTotals]]:
    """Returns what each store held of each day of a business when it was compared: PostgreSQL, ClickHouse."""
    stores = [f"{store}_count, {store}_sum_minor, {store}_hash" for store in ("postgres", "clickhouse")]
    query = f"SELECT {', '.join(stores)} FROM proven_days WHERE business_id = $1"  # noqa: S608 - constants only
    async with circle.postgres.read() as connection:
        rows = [[int(value) for value in row] for row in await connection.fetch(query, business_id)]
    return [(StoreTotals(*row[:3]), StoreTotals(*row[3:])) for row in rows]


def expected_totals(rows: Sequence[tuple[object, ...]]) -> StoreTotals:
    """Returns the totals of ledger rows by the definition, in Python."""
    total = StoreTotals()
    for entry_id, _, business_id, member_id, kind, amount_minor, currency, purchase_time, *_ in rows:
        assert isinstance(amount_minor, int)
        assert isinstance(purchase_time, datetime)
        text = f"{entry_id}|{business_id}|{member_id}|{amount_minor}|{currency}|{us_of_instant(purchase_time)}|{kind}"
        head = hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8]
        total += StoreTotals(1, amount_minor, int.from_bytes(head, "big"))
    return total


OLDEST = datetime(2017, 1, 1, tzinfo=UTC)
PURCHASES = st.lists(
    st.tuples(
        st.integers(0, 100_000_000_000),
        st.integers(0, 3_400 * 86_400 * 1_000_000).map(lambda passed_us: OLDEST + timedelta(microseconds=passed_us)),
        st.integers(0, 100),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(bought=PURCHASES)
async def test_both_stores_compute_the_hash_that_python_computes(
    circle: Circle, bought: list[tuple[int, datetime, int]]
) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    rows = rows_of(*((f"r{number}", member.phone, row[0], row[1]) for number, row in enumerate(bought)))
    await circle.purchases.record_batch(IMPORTER, business_id, rows)
    for number, (amount_minor, at, percent) in enumerate(bought):
        if given_back := amount_minor * percent // 100:
            refund = NewRefund(None, f"r{number}", f"back-{number}", given_back, "", at + timedelta(hours=1))
            await circle.refunds.refund(IMPORTER, business_id, refund)
    await circle.relay.step()

    entries = [row for row in await circle.ledger() if row[2] == business_id]
    await circle.reconciler.prove_changed()
    compared = await hashed(circle, business_id)

    assert all(ours == theirs for ours, theirs in compared)
    assert sum((ours for ours, _ in compared), StoreTotals()) == expected_totals(entries)
