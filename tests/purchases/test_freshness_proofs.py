"""What a call of GetFreshness has compared: no more than it must, and all that it calls equal."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from uuid import UUID

import pytest

from svoykrug_server.analytics.freshness.model import DayPage, DayRange, ProofState
from svoykrug_server.analytics.freshness.service import FreshnessService
from svoykrug_server.kit.errors import WarehouseUnavailable
from svoykrug_server.purchases import reconciler
from svoykrug_server.purchases.reconciler import DAYS_STAND, TOTALS_STAND
from svoykrug_server.purchases.store_totals import BusinessDay, StoreTotals
from tests.purchases.circle import NOON, Circle
from tests.purchases.freshness import READER, freshness_of
from tests.waiting import until

SPRING = DayPage(DayRange(date(2026, 4, 1), date(2026, 6, 1)))


class Counted:
    """Counts what the stores are asked for."""

    def __init__(self, circle: Circle, monkeypatch: pytest.MonkeyPatch) -> None:
        self.totals, self.days = 0, list[int]()
        total, totals = circle.copy.total, circle.copy.totals

        async def counted_total(up_to: int, from_day: date | None, without: Sequence[BusinessDay]) -> tuple[int, int]:
            self.totals += 1
            return await total(up_to, from_day, without)

        async def counted_totals(days: Sequence[BusinessDay], up_to: int) -> Mapping[BusinessDay, StoreTotals]:
            self.days.append(len(days))
            return await totals(days, up_to)

        monkeypatch.setattr(circle.copy, "total", counted_total)
        monkeypatch.setattr(circle.copy, "totals", counted_totals)


async def test_callers_share_one_look_at_the_totals_and_one_proof_of_the_days_they_ask_for(
    circle: Circle, freshness: FreshnessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    for number in range(3):
        await circle.buy(business_id, member, f"r{number}", 100, at=NOON - timedelta(days=number))
    await circle.relay.step()
    await circle.reconciler.step()
    circle.pass_time(DAYS_STAND.total_seconds())
    counted = Counted(circle, monkeypatch)

    reports = await asyncio.gather(*(freshness.report(READER, None, SPRING) for _ in range(10)))
    at_once = (counted.totals, list(counted.days))
    circle.pass_time(TOTALS_STAND.total_seconds())
    await asyncio.gather(*(freshness.report(READER, None, SPRING) for _ in range(10)))
    a_moment_later = (counted.totals, list(counted.days))
    circle.pass_time(DAYS_STAND.total_seconds())
    await freshness.report(READER, None, SPRING)

    assert all(report.totals.equal and len(report.days) == 3 for report in reports)
    assert at_once == (1, [3])
    assert a_moment_later == (2, [3])
    assert (counted.totals, counted.days) == (3, [3, 3])


async def test_totals_that_take_longer_than_a_caller_waits_keep_no_days_from_being_proven_and_are_not_begun_anew(
    circle: Circle, freshness: FreshnessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await circle.buy(await circle.add_business(), await circle.add_member(), "receipt", 100)
    await circle.relay.step()
    monkeypatch.setattr(reconciler, "LOOK_SECONDS", 0.01)
    total, go_on, begun, ended = circle.copy.total, asyncio.Event(), 0, 0

    async def slow_total(up_to: int, from_day: date | None, without: Sequence[BusinessDay]) -> tuple[int, int]:
        nonlocal begun, ended
        begun += 1
        await go_on.wait()
        held = await total(up_to, from_day, without)
        ended += 1
        return held

    monkeypatch.setattr(circle.copy, "total", slow_total)
    reports = [await freshness.report(READER, None, SPRING) for _ in range(2)]
    go_on.set()
    await until(lambda: ended == 1, 60)

    assert [[day.state for day in report.days] for report in reports] == [[ProofState.EQUAL]] * 2
    assert begun == 1


async def test_totals_are_compared_though_the_clock_was_set_back_since_they_were_last(
    circle: Circle, freshness: FreshnessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(circle, monkeypatch)
    await freshness.report(READER, None, None)
    circle.clock.set(circle.clock.now() - timedelta(hours=1))
    await freshness.report(READER, None, None)
    assert counted.totals == 2


async def test_totals_that_differ_are_told_at_once_however_long_it_takes_to_list_all_days_of_the_warehouse(
    circle: Circle, freshness: FreshnessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await circle.buy(await circle.add_business(), await circle.add_member(), "receipt", 100)
    await circle.relay.step()
    await circle.reconciler.step()

    async def never(_: object) -> Sequence[BusinessDay]:
        await asyncio.Event().wait()
        raise AssertionError("nobody waits for it")

    monkeypatch.setattr(circle.copy, "days", never)
    await circle.warehouse.command("TRUNCATE TABLE purchases")

    async def is_doubted() -> bool:
        return (await freshness.report(READER, None, None)).totals.disputed_day_count == 1

    await until(is_doubted, 60)


async def test_totals_that_differ_are_told_also_where_some_day_is_proven_during_each_look(
    circle: Circle, freshness: FreshnessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "lost", 100, at=NOON - timedelta(days=2))
    await circle.relay.step()
    await circle.reconciler.step()
    await circle.warehouse.command("TRUNCATE TABLE purchases")
    total, looks = circle.copy.total, 0

    async def busy_total(up_to: int, from_day: date | None, without: Sequence[BusinessDay]) -> tuple[int, int]:
        nonlocal looks
        looks += 1
        held = await total(up_to, from_day, without)
        await circle.buy(business_id, member, f"sold during look {looks}", 100, at=NOON)
        await circle.relay.step()
        await circle.reconciler.prove_changed()
        return held

    monkeypatch.setattr(circle.copy, "total", busy_total)
    report = await freshness.report(READER, None, None)

    assert not report.totals.equal
    assert report.totals.disputed_day_count > 0


async def test_days_that_changed_are_proven_once_for_all_who_ask_meanwhile(
    circle: Circle, freshness: FreshnessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "before", 100)
    await circle.relay.step()
    await circle.reconciler.step()
    await circle.buy(business_id, member, "after", 100)
    await circle.relay.step()
    counted = Counted(circle, monkeypatch)

    reports = await asyncio.gather(*(freshness.report(READER, None, None) for _ in range(10)))

    assert [report.totals.equal for report in reports] == [True] * 10
    assert counted.days == [1]


async def test_what_one_business_sold_is_proven_when_it_asks_however_much_others_sell(
    circle: Circle, freshness: FreshnessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "DAYS_AT_ONCE", 1)
    member = await circle.add_member()
    asking, busy, busier = [await circle.add_business() for _ in range(3)]
    for business_id in (asking, busy, busier):
        await circle.buy(business_id, member, "receipt", 100)
    await circle.relay.step()

    of_circle = await freshness.report(READER, None, None)
    of_one = await freshness.report(READER, asking, None)

    assert (of_circle.totals.unproven_day_count, of_circle.totals.equal) == (3, False)
    assert (of_one.totals.unproven_day_count, of_one.totals.equal) == (0, True)
    assert of_one.totals.clickhouse.sum_minor == 100


async def test_a_warehouse_that_was_dropped_is_said_though_its_total_was_compared_a_moment_ago(
    circle: Circle, freshness: FreshnessService
) -> None:
    await circle.buy(await circle.add_business(), await circle.add_member(), "receipt", 100)
    await circle.relay.step()
    await freshness.report(READER, None, None)
    await circle.warehouse.command("DROP TABLE purchases SYNC")

    with pytest.raises(WarehouseUnavailable):
        await freshness.report(READER, None, None)


async def seal_without_shipping(circle: Circle) -> None:
    """Has the relay seal what waits, and find the warehouse away."""

    async def away(*_: object) -> None:
        raise WarehouseUnavailable

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(circle.copy, "insert", away)
        with pytest.raises(WarehouseUnavailable):
            await circle.relay.step()


class NeverProves:
    """A proof that finds no time."""

    async def prove_again(self, business_id: UUID | None, days: Sequence[tuple[UUID, date]]) -> None:
        """Leaves all as it is."""


async def test_a_day_that_a_batch_on_its_way_touches_again_is_not_called_equal_before_what_was_shipped_is_compared(
    circle: Circle, freshness: FreshnessService
) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "proven", 100)
    await circle.relay.step()
    await circle.reconciler.step()
    await circle.buy(business_id, member, "shipped", 20)
    await circle.relay.step()
    await circle.buy(business_id, member, "on its way", 3)
    await seal_without_shipping(circle)
    hurried = freshness_of(circle, NeverProves())

    before = await hurried.report(READER, None, SPRING)
    proven = await freshness.report(READER, None, SPRING)

    assert (before.totals.unproven_day_count, before.totals.equal) == (1, False)
    assert [day.state for day in before.days] == [ProofState.UNPROVEN]
    assert (proven.waiting_count, proven.totals.unproven_day_count, proven.totals.equal) == (1, 0, True)
    assert [(day.state, day.clickhouse.sum_minor) for day in proven.days] == [(ProofState.EQUAL, 120)]
