"""Memory of server and worker over 20 minutes: `python benchmarks/long_memory.py [minutes]`, from the root.

Stores are outside, as in production, so what the two processes have is Python's. The mix, imports and snapshots go on
all the time. Table, chart and verdict go into docs/performance.md; the script fails where memory grows.
"""

import argparse
import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import uvloop
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench import machine, report
from benchmarks.bench.bulk import buyers, import_rows
from benchmarks.bench.figures import Figure, Part
from benchmarks.bench.flatness import Slope
from benchmarks.bench.mix import Seen, cast_of, note, take_snapshot
from benchmarks.bench.mix_callers import over_grpc
from benchmarks.bench.open_loop import calling
from benchmarks.bench.outside import outside_stores
from benchmarks.bench.processes import Server, worker
from benchmarks.bench.stage import Stage, fill, served
from svoykrug_server.rpc.logs import configure_logging
from tests.e2e.circle import Person

MINUTES, WAIT_SECONDS = 20.0, 60.0
SAMPLE_SECONDS = 2.0
CALLS_A_SECOND = 300
IMPORT_ROWS, BETWEEN_IMPORTS_SECONDS = 20_000, 8.0
BETWEEN_SNAPSHOTS_SECONDS = 5.0
"""A worker's memory settles with its first thirty imports and snapshots: these are within the quarter left out."""
WARM_ROUNDS, WARM_AT_ONCE, WARM_ROWS = 10, 4, 2_000
"""What a connection keeps of each statement, and a thread of its client, is kept the first time: work is done in
parallel before memory is watched, so that it does not fall into the time that is judged."""
BUYERS = 10_000
VERIFIED_TOKENS = 2_000
"""Verified tokens are remembered up to a number, by default 50,000: this smaller one is reached early in the run."""


class Grows(Exception):
    """A process needs more and more memory."""


class Run:
    """What goes on while memory is watched.

    Args:
        product: The running server.
        owner: Owns the business.
        user_ids: Whose purchases are imported.

    Attributes:
        imported: How many purchases were.
        snapshots: How many snapshots were made.
    """

    def __init__(self, product: Stage, owner: Person, user_ids: list[str]) -> None:
        self._product, self._owner, self._user_ids = product, owner, user_ids
        self.imported = 0
        self.snapshots = 0

    async def warm_up(self) -> None:
        """Imports purchases and makes snapshots, several at a time."""
        for _ in range(WARM_ROUNDS):
            importing = [
                import_rows(self._product, self._owner, self._user_ids, WARM_ROWS) for _ in range(WARM_AT_ONCE)
            ]
            snapshots = [take_snapshot(self._product.circle.channel, self._owner) for _ in range(WARM_AT_ONCE)]
            await asyncio.gather(*importing, *snapshots)

    async def imports(self) -> None:
        """Imports purchases every now and then."""
        while True:
            await import_rows(self._product, self._owner, self._user_ids, IMPORT_ROWS)
            self.imported += IMPORT_ROWS
            await asyncio.sleep(BETWEEN_IMPORTS_SECONDS)

    async def take_snapshots(self) -> None:
        """Makes a snapshot every now and then."""
        while True:
            await take_snapshot(self._product.circle.channel, self._owner)
            self.snapshots += 1
            await asyncio.sleep(BETWEEN_SNAPSHOTS_SECONDS)


async def measure(minutes: float, calls_a_second: int, console: Console) -> tuple[Mapping[str, Slope], Part]:
    """Watches both processes, and returns their slopes and what the document shows."""
    seen: Seen = defaultdict(list)
    with outside_stores() as (stores, given):
        settings = {**given, "BACKGROUND_WORK": "false", "VERIFIED_TOKENS": str(VERIFIED_TOKENS)}
        async with served(stores, settings) as product:
            await fill(stores.url, BUYERS)
            with worker(stores.folder, {**settings, "SCHEDULE_ENABLED": "false"}) as working:
                cast, owner = await cast_of(product)
                run = Run(product, owner, await buyers(stores.url, BUYERS))
                processes = {"server": product.server, "worker": working}
                with calling(cast, over_grpc) as ask:
                    await run.warm_up()
                    beside = [asyncio.create_task(work) for work in (run.imports(), run.take_snapshots())]
                    calls = asyncio.create_task(asyncio.to_thread(ask, calls_a_second, 60 * minutes))
                    samples = await _watch(processes, calls, beside, console)
                    note(seen, await calls, 60 * minutes)
    slopes = {name: Slope.of(of_process) for name, of_process in samples.items()}
    for name, slope in slopes.items():
        seen[f"{name}: MB at first"].append(samples[name][0][1])
        seen[f"{name}: MB after a quarter"].append(slope.begin_mb)
        seen[f"{name}: MB at the end"].append(slope.end_mb)
        seen[f"{name}: most MB"].append(max(megabytes for _, megabytes in samples[name]))
        seen[f"{name}: MB an hour"].append(slope.mb_an_hour)
        seen[f"{name}: MB an hour, last half"].append(Slope.of(samples[name], 0.5).mb_an_hour)
    figures = {name: Figure.of(values) for name, values in seen.items()}
    return slopes, Part(machine.facts(), 0.0, figures, _told(minutes, calls_a_second, run, slopes), samples)


async def _watch(
    processes: Mapping[str, Server],
    calls: "asyncio.Task[object]",
    beside: "list[asyncio.Task[None]]",
    console: Console,
) -> dict[str, list[tuple[float, float]]]:
    """Samples memory until the calls have ended, then ends what goes on beside them.

    Raises:
        RuntimeError: What goes on beside them failed.
    """
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in processes}
    began, told = time.monotonic(), 0
    while not calls.done() and not any(task.done() for task in beside):
        await asyncio.wait([calls, *beside], timeout=SAMPLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        minutes = (time.monotonic() - began) / 60
        for name, server in processes.items():
            samples[name].append((round(minutes, 3), round(server.memory_mb(), 1)))
        if minutes >= told + 1:
            told = int(minutes)
            now = ", ".join(f"{name} {of_process[-1][1]:.0f} MB" for name, of_process in samples.items())
            console.print(f"minute {told}: {now}", style="dim")
    for task in beside:
        task.cancel()
    for ended in await asyncio.gather(*beside, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            raise RuntimeError("what went on beside the calls failed") from ended
    return samples


def _told(minutes: float, calls_a_second: int, run: Run, slopes: Mapping[str, Slope]) -> str:
    verdicts = "; ".join(f"{name} {slope.told()}" for name, slope in slopes.items())
    return (
        f"{minutes:g} minutes of the mix at {calls_a_second} calls/s, {run.imported:,} purchases imported and"
        f" {run.snapshots} snapshots made meanwhile; resident memory, every {SAMPLE_SECONDS:g} s. PostgreSQL and"
        f" ClickHouse are processes of their own. {VERIFIED_TOKENS:,} verified tokens are remembered instead of 50,000,"
        f" so that this memory is full early. Verdict: {verdicts}."
    )


def main() -> None:
    """Reads the arguments and measures.

    Raises:
        Grows: Memory grows.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=MINUTES)
    parser.add_argument("--wait", type=float, default=WAIT_SECONDS, help="seconds to wait for a quiet machine at most")
    parser.add_argument("--calls", type=int, default=CALLS_A_SECOND, help="calls of the mix a second")
    asked = parser.parse_args()
    console = Console(highlight=False)
    busy = machine.wait_until_quiet(asked.wait, console)
    with Path("/dev/null").open("w") as nowhere:
        configure_logging(human=False, stream=nowhere)
        slopes, part = uvloop.run(measure(asked.minutes, asked.calls, console))
    report.keep("long_memory", replace(part, busy=busy))
    for name, slope in slopes.items():
        console.print(f"{name}: {slope.told()}")
    if not all(slope.is_flat for slope in slopes.values()):
        raise Grows(", ".join(name for name, slope in slopes.items() if not slope.is_flat))


if __name__ == "__main__":
    main()
