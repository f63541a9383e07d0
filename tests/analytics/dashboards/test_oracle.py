"""Every figure of dashboards, cohorts and the matrix equals what pandas makes of the raw purchases, to the kopeck."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from svoykrug_server.analytics.dashboards import warehouse as dashboards_warehouse
from svoykrug_server.analytics.dashboards.calendar import AskedDays, AskedMonths, Days, Month
from svoykrug_server.analytics.dashboards.matrix import AskedMatrix
from svoykrug_server.analytics.dashboards.model import Dashboard, PeriodFigures
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.circles import BUSINESSES, Entry, ingest, random_circle
from tests.analytics.dashboards import oracle
from tests.analytics.dashboards.world import Dashboards, asked
from tests.callers import admin

ZONES = {
    1: ZoneInfo("Europe/Moscow"),
    2: ZoneInfo("America/St_Johns"),
    3: ZoneInfo("Pacific/Auckland"),
}
PERIODS = (
    (date(2026, 4, 1), date(2026, 5, 1)),
    (date(2026, 3, 9), date(2026, 3, 10)),
    (date(2025, 5, 1), date(2026, 4, 20)),
    (date(2026, 5, 20), date(2026, 6, 17)),
)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CALLER = admin()


@pytest.fixture(params=ZONES)
def seed(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def entries(seed: int) -> list[Entry]:
    return random_circle(seed)


@pytest.fixture
async def circle(
    postgres: Postgres, warehouse: Warehouse, clock: ManualClock, seed: int, entries: list[Entry]
) -> Dashboards:
    made = Dashboards(postgres, warehouse, clock, ZONES[seed])
    await made.open_businesses()
    await ingest(warehouse, entries)
    return made


def figures(period: PeriodFigures) -> dict[str, Any]:
    return {
        "net": period.sales.net_revenue_minor,
        "count": period.sales.purchase_count,
        "average": period.sales.average_receipt_minor,
        "active": period.buyers.active,
        "new": period.buyers.new,
        "returning": period.buyers.returning,
        "lost": period.buyers.lost,
        "repeat": period.buyers.repeat,
    }


def day_figures(dashboard: Dashboard) -> list[tuple[date, int, int, int]]:
    return [
        (each.day, each.sales.net_revenue_minor, each.sales.purchase_count, each.active) for each in dashboard.by_day
    ]


@pytest.mark.parametrize("business_id", [None, BUSINESSES[0], BUSINESSES[3]])
async def test_a_dashboard_equals_the_oracle(
    circle: Dashboards, entries: list[Entry], seed: int, business_id: UUID | None
) -> None:
    rows = oracle.frame(entries, ZONES[seed])
    for first, end in PERIODS:
        dashboard = (await circle.service.get(CALLER, asked(business_id, AskedDays(first, end)))).dashboard
        expected = oracle.dashboard(rows, business_id, first, end)
        days = expected.pop("days")
        assert figures(dashboard.period) == expected
        assert day_figures(dashboard) == days
        before = oracle.dashboard(rows, business_id, first - (end - first), first)
        before.pop("days")
        assert dashboard.previous is not None
        assert figures(dashboard.previous) == before


async def test_what_sensitive_businesses_add_equals_the_oracle(
    circle: Dashboards, entries: list[Entry], seed: int
) -> None:
    rows = oracle.frame(entries, ZONES[seed])
    seen = []
    for first, end in PERIODS:
        dashboard = (await circle.service.get(CALLER, asked(None, AskedDays(first, end)))).dashboard
        assert dashboard.previous is not None
        for figures_, start, stop in (
            (dashboard.period, first, end),
            (dashboard.previous, first - (end - first), first),
        ):
            added = (figures_.sensitive.net_revenue_minor, figures_.sensitive.purchase_count)
            assert added == oracle.sensitive(rows, start, stop)
            seen.append(added)
    assert any(count for _, count in seen)


@pytest.mark.parametrize("business_id", [None, BUSINESSES[1], BUSINESSES[4]])
async def test_cohorts_equal_the_oracle(
    circle: Dashboards, entries: list[Entry], seed: int, business_id: UUID | None
) -> None:
    rows = oracle.frame(entries, ZONES[seed])
    present = NOW.astimezone(ZONES[seed]).strftime("%Y-%m")
    answer = await circle.cohorts.get(CALLER, business_id, AskedMonths(date(2024, 1, 15), date(2026, 5, 2)))
    months = [cohort.month.first_day.strftime("%Y-%m") for cohort in answer.cohorts]
    assert (months[0], months[-1], len(months)) == ("2024-01", "2026-05", 29)
    expected = oracle.cohorts(rows, business_id, months, present)
    assert {
        month: list(zip(cohort.active, cohort.net_revenue_minor, strict=True))
        for month, cohort in zip(months, answer.cohorts, strict=True)
    } == expected
    assert any(cohort.member_count for cohort in answer.cohorts)


@pytest.mark.parametrize("business_id", [None, BUSINESSES[1]])
async def test_members_asked_for_in_blocks_give_the_same_figures(
    dashboards: Dashboards, business_id: UUID | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids of members are random below 2^63; here they are spread as evenly."""
    await ingest(dashboards.warehouse, [replace(row, member_id=row.member_id << 56) for row in random_circle(1)])
    days, months = Days(date(2025, 5, 1), date(2026, 4, 20)), (Month(2024 * 12), Month(2026 * 12 + 4))

    async def figures_of_members() -> list[Any]:
        rows = dashboards.rows
        return [await rows.buyers(business_id, days), await rows.cohorts(business_id, *months, months[1])]

    whole = await figures_of_members()
    for name in ("BUYERS_BLOCK_ENTRIES", "COHORTS_BLOCK_ENTRIES"):
        monkeypatch.setattr(dashboards_warehouse, name, 150)
    assert await figures_of_members() == whole
    assert whole[0][0].active > 50
    assert len(whole[1]) > 50


@pytest.mark.parametrize("within_days", [1, 30, 365])
async def test_the_matrix_equals_the_oracle(
    circle: Dashboards, entries: list[Entry], seed: int, within_days: int
) -> None:
    zone = ZONES[seed]
    days = AskedDays(date(2025, 3, 1), date(2026, 5, 15))
    answer = await circle.matrix.get(CALLER, AskedMatrix(None, days, within_days))
    start, end = datetime(2025, 3, 1, tzinfo=zone), datetime(2026, 5, 15, tzinfo=zone)
    bought = oracle.matrix_purchases(oracle.frame(entries, zone), start, end)
    expected = oracle.ways(bought, timedelta(days=within_days))
    buyers = bought.groupby("business_id")["member_id"].nunique().to_dict()
    assert {(cell.from_business_id, cell.to_business_id): cell.member_count for cell in answer.cells} == {
        way: count for way, count in expected.items() if count >= 5
    }
    assert all(cell.from_member_count == buyers[cell.from_business_id] for cell in answer.cells)
    assert answer.permutation_count == 999


async def test_the_order_in_which_rows_come_changes_nothing(
    circle: Dashboards, entries: list[Entry], postgres: Postgres, clock: ManualClock, seed: int
) -> None:
    first = await every_answer(circle)
    await circle.warehouse.command("TRUNCATE TABLE purchases")
    await ingest(circle.warehouse, shuffled(entries), 7)
    again = Dashboards(postgres, circle.warehouse, clock, ZONES[seed])
    assert await every_answer(again) == first


def shuffled(entries: Sequence[Entry]) -> list[Entry]:
    return random.Random(5).sample(list(entries), len(entries))


async def every_answer(circle: Dashboards) -> tuple[object, ...]:
    days = AskedDays(date(2025, 5, 1), date(2026, 4, 20))
    return (
        await circle.service.get(CALLER, asked(None, days)),
        await circle.cohorts.get(CALLER, None, AskedMonths(date(2024, 1, 1), date(2026, 5, 1))),
        await circle.matrix.get(CALLER, AskedMatrix(None, days, 30)),
    )
