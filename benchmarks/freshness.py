"""What GetFreshness costs, page by page: `python benchmarks/freshness.py [purchases]`, from the root.

Stores of its own in a temporary folder: 40 businesses that sold on each of 366 days, shipped and proven by the code of
the server. It prints medians of a service's report without days, with a page of 100 and of 1,000 days, and the time of
all pages of the year one after another, beside the processor time of this process, each when nothing is known any more
and when the same was asked a moment ago; and how long a report takes, asked again and again, while every day of the
year is being proven anew, as after a rebuild. At last it makes so many purchases (10 million) in ClickHouse, and prints
what a look at their totals costs, beside the question whether the table is there.
"""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median

import uvloop
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import dashboards
from benchmarks.dashboards import cost_of, stores
from svoykrug_server.analytics.freshness.model import DayPage, DayRange
from svoykrug_server.analytics.freshness.repository import FreshnessRepository
from svoykrug_server.analytics.freshness.service import FreshnessService
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.purchases.reconciler import DAYS_STAND
from svoykrug_server.rpc.logs import configure_logging
from tests.conftest import reachable_folder
from tests.purchases.circle import IMPORTER, TIME_ZONE, Circle, rows_of

BUSINESSES = 40
DAYS = 366
PURCHASES = 10_000_000
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
YEAR = DayRange(date(2025, 5, 31), date(2026, 6, 1))


async def fill(circle: Circle) -> None:
    """Has every business sell once a day for a year."""
    member = await circle.add_member()
    for _ in range(BUSINESSES):
        business_id = await circle.add_business()
        times = [NOW - timedelta(days=day + 1) for day in range(DAYS)]
        rows = rows_of(*((f"r{day}", member.phone, 100 + day, at) for day, at in enumerate(times)))
        await circle.purchases.record_batch(IMPORTER, business_id, rows)
    await circle.relay.step()
    await circle.reconciler.step()


async def all_pages(freshness: FreshnessService) -> int:
    """Asks for every page of the year; returns how many days they had."""
    count, token = 0, ""
    while True:
        report = await freshness.report(IMPORTER, None, DayPage(YEAR, 1_000, token))
        count, token = count + len(report.days), report.next_page_token
        if not token:
            return count


async def beside_proofs(circle: Circle, freshness: FreshnessService) -> tuple[list[float], float]:
    """Has every day proven anew, and asks for totals meanwhile; returns how long each call and all proofs took."""
    await circle.reconciler.touch_all()
    calls, begun = [], time.perf_counter()
    proving = asyncio.create_task(circle.reconciler.prove_changed())
    while not proving.done():
        asked = time.perf_counter()
        await freshness.report(IMPORTER, None, None)
        calls.append(time.perf_counter() - asked)
        await asyncio.sleep(0.05)
    await proving
    return calls, time.perf_counter() - begun


async def after_a_while(clock: ManualClock, call: Callable[[], Awaitable[object]]) -> None:
    """Calls when no look and no proof stands any more."""
    clock.advance(DAYS_STAND)
    await call()


async def totals_of(circle: Circle, purchases: int, console: Console) -> None:
    """Prints what it costs to look at the totals of so many purchases."""
    await dashboards.fill(circle.warehouse, purchases, 12)
    look, there = await cost_of(partial(circle.copy.total, 1, None, ())), await cost_of(circle.copy.require)
    for name, cost in (("their totals", look), ("whether they are there", there)):
        console.print(f"{purchases:,} purchases, {name}: {cost.wall:,.1f} ms, processor {cost.cpu:,.1f} ms")


async def measure(folder: Path, console: Console, purchases: int) -> None:
    """Measures and prints a table."""
    async with stores(folder) as (postgres, warehouse):
        clock = ManualClock(NOW)
        circle = Circle(postgres, warehouse, clock)
        await fill(circle)
        freshness = FreshnessService(
            postgres, FreshnessRepository(TIME_ZONE), circle.reconciler, PageTokens(bytes(32)), circle.clock
        )
        if await all_pages(freshness) != BUSINESSES * DAYS:
            raise SystemExit("a page is missing")
        table = Table("what", "time, ms", "processor, ms", "again, ms", "processor, ms")
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "totals alone": partial(freshness.report, IMPORTER, None, None),
            "a page of 100 days": partial(freshness.report, IMPORTER, None, DayPage(YEAR, 100)),
            "a page of 1,000 days": partial(freshness.report, IMPORTER, None, DayPage(YEAR, 1_000)),
            f"all pages of {BUSINESSES * DAYS:,} days": partial(all_pages, freshness),
        }
        for name, call in calls.items():
            rounds = 3 if name.startswith("all") else 7
            costs = await cost_of(partial(after_a_while, clock, call), rounds), await cost_of(call, rounds)
            table.add_row(name, *(f"{value:,.1f}" for cost in costs for value in (cost.wall, cost.cpu)))
        console.print(table)
        waits, seconds = await beside_proofs(circle, freshness)
        console.print(
            f"beside {seconds:.1f} s of proofs of every day: {len(waits)} calls,"
            f" median {median(waits) * 1_000:,.0f} ms, longest {max(waits) * 1_000:,.0f} ms"
        )
        await totals_of(circle, purchases, console)
        console.print(f"load average {os.getloadavg()[0]:.1f}")


def main() -> None:
    """Measures in a temporary folder."""
    purchases = int(sys.argv[1]) if len(sys.argv) > 1 else PURCHASES
    configure_logging(human=True, level="ERROR")
    folder = reachable_folder("svoykrug-freshness-")
    try:
        uvloop.run(measure(folder, Console(width=100), purchases))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
