"""Analytics at ten million purchases: snapshots, churn, dashboards, and what GetMe feels of a snapshot.

`analytics_scale.py` measures more sizes, other engines on the same definitions, and a hundred million.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import quantiles
from uuid import UUID

from rich.console import Console

from benchmarks.bench.figures import Figure, Measured
from benchmarks.bench.mix_callers import Cast, over_grpc
from benchmarks.bench.open_loop import Ask, calling
from benchmarks.bench.stage import own_folder
from benchmarks.scale.circle import Stores, fill, open_shops, open_stores
from benchmarks.scale.measuring import Watch
from benchmarks.scale.product import Product
from benchmarks.scale.served import call_times
from tests.e2e.running import running

PURCHASES = 10_000_000
ONE_SHOP = UUID(int=1)
BESIDE_CALLS_A_SECOND, BESIDE_SECONDS = 200, 8.0
CALLERS = 10
"""Who call beside a snapshot: one who waited half a second for it would have too many calls in progress."""
Seen = defaultdict[str, list[float]]


async def measure(rounds: int, console: Console) -> Measured:
    """Measures everything of one circle, then the dashboard of one business that made all the purchases."""
    seen: Seen = defaultdict(list)
    with own_folder() as folder:
        async with open_stores(folder, os.cpu_count() or 1) as stores:
            await open_shops(stores.postgres)
            console.print(f"making {PURCHASES:,} purchases", style="dim")
            await fill(stores.beside, PURCHASES)
            beside, alone = Product(stores.postgres, stores.beside), Product(stores.postgres, stores.alone)
            for number in range(rounds):
                await _timed(seen, "snapshot, one thread", beside.snapshot)
                await _timed(seen, "snapshot, all cores", alone.snapshot)
                console.print(f"snapshots, round {number + 1} of {rounds}", style="dim")
            await _churn(seen, alone)
            for what, (median_ms, p99_ms) in (await call_times(beside)).items():
                seen[f"{what}: p50 ms"].append(median_ms)
                seen[f"{what}: p99 ms"].append(p99_ms)
            await _beside(seen, stores, beside, rounds, console)
            await fill(stores.beside, PURCHASES, shops=1)
            for _ in range(rounds):
                await _timed(seen, "dashboard of one business, cold", partial(alone.cold_dashboard, ONE_SHOP))
            await alone.cached_dashboard(ONE_SHOP)
            for _ in range(rounds):
                await _timed(seen, "dashboard of one business, cached", partial(alone.cached_dashboard, ONE_SHOP))
    note = (
        f"{PURCHASES:,} purchases of {PURCHASES // 50:,} members in the engine of this process; use cases are asked,"
        " not the network. Churn is measured once: its features, training on at most 100,000 members, and scoring all."
    )
    return {name: Figure.of(values) for name, values in seen.items()}, note


async def _timed(seen: Seen, name: str, call: Callable[[], Awaitable[object]]) -> None:
    with Watch() as watch:
        await call()
    seen[f"{name}: s"].append(watch.seconds)
    seen[f"{name}: CPU s"].append(watch.cpu_seconds)


async def _churn(seen: Seen, product: Product) -> None:
    await _timed(seen, "churn, features of all", product.features)
    with Watch() as watch:
        model_id = await product.train()
    seen["churn, training: s"].append(watch.seconds)
    await _timed(seen, "churn, scoring all", partial(product.score, model_id))


async def _beside(seen: Seen, stores: Stores, product: Product, rounds: int, console: Console) -> None:
    """Measures GetMe from another process, alone and while snapshots are taken in this one, in turn."""
    async with running(stores.postgres, stores.beside, background_work=False) as served:
        signed_in = [await served.circle.sign_in(f"+7916123456{number}") for number in range(CALLERS)]
        people = [(one.user_id, one.tokens.access_token, one.tokens.refresh_token) for one in signed_in]
        cast = Cast(served.circle.target, people, [], {"GetMe": 100})
        with calling(cast, over_grpc) as ask:
            for number in range(rounds):
                seen["GetMe, quiet: p99 ms"].append(await _p99_ms(ask))
                snapshots = asyncio.create_task(_snapshots(product))
                seen["GetMe, beside a snapshot: p99 ms"].append(await _p99_ms(ask))
                snapshots.cancel()
                await asyncio.gather(snapshots, return_exceptions=True)
                console.print(f"GetMe beside a snapshot, round {number + 1} of {rounds}", style="dim")


async def _snapshots(product: Product) -> None:
    while True:
        await product.snapshot()


async def _p99_ms(ask: Ask) -> float:
    outcome = await asyncio.to_thread(ask, BESIDE_CALLS_A_SECOND, BESIDE_SECONDS)
    if outcome.failures:
        raise RuntimeError(f"calls failed: {dict(outcome.failures)}")
    return quantiles(outcome.milliseconds["GetMe"], n=100)[98]
