"""Outside stores: ClickHouse's HTTP interface over the embedded engine, in a process of its own."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

from benchmarks.bench.stage import Stores, own_stores
from tests.storage.clickhouse_http import clickhouse_server


@contextmanager
def outside_stores() -> Iterator[tuple[Stores, dict[str, str]]]:
    """Makes stores that several processes can share, for the length of the block; gives the settings that name them."""
    with own_stores() as stores:
        spawning = get_context("spawn")
        ours, theirs = spawning.Pipe()
        process = spawning.Process(target=_serve, args=(theirs, str(stores.folder / "clickhouse")), daemon=True)
        process.start()
        given = {"DATABASE_URL": stores.url, "SECRETS": json.dumps(stores.secrets), "CLICKHOUSE_URL": ours.recv()}
        try:
            yield stores, given
        finally:
            ours.send(None)
            process.join()


def _serve(pipe: Connection, path: str) -> None:
    """Runs it until it is told to stop."""

    async def run() -> None:
        async with clickhouse_server(path) as server:
            pipe.send(server.url)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(run())
