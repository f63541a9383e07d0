"""Starting: from the command to the first open port, warm, and what the process holds once nothing is asked of it."""

import asyncio
from collections import defaultdict
from pathlib import Path

from rich.console import Console

from benchmarks.bench.figures import Figure, Measured
from benchmarks.bench.outside import outside_stores
from benchmarks.bench.processes import product
from benchmarks.bench.stage import own_stores

IDLE_SECONDS = 3.0


async def measure(rounds: int, console: Console) -> Measured:
    """Starts the product with embedded stores and with outside ones, in turn."""
    seen: dict[str, list[float]] = defaultdict(list)
    with own_stores() as embedded, outside_stores() as (outside, given):
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
    note = (
        "From the command to the ready file, stores there already. Outside stores: PostgreSQL, and the embedded engine"
        " behind ClickHouse's HTTP interface, each in a process of its own."
    )
    return {name: Figure.of(values) for name, values in seen.items()}, note
