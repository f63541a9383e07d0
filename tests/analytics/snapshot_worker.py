"""A worker that makes one snapshot in a process of its own, to be killed at a failpoint.

`python -m tests.analytics.snapshot_worker DATABASE_URL WAREHOUSE_FOLDER FAILPOINTS` prints what came of it as JSON.
"""

import asyncio
import json
import sys

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.failpoints import arm_failpoints, parse_failpoints
from svoykrug_server.storage.migrate_warehouse import migrate_warehouse
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.warehouse import Warehouse, WarehouseOptions
from tests.analytics.circles import WATERMARK, ingest, random_circle
from tests.analytics.snapshots import Analytics
from tests.callers import admin
from tests.waiting import until


async def main(url: str, folder: str, failpoints: str) -> dict[str, object]:
    """Makes a snapshot, or goes on with the one that a killed worker began."""
    arm_failpoints(parse_failpoints(failpoints))
    postgres = await Postgres.connect(PostgresOptions(url))
    warehouse = Warehouse(WarehouseOptions(folder), migrate_warehouse)
    analytics = Analytics(postgres, warehouse, ManualClock(WATERMARK))
    begun = (await analytics.operations.list_page(admin(), [], 1, "")).operations
    if not begun:
        await ingest(warehouse, random_circle(3))
    operation = begun[0] if begun else await analytics.ask()
    await until(analytics.runner().run_one)
    ended = await analytics.operation(operation)
    snapshot = await analytics.repository.latest(None, None)
    assert snapshot is not None
    contents = await analytics.rows.contents(snapshot.build_id)
    rows = await analytics.row_count()
    await warehouse.close()
    await postgres.close()
    return {
        "state": ended.state,
        "attempts": ended.attempt_count,
        "rows": rows,
        "members": contents.member_count,
        "member_count": snapshot.member_count,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))  # noqa: T201  its answer to the test
