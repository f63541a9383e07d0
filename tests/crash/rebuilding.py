"""The warehouse rebuilt under steady traffic: because the command asks for it, or because its database was dropped."""

import asyncio
import json
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from svoykrug_client import Client
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.stores import open_stores
from tests.auth.sms_providers import free_port
from tests.crash import proof, results
from tests.crash.own_rows import BATCH_ROWS, OwnCircle, Totals, add_circle
from tests.crash.server_process import command, settings_of, started
from tests.crash.stores_seen import ledger_totals, warehouse_totals
from tests.crash.traffic import Fate, Traffic, signed_in
from tests.waiting import until

PHONE = "+79161234567"
IMPORT_BATCH_ROWS = 5_000
BOUND_SECONDS = 60.0
PATIENT = {"RELAY_LEASE_SECONDS": "6", "SCHEDULE_ENABLED": "false"}
"""The command believes that nobody rebuilds when the lease is over: as long as it is by default, for a busy machine. No
snapshot is made but those that are read."""
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was seen.

    Attributes:
        seconds: From the beginning of the rebuild to its end, by the server's log.
        asked_seconds: From the command, or from the loss of the database, to the end of the rebuild.
        rows: How many rows the ledger held at the end.
        rows_meanwhile: How many of them were written since then, until every answer was right.
        fates: What became of the calls, by method.
        failures: Calls that failed and may not.
        postgres: What the ledger held at the end.
        clickhouse: What the warehouse held.
        read: What became of reading snapshots and a scoring all the while.
        refused_reads: How many of these calls were refused for a while.
        remade: How many of the three were made again.
        remade_seconds: From the end of the rebuild until all of these were right.
    """

    seconds: float
    asked_seconds: float
    rows: int
    rows_meanwhile: int
    fates: Mapping[str, Fate]
    failures: Mapping[tuple[str, str], int]
    postgres: Totals
    clickhouse: Totals
    read: results.Results
    refused_reads: int
    remade: int
    remade_seconds: float


async def rebuilt_under_traffic(data_dir: Path, batches: int, *, lost: bool, **settings: str) -> Rebuilt:
    """Imports rows, then has the warehouse rebuilt while members and programs go on.

    Args:
        data_dir: An empty folder.
        batches: How many batches of 200 rows are there before.
        lost: Whether the database is dropped, of a ClickHouse in a process of its own, and nobody asks for a rebuild.
        settings: What differs from the settings of a crash test.
    """
    key, log = await proof.service_key(data_dir), data_dir.parent / "server.log"
    async with open_stores(settings_of(data_dir)) as stores:
        circle = await add_circle(stores.postgres)
        async with AsyncExitStack() as closing:
            url = await closing.enter_async_context(_clickhouse(data_dir)) if lost else ""
            server = await closing.enter_async_context(started(data_dir, CLICKHOUSE_URL=url, **{**PATIENT, **settings}))
            target = await server.target()
            program = await closing.enter_async_context(Client(target, insecure=True, service_key=key))
            member = await closing.enter_async_context(Client(target, insecure=True))
            read = await _filled(stores.postgres, program, circle, batches)
            await signed_in(member, PHONE, log)
            traffic = Traffic(member, program, str(circle.business_id), PHONE)
            async with traffic.running(), read.being_read(program):
                await _all_answer(traffic)
                rows_before, begun = traffic.rows_written, time.monotonic()
                await (_drop(url) if lost else command(data_dir, "warehouse", "rebuild"))
                await until(lambda: _rebuild_seconds(log) is not None, BOUND_SECONDS)
                ended = time.monotonic()
                await read.read_until_right(program)
                remade, rows_after = time.monotonic(), traffic.rows_written
                await _all_answer(traffic)
            fresh = await proof.settled_freshness(program)
            assert fresh.equal, fresh
        ledger = await ledger_totals(stores.postgres)
    return Rebuilt(
        seconds=_rebuild_seconds(log) or 0.0,
        asked_seconds=ended - begun,
        rows=batches * BATCH_ROWS + traffic.rows_written,
        rows_meanwhile=rows_after - rows_before,
        fates=traffic.fates,
        failures=traffic.failures,
        postgres=ledger,
        clickhouse=await warehouse_totals(data_dir),
        read=read,
        refused_reads=results.refused(log),
        remade=results.remade(log),
        remade_seconds=remade - ended,
    )


async def _filled(postgres: Postgres, program: Client, circle: OwnCircle, batches: int) -> results.Results:
    """Imports rows, and makes snapshots and a scoring of them."""
    rows = list(circle.rows(batches))
    await program.import_purchases(str(circle.business_id), rows, batch_rows=IMPORT_BATCH_ROWS)
    await proof.settled_freshness(program)
    return await results.made(postgres, program, circle.business_id, len(rows))


async def _all_answer(traffic: Traffic) -> None:
    """Waits until every method has given one more good answer."""
    before = {method: fate.outcomes["OK"] for method, fate in traffic.fates.items()}
    await until(
        lambda: (
            bool(traffic.fates)
            and all(fate.outcomes["OK"] > before.get(method, 0) for method, fate in traffic.fates.items())
        ),
        BOUND_SECONDS,
    )


async def _drop(url: str) -> None:
    """Drops the database under the server."""
    request = urllib.request.Request(f"{url}/?database=default", b"DROP DATABASE svoykrug SYNC")  # noqa: S310  our own
    await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=BOUND_SECONDS).close())  # noqa: S310  as above


def _rebuild_seconds(log: Path) -> float | None:
    """Returns how long the rebuild took, from the server's log; None before its end."""
    times = {}
    for line in log.read_text().splitlines():
        if line.startswith("{") and (event := json.loads(line))["event"] in ("rebuild_begun", "rebuild_done"):
            times[event["event"]] = datetime.fromisoformat(event["timestamp"])
    if "rebuild_done" not in times:
        return None
    return (times["rebuild_done"] - times["rebuild_begun"]).total_seconds()


@asynccontextmanager
async def _clickhouse(data_dir: Path) -> AsyncIterator[str]:
    """Runs ClickHouse over the folder's warehouse as a process of its own, and gives its address."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crash.matrix.clickhouse_process"),
        *(str(data_dir / "warehouse"), str(port)),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(BOUND_SECONDS):
            assert await process.stdout.readline() == b"ready\n"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
