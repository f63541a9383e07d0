"""What dashboards, cohorts and the matrix cost: `python benchmarks/dashboards.py [purchases ...]`, from the root.

Stores of its own in a temporary folder; the purchases are made inside each store. For each size it prints medians in
milliseconds: of the server's own code on ClickHouse, and of the same figures in PostgreSQL SQL (up to a million rows).
Then 200 purchases through a whole server, each timed from its call to its push to a watcher.
"""

import os
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import psutil
import uvloop
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from svoykrug_server.analytics.dashboards.calendar import AskedDays, AskedMonths
from svoykrug_server.analytics.dashboards.matrix import AskedMatrix
from svoykrug_server.analytics.dashboards.service import Asked
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.rpc.logs import configure_logging
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.folder import DataFolder
from svoykrug_server.storage.migrate import migrate_postgres
from svoykrug_server.storage.migrate_warehouse import migrate_warehouse
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.warehouse import Warehouse, WarehouseOptions
from tests.analytics.dashboards.shop import next_of, open_shop
from tests.analytics.dashboards.world import Dashboards
from tests.callers import admin
from tests.conftest import reachable_folder
from tests.e2e.running import running

SIZES = (500_000, 10_000_000)
MEMBER_PURCHASES = 50
ROUNDS = 7
POSTGRES_ROUNDS = 3
MOST_POSTGRES = 1_000_000
PUSHES = 200
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
START_US = 1_717_200_000_000_000
SPAN_US = 730 * 86_400_000_000
SHOP = UUID(int=1)
CALLER = admin()
PERIOD = AskedDays(date(2026, 5, 5), date(2026, 6, 2))
COHORT_MONTHS = AskedMonths(date(2025, 6, 1), date(2026, 6, 1))

_FILL = """
INSERT INTO purchases
SELECT entry_id, entry_id,
    toUUID(concat('00000000-0000-0000-0000-0000000000', leftPad(hex(toUInt8(1 + {shops:UInt8} * ordered)), 2, '0'))),
    toInt64(bitShiftRight(cityHash64(member), 1)), 'purchase', toInt64(10000 + cityHash64(number, 1) % 500000), 'RUB',
    fromUnixTimestamp64Micro(toInt64(time_us), 'UTC'), fromUnixTimestamp64Micro(toInt64(time_us + 1000000), 'UTC'), 0, 1
FROM (
    SELECT number, generateUUIDv4(number) AS entry_id, cityHash64(number, 3) % {members:UInt64} AS member,
        {start_us:UInt64} + cityHash64(number, 2) % {span_us:UInt64} AS time_us,
        cityHash64(number, member) % {shops:UInt8} / {shops:UInt8} AS ordered
    FROM numbers({purchases:UInt64})
)
SETTINGS max_partitions_per_insert_block = 0
"""
"""Purchases at random times in two years, of random members, at one business or several."""

_POSTGRES_FILL = """
    CREATE UNLOGGED TABLE bought AS
    SELECT (random() * $2)::bigint AS member_id, (10000 + random() * 500000)::bigint AS amount_minor,
        to_timestamp(1717200000 + random() * 63072000) AS purchase_time
    FROM generate_series(1, $1)
"""
_POSTGRES_INDEXES = ("CREATE INDEX ON bought (member_id, purchase_time)", "CREATE INDEX ON bought (purchase_time)")
_POSTGRES_DASHBOARD = """
    WITH bounds AS (SELECT timestamptz '2026-06-02' AS stop, interval '28 days' AS span), members AS (
        SELECT min(purchase_time) AS first_time,
            count(*) FILTER (WHERE purchase_time >= stop - span) AS now_count,
            count(*) FILTER (WHERE purchase_time >= stop - 2 * span AND purchase_time < stop - span) AS previous_count
        FROM bought, bounds WHERE purchase_time < stop GROUP BY member_id
    ), days AS (
        SELECT purchase_time::date AS day, sum(amount_minor) AS net, count(*) AS receipts,
            count(DISTINCT member_id) AS active
        FROM bought, bounds WHERE purchase_time >= stop - 2 * span AND purchase_time < stop GROUP BY day
    )
    SELECT (SELECT sum(net) FROM days), (SELECT max(active) FROM days), count(*) FILTER (WHERE now_count > 0),
        count(*) FILTER (WHERE now_count > 0 AND previous_count = 0),
        count(*) FILTER (WHERE now_count = 0 AND previous_count > 0)
    FROM members
"""
_POSTGRES_COHORTS = """
    WITH months AS (
        SELECT member_id, date_trunc('month', purchase_time) AS month, sum(amount_minor) AS net
        FROM bought GROUP BY member_id, month
    ), founded AS (SELECT member_id, min(month) AS cohort FROM months GROUP BY member_id)
    SELECT cohort, month, count(*), sum(net) FROM months JOIN founded USING (member_id) GROUP BY cohort, month
"""


@asynccontextmanager
async def stores(folder: Path) -> AsyncIterator[tuple[Postgres, Warehouse]]:
    """Opens stores of our own, migrated and empty."""
    place = DataFolder(folder / "data")
    place.open(0)
    server = EmbeddedPostgres.start(place, durable=False)
    postgres = await Postgres.connect(PostgresOptions(server.url))
    await migrate_postgres(postgres)
    warehouse = Warehouse(WarehouseOptions(str(folder / "warehouse")), migrate_warehouse)
    await warehouse.prepare()
    try:
        yield postgres, warehouse
    finally:
        await warehouse.close()
        await postgres.close()
        server.stop()


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call costs: the medians of its time, and of the processor time of this process, in milliseconds."""

    wall: float
    cpu: float


async def cost_of(call: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> Cost:
    """Returns the medians of some calls after a first one."""
    await call()
    walls, cpus = [], []
    for _ in range(rounds):
        begun, cpu = time.perf_counter(), time.process_time()
        await call()
        walls.append(1000 * (time.perf_counter() - begun))
        cpus.append(1000 * (time.process_time() - cpu))
    return Cost(statistics.median(walls), statistics.median(cpus))


async def fill(warehouse: Warehouse, purchases: int, shops: int) -> None:
    """Makes purchases at so many businesses, in as few parts as upkeep would leave."""
    await warehouse.command("TRUNCATE TABLE purchases")
    values = {"purchases": purchases, "members": purchases // MEMBER_PURCHASES, "shops": shops}
    await warehouse.command(_FILL, {**values, "start_us": START_US, "span_us": SPAN_US})
    await warehouse.command("OPTIMIZE TABLE purchases FINAL")


async def clickhouse_times(circle: Dashboards, purchases: int) -> dict[str, Cost]:
    """Returns the medians of the server's own code."""
    service = circle.service
    own = Asked(SHOP, PERIOD)

    async def cold() -> None:
        forgetful = Dashboards(circle.postgres, circle.warehouse, circle.clock)
        await forgetful.service.get(CALLER, own)

    await fill(circle.warehouse, purchases, 1)
    found = {
        "dashboard, cold": await cost_of(cold),
        "dashboard, warm": await cost_of(partial(service.get, CALLER, own), 50),
        "cohorts": await cost_of(partial(circle.cohorts.get, CALLER, SHOP, COHORT_MONTHS)),
    }
    await fill(circle.warehouse, purchases, 12)
    matrix = AskedMatrix(None, AskedDays(date(2025, 6, 2), date(2026, 6, 2)), 30)
    found["matrix, 12 businesses"] = await cost_of(partial(circle.matrix.get, CALLER, matrix), 3)
    return found


async def postgres_times(postgres: Postgres, purchases: int) -> dict[str, Cost]:
    """Returns the medians of the same figures in PostgreSQL."""
    async with postgres.transaction() as tx:
        writing = await tx.driver()
        await writing.execute("DROP TABLE IF EXISTS bought")
        await writing.execute(_POSTGRES_FILL, purchases, purchases // MEMBER_PURCHASES)
        for statement in _POSTGRES_INDEXES:
            await writing.execute(statement)
    async with postgres.read() as connection:
        return {
            "dashboard, cold": await cost_of(partial(connection.fetch, _POSTGRES_DASHBOARD), POSTGRES_ROUNDS),
            "cohorts": await cost_of(partial(connection.fetch, _POSTGRES_COHORTS), POSTGRES_ROUNDS),
        }


async def push_times(postgres: Postgres, warehouse: Warehouse) -> list[float]:
    """Returns how many milliseconds it took from each purchase's call to its push."""
    await warehouse.command("TRUNCATE TABLE purchases")
    async with running(postgres, warehouse) as server:
        shop = await open_shop(server)
        stream = shop.analytics.WatchDashboard(shop.watch_request(), metadata=shop.owner.metadata)
        await stream.read()
        found = []
        for number in range(PUSHES):
            begun = time.perf_counter()
            await shop.sell(100 + number)
            while (await next_of(stream)).dashboard.period.purchase_count <= number:
                pass
            found.append(1000 * (time.perf_counter() - begun))
        stream.cancel()
        return found


async def measure(folder: Path, sizes: list[int], console: Console) -> None:
    """Measures every size and prints the tables."""
    async with stores(folder) as (postgres, warehouse):
        circle = Dashboards(postgres, warehouse, ManualClock(NOW), ZoneInfo("Europe/Moscow"))
        for purchases in sizes:
            table = Table("purchases", "what", "ClickHouse, ms", "its CPU, ms", "PostgreSQL, ms")
            ours = await clickhouse_times(circle, purchases)
            theirs = await postgres_times(postgres, purchases) if purchases <= MOST_POSTGRES else {}
            for name, cost in ours.items():
                other = f"{theirs[name].wall:,.0f}" if name in theirs else ""
                table.add_row(f"{purchases:,}", name, f"{cost.wall:,.1f}", f"{cost.cpu:,.1f}", other)
            console.print(table)
            memory = psutil.Process().memory_info().rss / 1e6
            console.print(f"memory of the process {memory:,.0f} MB; load average {os.getloadavg()[0]:.1f}")
        pushes = await push_times(postgres, warehouse)
        console.print(
            f"purchase to push, {PUSHES} purchases: median {statistics.median(pushes):,.0f} ms,"
            f" worst {max(pushes):,.0f} ms; load average {os.getloadavg()[0]:.1f}"
        )


def main() -> None:
    """Measures the sizes that the command line names, or the usual ones."""
    configure_logging(human=True, level="ERROR")
    folder = reachable_folder("svoykrug-dashboards-")
    try:
        uvloop.run(measure(folder, [int(text) for text in sys.argv[1:]] or list(SIZES), Console(width=100)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
