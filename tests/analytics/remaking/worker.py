"""A process that makes lost snapshots again, to be killed at a failpoint.

`python -m tests.analytics.remaking.worker DATABASE_URL WAREHOUSE_FOLDER FAILPOINTS` makes two snapshots where there are
none and loses their rows; then it makes them again, and prints what the warehouse holds as JSON.
"""

import asyncio
import json
import sys
from datetime import timedelta

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.failpoints import arm_failpoints, parse_failpoints
from svoykrug_server.storage.migrate_warehouse import migrate_warehouse
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.warehouse import Warehouse, WarehouseOptions
from tests.analytics.circles import CUTOFF, WATERMARK, ingest, random_circle
from tests.analytics.remaking.lost import Remakers, lose
from tests.analytics.snapshots import Analytics


async def main(url: str, folder: str, failpoints: str) -> dict[str, object]:
    """Makes snapshots again."""
    arm_failpoints(parse_failpoints(failpoints))
    postgres = await Postgres.connect(PostgresOptions(url))
    warehouse = Warehouse(WarehouseOptions(folder), migrate_warehouse)
    analytics = Analytics(postgres, warehouse, ManualClock(WATERMARK))
    if await analytics.repository.latest(None) is None:
        await ingest(warehouse, random_circle(3))
        for days in (0, 45):
            await analytics.snapshot(cutoff=CUTOFF - timedelta(days=days))
        await lose(analytics)
    await Remakers(analytics).job().round()
    snapshots = (await analytics.service.list_page(None, 10, "")).snapshots
    answer = {
        "held": [snapshot.standing.is_held for snapshot in snapshots],
        "member_counts": [snapshot.member_count for snapshot in snapshots],
        "found_counts": [(await analytics.rows.contents(snapshot.build_id)).member_count for snapshot in snapshots],
        "rows": await analytics.row_count(),
    }
    await warehouse.close()
    await postgres.close()
    return answer


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))  # noqa: T201  its answer to the test
