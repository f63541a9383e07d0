"""A night of retention in a process of its own, to be killed at a failpoint.

`python -m tests.purchases.retention_worker DATABASE_URL WAREHOUSE_FOLDER FAILPOINTS` prints what is left as JSON. The
first one has a member buy for years, and gives her first purchase back once it is all that is left of them.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from uuid import UUID

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.failpoints import arm_failpoints, parse_failpoints
from svoykrug_server.purchases.model import NewRefund
from svoykrug_server.storage.migrate_warehouse import migrate_warehouse
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.warehouse import Warehouse, WarehouseOptions
from tests.purchases.circle import IMPORTER, Circle

NIGHT = datetime(2026, 5, 1, 12, tzinfo=UTC)
YEARS_AGO = NIGHT - timedelta(days=1_600)


async def main(url: str, folder: str, failpoints: str) -> dict[str, object]:
    """Lets go of the old months, or goes on with what a killed worker began."""
    postgres = await Postgres.connect(PostgresOptions(url))
    warehouse = Warehouse(WarehouseOptions(folder), migrate_warehouse)
    circle = Circle(postgres, warehouse, ManualClock(YEARS_AGO))
    if not await circle.ledger():
        await _years(circle)
    circle.clock.set(NIGHT + timedelta(hours=1))
    arm_failpoints(parse_failpoints(failpoints))
    await circle.retention.let_go()
    await circle.reconciler.touch_all()
    await circle.reconciler.step()
    names = {row[0]: index for index, row in enumerate(sorted(await circle.ledger(), key=lambda row: str(row[7])))}
    left = sorted(names[row[0]] for row in await circle.warehouse_rows())
    await warehouse.close()
    await postgres.close()
    return {"left": left, "entries": len(names), "mismatches": circle.metric("pipeline_mismatched_days_total")}


async def _years(circle: Circle) -> None:
    """Has a member buy every hundred days, lets go of what is old, and gives back her first purchase."""
    business_id, member = await circle.add_business(), await circle.add_member()
    bought: list[UUID] = []
    while circle.clock.now() <= NIGHT:
        bought.append(await circle.buy(business_id, member, f"r{len(bought)}", 100, circle.clock.now()))
        await circle.relay.step()
        circle.pass_time(100 * 86_400)
    circle.clock.set(NIGHT)
    await circle.make_retention(36).let_go()
    await circle.refunds.refund(IMPORTER, business_id, NewRefund(bought[0], None, "back", 100, "", NIGHT))
    await circle.relay.step()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))  # noqa: T201  its answer to the test
