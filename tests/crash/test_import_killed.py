"""Show: the server is killed with SIGKILL at ten moments of an import, and both stores end equal with no row twice.

Each moment is a named step of the real server (`kit/failpoints.py`). At each death the import's stream is open or a
sealed batch is not shipped; the next server finds that on the same data folder, and the import is sent again from the
start.
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from svoykrug.errors import SvoyKrugError
from svoykrug.purchases.v1.purchases_service_pb2 import (
    ImportPurchasesRequest,
    ImportPurchasesResponse,
    NewPurchase,
)

from svoykrug_client import Client, ServiceKey
from svoykrug_server.kit.ids import random_member_id
from svoykrug_server.storage import outbox
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.stores import open_stores
from tests.crash.server_process import ServerProcess, command, settings_of, started
from tests.waiting import until

STEPS = ("import.batch_written", "import.batch_committed", "relay.claimed", "relay.sealed", "relay.inserted")
KILLS = [(step, times) for times in (1, 2) for step in STEPS]
BATCH_ROWS, QUICK_BATCHES, MOST_BATCHES, MEMBERS = 200, 4, 500, 50
FIRST_TIME = datetime(2025, 1, 1, tzinfo=UTC)
PACE_SECONDS, BOUND_SECONDS = 0.1, 30.0

# What does the ledger hold: rows, different rows, sum and hash?
LEDGER_TOTALS = """
    SELECT count(*), count(DISTINCT (business_id, external_id)), coalesce(sum(amount_minor), 0)::bigint,
        mod(mod(coalesce(sum(('x' || left(md5(concat_ws('|', entry_id, business_id, member_id, amount_minor,
            currency_code, (extract(epoch FROM purchase_time) * 1000000)::bigint, kind)), 16))::bit(64)::bigint), 0),
            18446744073709551616) + 18446744073709551616, 18446744073709551616)::text
    FROM purchase_entries
"""


@dataclass(frozen=True, slots=True)
class Death:
    """What a kill left behind."""

    step: str
    stream_open: bool
    sealed_unshipped: int
    waiting_rows: int


def batch(number: int, business_id: UUID) -> ImportPurchasesRequest:
    """Returns a batch of the import: always the same one for a number."""
    rows = []
    for row in range(number * BATCH_ROWS, (number + 1) * BATCH_ROWS):
        at = Timestamp()
        at.FromDatetime(FIRST_TIME + timedelta(minutes=row))
        phone = f"+7900{row % MEMBERS:07}"
        rows.append(NewPurchase(phone=phone, external_id=f"r{row}", amount_minor=row, purchase_time=at))
    return ImportPurchasesRequest(business_id=str(business_id), purchases=rows)


async def people_and_business(postgres: Postgres) -> UUID:
    """Adds the members and the business of the import."""
    business_id, now = uuid4(), datetime.now(UTC)
    async with postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.execute(
            "INSERT INTO businesses (id, name, category, sensitive, create_time, update_time) "
            "VALUES ($1, 'Florist', 'floristry', false, $2, $2)",
            business_id,
            now,
        )
        for number in range(MEMBERS):
            user_id = uuid4()
            await driver.execute(
                "INSERT INTO users (id, phone, status, create_time, update_time) VALUES ($1, $2, 'unclaimed', $3, $3)",
                user_id,
                f"+7900{number:07}",
                now,
            )
            await driver.execute("INSERT INTO member_links VALUES ($1, $2)", user_id, random_member_id())
    return business_id


class Import:
    """One long import, sent again and again from the start.

    Args:
        key: The service account's.
        business_id: The business whose purchases are imported.
    """

    def __init__(self, key: ServiceKey, business_id: UUID) -> None:
        self._key = key
        self._business_id = business_id
        self.batches_sent = 0

    async def run_until_death(self, server: ServerProcess) -> bool:
        """Imports what was sent before and goes on until the server dies; returns whether the stream was open then."""
        begun = False

        async def requests() -> AsyncIterator[ImportPurchasesRequest]:
            nonlocal begun
            for number in range(MOST_BATCHES):
                if number >= self.batches_sent + QUICK_BATCHES and await died(server, PACE_SECONDS):
                    break
                begun = True
                yield batch(number, self._business_id)
                self.batches_sent = max(self.batches_sent, number - QUICK_BATCHES + 1)

        address = await server.address()
        if address is not None:
            async with Client(address, insecure=True, service_key=self._key) as client:
                with contextlib.suppress(SvoyKrugError):
                    await client.purchases.ImportPurchases(requests())
                    pytest.fail("the import ended well though the server was to die in it")
        assert await died(server, BOUND_SECONDS)
        return begun

    async def run(self, server: ServerProcess, batches: int) -> ImportPurchasesResponse:
        """Sends so many batches from the start, to a good end."""

        async def requests() -> AsyncIterator[ImportPurchasesRequest]:
            for number in range(batches):
                yield batch(number, self._business_id)

        address = await server.address()
        assert address is not None
        async with Client(address, insecure=True, service_key=self._key) as client:
            return await client.purchases.ImportPurchases(requests())


async def died(server: ServerProcess, within_seconds: float) -> bool:
    """Waits for the server's death, but not for long; tells whether it came."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_seconds):
            await server.process.wait()
    return server.is_dead


async def unshipped(data_dir: Path) -> tuple[int, int]:
    """Returns how many batches are sealed and not shipped, and how many rows of the ledger are in no shipped batch."""
    async with open_stores(settings_of(data_dir), migrate=False) as stores, stores.postgres.read() as connection:
        sealed = await connection.fetchval("SELECT count(*) FROM sealed_batches WHERE shipped_time IS NULL")
        return sealed, (await outbox.backlog(connection)).waiting_count


async def until_shipped(data_dir: Path) -> None:
    """Waits until nothing of the ledger waits for the warehouse."""
    async with open_stores(settings_of(data_dir), migrate=False) as stores, stores.postgres.read() as connection:

        async def nothing_waits() -> bool:
            return (await outbox.backlog(connection)).waiting_count == 0

        await until(nothing_waits, BOUND_SECONDS)


async def ledger_totals(data_dir: Path) -> list[int]:
    """Returns rows, different receipts, sum and hash of the ledger."""
    async with open_stores(settings_of(data_dir), migrate=False) as stores, stores.postgres.read() as connection:
        row = await connection.fetchrow(LEDGER_TOTALS)
        assert row is not None
        return [int(value) for value in row]


async def warehouse_totals(data_dir: Path) -> list[int]:
    """Returns rows, different entries, sum and hash of the warehouse, whose server is stopped."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("warehouse_totals.py")), str(data_dir / "warehouse")),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    totals: list[int] = json.loads(printed)
    return totals


def show(deaths: list[Death]) -> None:
    """Prints what each kill left behind, and how many there were for each step."""
    table = Table("kill", "step", "import stream", "sealed, unshipped batches", "rows waiting")
    for number, death in enumerate(deaths, 1):
        stream = "open" if death.stream_open else "not begun"
        table.add_row(str(number), death.step, stream, str(death.sealed_unshipped), str(death.waiting_rows))
    counted = Table("step", "kills")
    for step, kills in Counter(death.step for death in deaths).items():
        counted.add_row(step, str(kills))
    console = Console(width=110)
    console.print(table)
    console.print(counted)


async def test_an_import_killed_at_ten_moments_ends_with_equal_stores_and_no_row_twice(data_dir: Path) -> None:
    key_file = data_dir.parent / "key.json"
    await command(
        *(data_dir, "keys", "create-service-account", "crash", "--scope", "purchases.write"),
        *("--key-file", str(key_file)),
    )
    key = ServiceKey.from_file(key_file)
    async with open_stores(settings_of(data_dir)) as stores:
        business_id = await people_and_business(stores.postgres)
    imported, deaths = Import(key, business_id), list[Death]()

    for step, times in KILLS:
        async with started(data_dir, f"{step}:{times}") as server:
            stream_open = await imported.run_until_death(server)
        assert server.process.returncode == -signal.SIGKILL
        deaths.append(Death(step, stream_open, *await unshipped(data_dir)))
    show(deaths)
    batches = imported.batches_sent + QUICK_BATCHES
    async with started(data_dir) as server:
        answer = await imported.run(server, batches)
        await until_shipped(data_dir)
    ledger, copy = await ledger_totals(data_dir), await warehouse_totals(data_dir)

    rows = batches * BATCH_ROWS
    assert all(death.stream_open or death.sealed_unshipped for death in deaths)
    assert min(Counter(death.step for death in deaths).values()) >= 2
    assert (answer.received_count, answer.rejected_count) == (rows, 0)
    assert answer.recorded_count + answer.duplicate_count == rows
    assert ledger[:3] == [rows, rows, sum(range(rows))]
    assert copy == ledger
