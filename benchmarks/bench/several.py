"""Several processes behind the same ports, `svoykrug serve --processes N`, beside a worker: GetMe as in `getme.py`."""

from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import replace

import psutil
from rich.console import Console

from benchmarks.bench import h2load
from benchmarks.bench.figures import Figure, Measured
from benchmarks.bench.getme import PRODUCT, Seen, Variant, checked
from benchmarks.bench.outside import outside_stores
from benchmarks.bench.processes import worker
from benchmarks.bench.stage import Stores, fill, served

PROCESSES = (1, 2)
IN_FLIGHT, SECONDS = 100, 4.0
FEWER_CONNECTIONS = {"DATABASE_TRANSACTION_CONNECTIONS": "5"}
"""PostgreSQL takes 100 connections; each process has ten more for hot reads."""


async def measure(rounds: int, console: Console) -> Measured:
    """Measures each number of processes in turn, all of them running."""
    seen: Seen = defaultdict(list)
    with outside_stores() as (stores, given):
        settings = {**given, **FEWER_CONNECTIONS, "SCHEDULE_ENABLED": "false"}
        with worker(stores.folder, settings):
            async with AsyncExitStack() as closing:
                variants = await _variants(closing, stores, {**settings, "BACKGROUND_WORK": "false"})
                for number in range(rounds):
                    for name, variant in variants.items():
                        _note(seen, name, variant)
                    console.print(f"several processes, round {number + 1} of {rounds}", style="dim")
                for name, variant in variants.items():
                    seen[f"{name}: start s"].append(variant.server.start_seconds)
                    seen[f"{name}: MB, shared pages once"].append(variant.server.own_memory_mb())
    told = (
        f"GetMe, {IN_FLIGHT} in flight on ten connections, which the kernel gives to the processes as it likes; stores"
        f" outside, the background work in a worker. Load, PostgreSQL and servers share {psutil.cpu_count()} cores: how"
        " many are busy with one process says what it leaves for a second. A process is one event loop and gRPC's"
        " threads. More than two were not measured: two cores leave nothing for them."
    )
    return {name: Figure.of(values) for name, values in seen.items()}, told


async def _variants(closing: AsyncExitStack, stores: Stores, settings: dict[str, str]) -> dict[str, Variant]:
    """Runs every number of processes until `closing` ends, each seen to give the right answer."""
    variants: dict[str, Variant] = {}
    for count in PROCESSES:
        folder = stores.folder / f"{count}"
        folder.mkdir()
        several = replace(stores, folder=folder)
        product = await closing.enter_async_context(served(several, settings, ("--processes", f"{count}")))
        if not variants:
            person = (await product.people(1))[0]
            await fill(stores.url)
        bearer = {"authorization": f"Bearer {person.tokens.access_token}"}
        name = f"{count} process{'es' if count > 1 else ''}"
        variants[name] = await checked(PRODUCT, product.server, bearer, person.user_id)
    return variants


def _note(seen: Seen, name: str, variant: Variant) -> None:
    cpu_seconds = variant.server.cpu_seconds()
    psutil.cpu_percent()
    sample = h2load.run(variant.target, IN_FLIGHT, SECONDS)
    busy = psutil.cpu_percent() / 100 * (psutil.cpu_count() or 1)
    used = variant.server.cpu_seconds() - cpu_seconds
    seen[f"{name}: calls/s"].append(sample.rate)
    seen[f"{name}: p50 ms"].append(sample.p50_ms)
    seen[f"{name}: p99 ms"].append(sample.p99_ms)
    seen[f"{name}: server CPU us"].append(1e6 * used / sample.calls)
    seen[f"{name}: server CPU cores"].append(used / (SECONDS + h2load.WARM_SECONDS))
    seen[f"{name}: busy cores of the machine"].append(busy)
