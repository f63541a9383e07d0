"""What it costs to know that rows are there: `python benchmarks/held_builds.py [builds] [members]`, from the root.

Fills `snapshot_members` of a ClickHouse in process and asks, in turns, for one member's row (what an answer costs), of
which parts the table is made, for the rows of one build and of all of them, counted anew, and for all the table's.
Prints medians.
"""

import asyncio
import os
import shutil
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from svoykrug_server.analytics.build_rows import SNAPSHOT_MEMBERS, Build, BuildRows
from svoykrug_server.storage.migrate_warehouse import migrate_warehouse
from svoykrug_server.storage.warehouse import Warehouse, WarehouseOptions
from tests.conftest import reachable_folder

BUILDS, MEMBERS, ROUNDS = 120, 200_000, 30
FILL = """
    INSERT INTO snapshot_members
    SELECT {build_id:UUID}, intDiv(rand64(), 2), 1, 1, 1, 1, 1, 1, 1, now64(6), now64(6) FROM numbers({members:UInt32})
"""
ONE_MEMBER = "SELECT segment FROM snapshot_members WHERE build_id = {build_id:UUID} AND member_id = 5"


async def measured(folder: Path, builds: int, members: int) -> dict[str, list[float]]:
    """Returns the milliseconds of each question, by what it asks for."""
    warehouse = Warehouse(WarehouseOptions(str(folder)), migrate_warehouse)
    build_ids = [uuid4() for _ in range(builds)]
    for build_id in build_ids:
        await warehouse.command(FILL, {"build_id": build_id, "members": members})
    held, one = BuildRows(warehouse, SNAPSHOT_MEMBERS), {"build_id": build_ids[0]}
    published = [Build(each, each, members) for each in build_ids]

    async def counted_anew(builds: list[Build]) -> None:
        await BuildRows(warehouse, SNAPSHOT_MEMBERS).refuse_partial(builds, anew=True)

    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "one member's row": lambda: warehouse.query(ONE_MEMBER, one),
        "the table's parts": held.parts,
        "the rows of one build, not counted before": lambda: counted_anew(published[:1]),
        "the rows of all builds, not counted before": lambda: counted_anew(published),
        "the rows of every build, in the background": held.counts,
    }
    times: dict[str, list[float]] = {name: [] for name in questions}
    for _ in range(ROUNDS):
        for name, ask in questions.items():
            begun = time.perf_counter()
            await ask()
            times[name].append((time.perf_counter() - begun) * 1_000)
    await warehouse.close()
    return times


def main() -> None:
    """Measures."""
    builds, members = (int(text) for text in (sys.argv[1:3] if len(sys.argv) > 2 else (BUILDS, MEMBERS)))
    folder = reachable_folder("svoykrug-held-")
    try:
        times = asyncio.run(measured(folder / "warehouse", builds, members))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = Table("asked for", "median, ms", title=f"{builds} builds of {members:,} members, {ROUNDS} rounds")
    for name, milliseconds in times.items():
        table.add_row(name, f"{statistics.median(milliseconds):.2f}")
    console = Console(width=120)
    console.print(table)
    console.print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
