"""From a purchase to the push that holds it: `python benchmarks/watch_latency.py [purchases] [watchers ...]`.

A server process with the real Python client. Each purchase is timed from the answer of RecordPurchase to the first
message of WatchDashboard that counts it, at every watcher; then, by the server's own times, up to where it was sealed
and where it was shipped.
"""

import asyncio
import os
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from svoykrug.analytics.v1.analytics_service_pb2 import WatchDashboardRequest
from svoykrug.purchases.v1.purchases_service_pb2 import NewPurchase, RecordPurchaseRequest

from svoykrug_client import Client
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.stores import open_stores
from tests.conftest import reachable_folder
from tests.crash import proof
from tests.crash.own_rows import add_circle
from tests.crash.server_process import settings_of, started

PURCHASES = 200
WATCHERS = (1, 20)
WATCHERS_A_CLIENT = 10
"""How many streams one caller may have open."""
PHONE = "+79000000000"
BOUND_SECONDS = 30.0
SETTINGS = {"RELAY_BATCH_ENTRIES": "200000", "RELAY_POLL_SECONDS": "0.5", "PROOF_INTERVAL_SECONDS": "5"}
"""What a server has by default where tests have smaller numbers."""

_STEPS = """
    SELECT entry.record_time, batch.ingest_time, batch.shipped_time
    FROM (SELECT outbox_id, record_time, batch_id FROM outbox ORDER BY outbox_id DESC LIMIT $1) AS entry
    JOIN sealed_batches AS batch USING (batch_id) ORDER BY outbox_id
"""
"""When was each of the last purchases recorded, sealed and shipped?"""


@dataclass(slots=True)
class Watcher:
    """A stream, and when each count of purchases was first seen on it.

    Attributes:
        seen: When a message came that counts so many purchases or more, by the monotonic clock.
        changed: Set with each message.
    """

    seen: list[tuple[int, float]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, client: Client, business_id: str) -> None:
        """Watches until cancelled."""
        async for answer in client.analytics.WatchDashboard(WatchDashboardRequest(business_id=business_id)):
            self.seen.append((answer.dashboard.period.purchase_count, time.monotonic()))
            self.changed.set()

    async def counts(self, purchases: int) -> float:
        """Waits for a message that counts so many purchases, and returns when it came."""
        async with asyncio.timeout(BOUND_SECONDS):
            while not self.seen or self.seen[-1][0] < purchases:
                self.changed.clear()
                await self.changed.wait()
        return next(at for count, at in self.seen if count >= purchases)


@asynccontextmanager
async def watching(clients: Sequence[Client], business_id: str, count: int) -> AsyncIterator[list[Watcher]]:
    """Watches with so many streams."""
    watchers = [Watcher() for _ in range(count)]
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(watcher.run(clients[number // WATCHERS_A_CLIENT], business_id))
            for number, watcher in enumerate(watchers)
        ]
        yield watchers
        for task in running:
            task.cancel()


async def sell(client: Client, business_id: str, number: int) -> None:
    """Records a purchase made now."""
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC))
    bought = NewPurchase(external_id=f"w{number}", phone=PHONE, amount_minor=100, purchase_time=moment)
    await client.purchases.RecordPurchase(RecordPurchaseRequest(business_id=business_id, purchase=bought))


async def delays_ms(clients: Sequence[Client], business_id: str, sold: int, purchases: int, count: int) -> list[float]:
    """Sells one by one and returns how long each took to reach each watcher."""
    found = []
    async with watching(clients, business_id, count) as watchers:
        await asyncio.gather(*(watcher.counts(sold) for watcher in watchers))
        for number in range(sold + 1, sold + purchases + 1):
            await sell(clients[0], business_id, number)
            acknowledged = time.monotonic()
            arrived = await asyncio.gather(*(watcher.counts(number) for watcher in watchers))
            found += [1000 * (at - acknowledged) for at in arrived]
    return found


async def steps_ms(postgres: Postgres, purchases: int) -> tuple[list[float], list[float]]:
    """Returns how long the last purchases took to be sealed, and from there to be known as shipped."""
    async with postgres.read() as connection:
        rows = await connection.fetch(_STEPS, purchases)
    sealed = [1000 * (row["ingest_time"] - row["record_time"]).total_seconds() for row in rows]
    return sealed, [1000 * (row["shipped_time"] - row["ingest_time"]).total_seconds() for row in rows]


async def measure(data_dir: Path, purchases: int, counts: Sequence[int], console: Console) -> None:
    """Measures each number of watchers and prints the table."""
    clients_needed = -(-max(counts) // WATCHERS_A_CLIENT)
    keys = [await proof.service_key(data_dir, f"watcher-{number}") for number in range(clients_needed)]
    table = Table("watchers", "what", "median, ms", "95 %, ms", "worst, ms", "load average")
    async with open_stores(settings_of(data_dir)) as stores:
        circle = await add_circle(stores.postgres)
        business_id = str(circle.business_id)
        async with started(data_dir, **SETTINGS) as server:
            target = await server.target()
            clients = [Client(target, insecure=True, service_key=key) for key in keys]
            await sell(clients[0], business_id, 0)
            for round_, count in enumerate(counts):
                pushed = await delays_ms(clients, business_id, 1 + round_ * purchases, purchases, count)
                sealed, shipped = await steps_ms(stores.postgres, purchases)
                parts = {"purchase to push": pushed, "recorded to sealed": sealed, "sealed to shipped": shipped}
                for what, found in parts.items():
                    ranks = [statistics.median(found), sorted(found)[int(0.95 * len(found))], max(found)]
                    table.add_row(str(count), what, *(f"{rank:,.0f}" for rank in ranks), f"{os.getloadavg()[0]:.1f}")
            for client in clients:
                await client.close()
    console.print(table)


def main() -> None:
    """Measures what the command line names, or the usual."""
    asked = [int(text) for text in sys.argv[1:]]
    folder = reachable_folder("svoykrug-watch-")
    try:
        asyncio.run(measure(folder / "data", (asked or [PURCHASES])[0], asked[1:] or WATCHERS, Console(width=110)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
