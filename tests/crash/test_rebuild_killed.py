"""The warehouse is rebuilt by one command beside an import, also when the server is killed in the middle of that."""

import asyncio
import signal
from pathlib import Path

from svoykrug_client import Client
from svoykrug_server.storage.stores import open_stores
from tests.crash import proof
from tests.crash.broken_import import BOUND_SECONDS
from tests.crash.own_rows import BATCH_ROWS, add_circle
from tests.crash.server_process import command, settings_of, started


async def test_a_rebuild_goes_on_beside_an_import_and_survives_a_kill(data_dir: Path) -> None:
    key = await proof.service_key(data_dir)
    async with open_stores(settings_of(data_dir)) as stores:
        circle = await add_circle(stores.postgres)
        async with started(data_dir, "rebuild.exchanged:1") as server:
            async with Client(await server.target(), insecure=True, service_key=key) as client:
                await client.import_purchases(str(circle.business_id), list(circle.rows(4)), batch_rows=BATCH_ROWS)
            await command(data_dir, "warehouse", "rebuild")
            async with asyncio.timeout(BOUND_SECONDS):
                await server.process.wait()
        assert server.process.returncode == -signal.SIGKILL

        async with started(data_dir) as server, Client(await server.target(), insecure=True, service_key=key) as client:
            rows = list(circle.rows(8))
            answer, _ = await asyncio.gather(
                client.import_purchases(str(circle.business_id), rows, batch_rows=BATCH_ROWS),
                command(data_dir, "warehouse", "rebuild"),
            )
            fresh = await proof.settled_freshness(client)
        proof.check_answer(answer, 8)
        own = await proof.check_freshness(fresh, circle, 8, stores.postgres)
    await proof.check_warehouse(data_dir, own)
