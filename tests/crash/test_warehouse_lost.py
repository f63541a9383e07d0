"""The folder of ClickHouse is lost while no server runs: the next server fills it again from PostgreSQL by itself.

Snapshots and scorings are read from the first moment on: each answer is the one of before, or refused.
"""

import shutil
from pathlib import Path

from svoykrug_client import Client
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.stores import open_stores
from tests.crash import proof, results
from tests.crash.own_rows import BATCH_ROWS, add_circle
from tests.crash.server_process import settings_of, started
from tests.crash.stores_seen import ledger_totals
from tests.waiting import until

BATCHES = 4


async def disputed_days(postgres: Postgres) -> int:
    """Returns on how many days the stores are known to disagree."""
    async with postgres.read() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM proven_days WHERE disputed_since_time IS NOT NULL")
        return count


async def test_a_server_whose_warehouse_was_lost_fills_it_again_without_being_asked(data_dir: Path) -> None:
    key, log_file = await proof.service_key(data_dir), data_dir.parent / "server.log"
    async with open_stores(settings_of(data_dir)) as stores:
        circle = await add_circle(stores.postgres)
        rows = list(circle.rows(BATCHES))
        async with (
            started(data_dir, SCHEDULE_ENABLED="false") as server,
            Client(await server.target(), insecure=True, service_key=key) as client,
        ):
            await client.import_purchases(str(circle.business_id), rows, batch_rows=BATCH_ROWS)
            fresh = await proof.settled_freshness(client)
            own = await proof.check_freshness(fresh, circle, BATCHES, stores.postgres)
            read = await results.made(stores.postgres, client, circle.business_id, len(rows))
        shutil.rmtree(data_dir / "warehouse")

        async def is_mended() -> bool:
            return "rebuild_done" in log_file.read_text("utf-8") and not await disputed_days(stores.postgres)

        async with (
            started(data_dir, SCHEDULE_ENABLED="false") as server,
            Client(await server.target(), insecure=True, service_key=key) as client,
        ):
            await read.read_until_right(client)
            await until(is_mended, 30.0)
        assert not read.wrong
        assert results.remade(log_file) == results.RESULTS
        assert await ledger_totals(stores.postgres) == own
    await proof.check_warehouse(data_dir, own)
