"""How much memory Python needs for analytics: `python benchmarks/analytics_memory.py [purchases ...]`, from the root.

ClickHouse runs in a process of its own, as in production, so what the measured process has is Python's alone. Each size
has a process of its own; what `analytics_scale.py` asks for is asked for once. The table goes into docs/performance.md;
the script fails where a figure's most memory grows by more than 100 MB from the smallest size to the largest.
"""

import argparse
import asyncio
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import uvloop
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.scale.circle import fill, open_shops, open_stores
from benchmarks.scale.measuring import Call, Watch, memory_mb
from benchmarks.scale.product import Product
from svoykrug_server.kit.memory import give_back_freed
from svoykrug_server.rpc.logs import configure_logging
from tests.conftest import reachable_folder

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- analytics_memory: begin -->", "<!-- analytics_memory: end -->"
SIZES = (100_000, 10_000_000)
RESTING = "at rest"
FLAT_MB = 100.0


class NotFlat(Exception):
    """Memory grows with the circle."""


@asynccontextmanager
async def clickhouse(folder: Path) -> AsyncIterator[str]:
    """Runs ClickHouse in a process of its own for the length of the block, and yields its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serving = (sys.executable, "-m", "tests.crash.matrix.clickhouse_process", str(folder), str(port))
    process = await asyncio.create_subprocess_exec(*serving, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        if process.stdout is None or await process.stdout.readline() != b"ready\n":
            raise RuntimeError("ClickHouse did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def measure(purchases: int) -> dict[str, float]:
    """Returns the most memory this process has during each figure, in MB, by its name."""
    folder = reachable_folder("svoykrug-memory-")
    try:
        async with clickhouse(folder / "engine") as url, open_stores(folder, 1, url) as stores:
            await open_shops(stores.postgres)
            await fill(stores.beside, purchases)
            product = Product(stores.postgres, stores.beside)
            peaks = {RESTING: memory_mb()}
            for what, call in _calls(product).items():
                with Watch() as watch:
                    await call()
                peaks[what] = watch.peak_mb
                give_back_freed()  # As whoever runs operations does after each.
            return peaks
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _calls(product: Product) -> dict[str, Call]:
    models: list[UUID] = []

    async def train() -> None:
        models.append(await product.train())

    async def score() -> None:
        await product.score(models[0])

    return {
        "snapshot": product.snapshot,
        "churn: features of all": product.features,
        "churn: training": train,
        "churn: scoring all": score,
        "dashboard": product.cold_dashboard,
        "cohorts": product.cohorts,
        "matrix": product.matrix,
    }


def write(peaks: dict[int, dict[str, float]]) -> None:
    """Puts the table between its lines in the document."""
    sizes = sorted(peaks)
    lines = ["| most memory of Python, MB | " + " | ".join(f"{size:,}" for size in sizes) + " | grown |"]
    lines.append("| --- " + "| ---: " * (len(sizes) + 1) + "|")
    for what in peaks[sizes[0]]:
        row = [peaks[size][what] for size in sizes]
        lines.append(f"| {what} | " + " | ".join(f"{value:,.0f}" for value in row) + f" | {row[-1] - row[0]:+,.0f} |")
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}")


def main() -> None:
    """Reads the arguments and measures.

    Raises:
        NotFlat: Memory grows.
    """
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("purchases", nargs="*", type=int, default=list(SIZES))
    asked = arguments.parse_args()
    if len(asked.purchases) == 1:
        configure_logging(human=True, level="ERROR")
        sys.stdout.write(json.dumps(uvloop.run(measure(asked.purchases[0]))) + "\n")
        return
    peaks = {}
    for purchases in asked.purchases:
        # Memory is compared between sizes, so none may inherit another's.
        command = [sys.executable, __file__, str(purchases)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[purchases] = json.loads(told.splitlines()[-1])
        Console().print(purchases, peaks[purchases])
    write(peaks)
    first, last = peaks[min(peaks)], peaks[max(peaks)]
    grown = {what: round(last[what] - first[what]) for what in first if last[what] - first[what] > FLAT_MB}
    if grown:
        raise NotFlat(f"memory grew, in MB: {grown}")


if __name__ == "__main__":
    main()
