"""A remembered dashboard is given only as long as it is whole, and always with the newest watermark."""

from datetime import UTC, date, datetime, timedelta

from svoykrug_server.analytics.dashboards import cache
from svoykrug_server.analytics.dashboards.cache import DashboardCache
from svoykrug_server.analytics.dashboards.calendar import Days
from svoykrug_server.analytics.dashboards.model import Buyers, Dashboard, PeriodFigures, Sales
from tests.analytics.circles import BUSINESSES, purchase
from tests.analytics.dashboards.world import Dashboards, asked
from tests.callers import admin

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Kitchen:
    """Makes dashboards and counts them."""

    def __init__(self) -> None:
        self.made = 0

    async def make(self) -> Dashboard:
        """Returns a dashboard that differs from those before."""
        self.made += 1
        nothing = PeriodFigures(Sales(self.made), Buyers(), Sales(), 0)
        return Dashboard(Days(date(2026, 5, 1), date(2026, 6, 1)), nothing, nothing, (), withheld=False)


async def test_a_dashboard_is_made_again_for_a_later_batch_and_not_for_an_earlier_one() -> None:
    kitchen, remembered = Kitchen(), DashboardCache()
    first = await remembered.get("a", 5, kitchen.make)
    assert await remembered.get("a", 5, kitchen.make) is first
    later = await remembered.get("a", 6, kitchen.make)
    assert later != first
    assert await remembered.get("a", 5, kitchen.make) is later
    assert await remembered.get("b", 5, kitchen.make) != later


async def test_a_dashboard_is_made_again_after_a_minute() -> None:
    kitchen, now = Kitchen(), [0.0]
    remembered = DashboardCache(lambda: now[0])
    await remembered.get("a", 5, kitchen.make)
    now[0] = 60.0
    await remembered.get("a", 5, kitchen.make)
    assert kitchen.made == 1
    now[0] = 60.1
    await remembered.get("a", 5, kitchen.make)
    assert kitchen.made == 2


async def test_only_so_many_are_remembered_and_the_least_wanted_goes_first() -> None:
    kitchen, remembered = Kitchen(), DashboardCache()
    for number in range(cache.MOST_ENTRIES):
        await remembered.get(number, 1, kitchen.make)
    await remembered.get(0, 1, kitchen.make)
    await remembered.get("one more", 1, kitchen.make)
    made = kitchen.made
    await remembered.get(0, 1, kitchen.make)
    assert kitchen.made == made
    await remembered.get(1, 1, kitchen.make)
    assert kitchen.made == made + 1


async def test_a_remembered_dashboard_bears_the_newest_watermark(dashboards: Dashboards) -> None:
    await dashboards.ship(purchase(1, 1, 1_000, NOON))
    first = await dashboards.service.get(admin(), asked(BUSINESSES[0]))
    dashboards.clock.advance(timedelta(minutes=5))
    await dashboards.ship(purchase(2, 1, 1_000, NOON, BUSINESSES[1]))
    again = await dashboards.service.get(admin(), asked(BUSINESSES[0]))
    assert again.dashboard is first.dashboard
    assert (first.watermark, again.watermark) == (NOON, NOON + timedelta(minutes=5))
