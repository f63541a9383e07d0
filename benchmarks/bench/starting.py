"""Starting: from the command to the first open port, warm, and what the process holds once nothing is asked of it."""

import asyncio
import json
from collections import defaultdict
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from rich.console import Console

from benchmarks.bench.figures import Figure, Measured
from benchmarks.bench.processes import product
from benchmarks.bench.stage import own_stores
from tests.storage.clickhouse_http import clickhouse_server

IDLE_SECONDS = 3.0


async def measure(rounds: int, console: Console) -> Measured:
    """Starts the product with embedded stores and with outside ones, in turn."""
    seen: dict[str, list[float]] = defaultdict(list)
    with own_stores() as embedded, own_stores() as outside:
        spawning = get_context("spawn")
        ours, theirs = spawning.Pipe()
        clickhouse = spawning.Process(target=_serve, args=(theirs, str(outside.folder / "clickhouse")), daemon=True)
        clickhouse.start()
        given = {"DATABASE_URL": outside.url, "SECRETS": json.dumps(outside.secrets), "CLICKHOUSE_URL": ours.recv()}
        ways: dict[str, tuple[Path, dict[str, str]]] = {
            "embedded stores": (embedded.folder, {}),
            "outside stores": (outside.folder, given),
        }
        for number in range(rounds + 1):
            for name, (folder, settings) in ways.items():
                with product(folder, settings) as server:
                    await asyncio.sleep(IDLE_SECONDS)
                    if number > 0:  # the first start makes the stores
                        seen[f"{name}: start s"].append(server.start_seconds)
                        seen[f"{name}: idle MB"].append(server.memory_mb())
            console.print(f"starting, round {number} of {rounds}", style="dim")
        ours.send(None)
        clickhouse.join()
    note = (
        "From the command to the ready file, stores there already. Outside stores: PostgreSQL, and the embedded engine"
        " behind ClickHouse's HTTP interface, each in a process of its own."
    )
    return {name: Figure.of(values) for name, values in seen.items()}, note


def _serve(pipe: Connection, path: str) -> None:
    """Runs ClickHouse's HTTP interface over an engine of its own until it is told to stop."""

    async def run() -> None:
        async with clickhouse_server(path) as server:
            pipe.send(server.url)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(run())
