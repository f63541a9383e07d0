"""Watching a dashboard: at once, after each change, the newest state, and no longer than the caller may."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from svoykrug_server.analytics.dashboards.calendar import AskedDays
from svoykrug_server.analytics.dashboards.model import DashboardAnswer
from svoykrug_server.analytics.dashboards.service import Asked
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import InvalidFields, Limited, Unauthenticated
from tests.analytics.circles import BUSINESSES, purchase
from tests.analytics.dashboards.world import Dashboards, asked
from tests.callers import admin
from tests.waiting import until

FLORIST, BAKER = BUSINESSES[0], BUSINESSES[1]
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Standing:
    """Says what a test says about the caller."""

    def __init__(self) -> None:
        self.may = True
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        if not self.may:
            raise Unauthenticated("SESSION_REVOKED")


@asynccontextmanager
async def following(circle: Dashboards) -> AsyncIterator[None]:
    """Runs the poller for one block."""
    poller = asyncio.create_task(circle.changes.run())
    try:
        yield
    finally:
        poller.cancel()
        await asyncio.wait([poller])


def watch(
    circle: Dashboards, caller: Caller | None = None, standing: Standing | None = None, what: Asked | None = None
) -> AsyncGenerator[DashboardAnswer, None]:
    return circle.service.watch(caller or admin(), what or asked(FLORIST), (standing or Standing()).check)


async def next_of(answers: AsyncGenerator[DashboardAnswer, None]) -> DashboardAnswer:
    async with asyncio.timeout(10):
        return await anext(answers)


def revenue(answer: DashboardAnswer) -> int:
    return answer.dashboard.period.sales.net_revenue_minor


async def test_a_watcher_hears_at_once_and_of_what_another_process_shipped(dashboards: Dashboards) -> None:
    async with following(dashboards), aclosing(watch(dashboards)) as answers:
        assert revenue(await next_of(answers)) == 0
        await dashboards.ship(purchase(1, 1, 700, NOON, FLORIST))
        answer = await next_of(answers)
        assert (revenue(answer), answer.watermark) == (700, NOON)


async def test_the_relay_of_this_process_needs_no_poll(dashboards: Dashboards) -> None:
    dashboards.changes._poll_seconds = 3_600  # the poll is not what wakes
    dashboards.service._look_seconds = 3_600
    async with following(dashboards), aclosing(watch(dashboards)) as answers:
        await next_of(answers)
        waiting = asyncio.create_task(next_of(answers))
        await dashboards.ship(purchase(1, 1, 700, NOON, FLORIST))
        dashboards.changes.shipped()
        assert revenue(await waiting) == 700


async def test_what_another_business_sells_pushes_nothing(dashboards: Dashboards) -> None:
    async with following(dashboards), aclosing(watch(dashboards)) as answers:
        await next_of(answers)
        await dashboards.ship(purchase(1, 1, 700, NOON, BAKER))
        await dashboards.ship(purchase(2, 1, 900, NOON, FLORIST))
        assert revenue(await next_of(answers)) == 900


async def test_a_slow_reader_gets_the_newest_state_and_no_backlog(dashboards: Dashboards) -> None:
    async with following(dashboards), aclosing(watch(dashboards)) as answers:
        await next_of(answers)
        for number in range(1, 6):
            await dashboards.ship(purchase(number, number, 100, NOON, FLORIST))
        assert revenue(await next_of(answers)) == 500
        waiting = asyncio.create_task(next_of(answers))
        await dashboards.ship(purchase(9, 9, 1, NOON, FLORIST))
        assert revenue(await waiting) == 501


async def test_the_days_roll_over_at_the_circles_midnight(dashboards: Dashboards) -> None:
    async with aclosing(watch(dashboards)) as answers:
        assert (await next_of(answers)).dashboard.days.to_day == date(2026, 6, 2)
        dashboards.clock.set(datetime(2026, 6, 1, 21, tzinfo=UTC))
        assert (await next_of(answers)).dashboard.days.to_day == date(2026, 6, 3)


async def test_a_watcher_who_may_not_go_on_hears_so_without_any_change(dashboards: Dashboards) -> None:
    standing = Standing()
    async with aclosing(watch(dashboards, standing=standing)) as answers:
        await next_of(answers)
        standing.may = False
        with pytest.raises(Unauthenticated):
            await next_of(answers)
    assert dashboards.watchers.count == 0


async def test_a_push_is_never_sent_before_the_standing_was_checked(dashboards: Dashboards) -> None:
    standing = Standing()
    async with aclosing(watch(dashboards, standing=standing)) as answers:
        await next_of(answers)
        assert standing.asked == 1
        standing.may = False
        await dashboards.ship(purchase(1, 1, 700, NOON, FLORIST))
        with pytest.raises(Unauthenticated):
            await next_of(answers)


async def test_watchers_are_bounded_by_caller_and_in_all(dashboards: Dashboards) -> None:
    caller = admin()
    mine = [watch(dashboards, caller) for _ in range(2)]
    others = [watch(dashboards) for _ in range(2)]
    try:
        for answers in mine:
            await next_of(answers)
        with pytest.raises(Limited) as refused:
            await next_of(watch(dashboards, caller))
        assert refused.value.retry_after == timedelta(seconds=10)
        for answers in others:
            await next_of(answers)
        with pytest.raises(Limited):
            await next_of(watch(dashboards))
    finally:
        for answers in (*mine, *others):
            await answers.aclose()
    assert dashboards.watchers.count == 0
    async with aclosing(watch(dashboards, caller)) as answers:
        await next_of(answers)


async def test_a_watcher_who_asks_for_no_days_is_refused_and_not_counted(dashboards: Dashboards) -> None:
    day = date(2026, 6, 1)
    with pytest.raises(InvalidFields):
        await next_of(watch(dashboards, what=asked(FLORIST, AskedDays(day, day))))
    assert dashboards.watchers.count == 0


async def test_nobody_is_asked_about_batches_while_nobody_watches(
    dashboards: Dashboards, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, looks = dashboards.repository.shipped_up_to, 0

    async def counted() -> int:
        nonlocal looks
        looks += 1
        return await read()

    monkeypatch.setattr(dashboards.repository, "shipped_up_to", counted)
    async with following(dashboards):
        dashboards.changes.shipped()
        await until(lambda: not dashboards.changes._shipped.is_set())
        assert looks == 0
        async with aclosing(watch(dashboards)) as answers:
            await next_of(answers)
            await until(lambda: looks > 2)


async def test_many_watchers_of_one_scope_read_the_warehouse_once(
    dashboards: Dashboards, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = dashboards.rows.buyers
    reads = 0

    async def counted(*arguments: object) -> object:
        nonlocal reads
        reads += 1
        return await read(*arguments)  # type: ignore[arg-type]  # what the service gave

    monkeypatch.setattr(dashboards.rows, "buyers", counted)
    await asyncio.gather(*(dashboards.service.get(admin(), asked(FLORIST)) for _ in range(20)))
    assert reads == 1
    await dashboards.ship(purchase(1, 1, 700, NOON, FLORIST))
    answers = await asyncio.gather(*(dashboards.service.get(admin(), asked(FLORIST)) for _ in range(20)))
    assert reads == 2
    assert {revenue(answer) for answer in answers} == {700}
    await dashboards.ship(purchase(2, 1, 700, NOON, BAKER))
    await dashboards.service.get(admin(), asked(FLORIST))
    assert reads == 2


async def test_more_batches_than_are_looked_through_touch_every_scope(dashboards: Dashboards) -> None:
    before = await dashboards.changes.last_batch(FLORIST)
    change = dashboards.changes.expect(FLORIST)
    async with dashboards.postgres.transaction() as tx:
        await (await tx.driver()).execute(
            "INSERT INTO sealed_batches SELECT n, now() + n * interval '1 s', 1, ''::bytea, now()"
            " FROM generate_series(1, 500) AS n"
        )
    assert await dashboards.changes.last_batch(uuid4()) == 500
    assert await dashboards.changes.last_batch(FLORIST) == 500 > before
    assert change.is_set()


async def test_the_value_at_risk_is_that_of_the_latest_forecast_by_the_end_of_each_period(
    dashboards: Dashboards,
) -> None:
    days = AskedDays(date(2026, 5, 1), date(2026, 5, 31))
    assert await at_risk(dashboards, days) == (0, 0)
    await dashboards.add_scoring(FLORIST, NOON - timedelta(days=40), [(0.9, 100), (0.5, 20), (0.49, 3)])
    await dashboards.add_scoring(FLORIST, NOON - timedelta(days=10), [(0.6, 7_000), (0.1, 900)])
    await dashboards.add_scoring(FLORIST, NOON, [(0.9, 1)])
    await dashboards.add_scoring(None, NOON - timedelta(days=5), [(0.9, 2)])
    await dashboards.add_scoring(FLORIST, NOON - timedelta(days=3), [(0.9, 88)], backtest=True)
    assert await at_risk(dashboards, days) == (7_000, 120)


async def at_risk(circle: Dashboards, days: AskedDays) -> tuple[int, int]:
    dashboard = (await circle.service.get(admin(), asked(FLORIST, days))).dashboard
    assert dashboard.previous is not None
    return dashboard.period.at_risk_value_minor, dashboard.previous.at_risk_value_minor
