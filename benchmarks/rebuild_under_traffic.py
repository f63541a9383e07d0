"""The warehouse rebuilt under traffic: `python benchmarks/rebuild_under_traffic.py [rows]`, from the root.

A server process with the real Python client: first the warehouse is rebuilt by the command, then, in another folder and
with ClickHouse as a process of its own, its database is dropped and rebuilt. Prints what became of every call, and what
both stores hold at the end.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.conftest import reachable_folder
from tests.crash.own_rows import BATCH_ROWS
from tests.crash.rebuilding import Rebuilt, rebuilt_under_traffic
from tests.crash.traffic import AWAY

ROWS = 200_000
SETTINGS = {"RELAY_BATCH_ENTRIES": "200000", "PROOF_INTERVAL_SECONDS": "5"}
"""What a server has by default where tests have smaller numbers."""


def show(console: Console, name: str, seen: Rebuilt) -> None:
    """Prints what was seen."""
    table = Table("method", "OK", "away and says when", "failed", "longest gap, s", title=name)
    for method, fate in sorted(seen.fates.items()):
        failed = sum(calls for (failing, _), calls in seen.failures.items() if failing == method)
        table.add_row(
            method,
            f"{fate.outcomes['OK']:,}",
            f"{fate.outcomes[AWAY]:,}",
            f"{failed:,}",
            f"{fate.longest_gap_seconds:.2f}",
        )
    console.print(table)
    console.print(
        f"{seen.rows:,} rows in {seen.seconds:.2f} s, {seen.rows / seen.seconds:,.0f} rows/s; from the command, or the"
        f" loss, to its end {seen.asked_seconds:.1f} s; {seen.rows_meanwhile:,} rows were written until all was"
        f" right; load average {os.getloadavg()[0]:.1f}"
    )
    console.print(f"failures: {dict(seen.failures) or 'none'}")
    console.print(
        f"two snapshots and a scoring, read all the while: {seen.read.right:,} answers to the last bit as before,"
        f" {seen.refused_reads:,} refused for a while, {len(seen.read.wrong):,} wrong; {seen.remade} made again,"
        f" {seen.remade_seconds:.1f} s after the rebuild"
    )
    console.print(
        f"PostgreSQL {seen.postgres}\nClickHouse {seen.clickhouse}\nequal: {seen.postgres == seen.clickhouse}"
    )


def main() -> None:
    """Measures both."""
    batches = int(sys.argv[1] if len(sys.argv) > 1 else ROWS) // BATCH_ROWS
    console = Console(width=120)
    for lost, name in ((False, "rebuilt"), (True, "dropped and rebuilt")):
        folder = reachable_folder("svoykrug-rebuild-")
        try:
            show(console, name, asyncio.run(rebuilt_under_traffic(folder / "data", batches, lost=lost, **SETTINGS)))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
