"""The warehouse, embedded and over HTTP, by the same code and the same tests."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from svoykrug_server.kit.errors import DomainError, WarehouseUnavailable
from svoykrug_server.storage import client_threads, warehouse
from svoykrug_server.storage.warehouse import Warehouse, WarehouseOptions
from tests.conftest import NUMBERS
from tests.storage.clickhouse_http import ClickHouseServer, clickhouse_server
from tests.waiting import until

TABLE = (
    "CREATE TABLE IF NOT EXISTS sales (number Int64, sale_time DateTime64(6, 'UTC')) "
    "ENGINE = MergeTree ORDER BY number SETTINGS non_replicated_deduplication_window = 100"
)
NOON = datetime(2026, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)
ENDLESS = "SELECT count() FROM system.numbers WHERE number % 7 = 8"
RUNNING = "SELECT count() FROM system.processes WHERE query LIKE '%% 7%' AND query NOT LIKE '%system.processes%'"


def make_table(client: Client) -> None:
    client.command(TABLE)


def locations() -> list[str]:
    """Returns the kinds of warehouse to test: a real server only where one is given."""
    return ["embedded", "http", *(["server"] if "SVOYKRUG_TEST_CLICKHOUSE_URL" in os.environ else [])]


@pytest.fixture
async def http_server(warehouse_folder: Path) -> AsyncIterator[ClickHouseServer]:
    """The HTTP interface over this process's embedded engine."""
    async with clickhouse_server(str(warehouse_folder)) as server:
        yield server


def options_of(location: str) -> WarehouseOptions:
    return WarehouseOptions(location, database=f"test_{next(NUMBERS)}", timeout_seconds=20.0)


@pytest.fixture(params=locations())
async def store(
    request: pytest.FixtureRequest, warehouse_folder: Path, http_server: ClickHouseServer
) -> AsyncIterator[Warehouse]:
    """A warehouse with the table `sales`."""
    places = {"embedded": str(warehouse_folder), "http": http_server.url}
    opened = Warehouse(options_of(places.get(request.param) or os.environ["SVOYKRUG_TEST_CLICKHOUSE_URL"]), make_table)
    yield opened
    await opened.command(f"DROP DATABASE {opened.database}")
    await opened.close()


def sales(*numbers: int) -> pa.Table:
    times = pa.array([NOON] * len(numbers), pa.timestamp("us", tz="UTC"))
    return pa.table({"number": pa.array(numbers, pa.int64()), "sale_time": times})


async def count(store: Warehouse) -> int:
    return int((await store.query("SELECT count() FROM sales"))[0][0])


async def test_rows_come_back_as_they_went_in(store: Warehouse) -> None:
    await store.insert_arrow("sales", sales(1, -(2**63)), "token")
    assert await store.query("SELECT number, sale_time FROM sales ORDER BY number") == [(-(2**63), NOON), (1, NOON)]
    table = await store.query_arrow("SELECT number, sale_time FROM sales ORDER BY number")
    assert table.column("number").to_pylist() == [-(2**63), 1]
    assert table.column("sale_time").to_pylist() == [NOON, NOON]
    assert table.schema.field("sale_time").type == pa.timestamp("us", tz="UTC")


async def test_values_are_bound_and_never_part_of_the_statement(store: Warehouse) -> None:
    hostile = "'; DROP TABLE sales; --"
    number = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    rows = await store.query(
        "SELECT {text:String}, {id:UUID}, {at:DateTime64(6, 'UTC')}", {"text": hostile, "id": number, "at": NOON}
    )
    assert rows == [(hostile, number, NOON)]
    assert await count(store) == 0


async def test_tens_of_thousands_of_values_reach_every_kind_of_statement(store: Warehouse) -> None:
    ids, numbers = [uuid4() for _ in range(20_000)], list(range(20_000))
    values = {"ids": ids, "numbers": numbers, "one": ids[-1]}
    found = "{one:UUID} IN {ids:Array(UUID)}, indexOf({ids:Array(UUID)}, {one:UUID}), length({numbers:Array(Int64)})"
    doubled = (
        "SELECT transform(number, {numbers:Array(Int64)}, {doubled:Array(Int64)}, -1) AS number FROM numbers(20000)"
    )
    pairs = "SELECT count() FROM (SELECT arrayJoin(arrayZip({ids:Array(UUID)}, {numbers:Array(Int64)})))"
    with_doubles = {"numbers": numbers, "doubled": [2 * number for number in numbers]}

    assert await store.query(f"SELECT {found}", values) == [(1, 20_000, 20_000)]
    assert await store.query(pairs, values) == [(20_000,)]
    assert (await store.query_arrow(doubled, with_doubles)).column("number").to_pylist() == with_doubles["doubled"]
    await store.command(f"INSERT INTO sales (number) {doubled}", with_doubles)
    assert await store.query("SELECT count(), sum(number) FROM sales") == [(20_000, sum(with_doubles["doubled"]))]


async def test_the_same_token_inserts_once_however_often_it_comes(store: Warehouse) -> None:
    for _ in range(3):
        await store.insert_arrow("sales", sales(1, 2), "batch-1")
    await store.insert_arrow("sales", sales(1, 2), "batch-2")
    assert await count(store) == 4


async def test_a_large_insert_is_one_block(store: Warehouse) -> None:
    chunks = pa.concat_tables([sales(*range(start, start + 50_000)) for start in range(0, 300_000, 50_000)])
    await store.insert_arrow("sales", chunks, "large")
    parts = "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'sales' AND level = 0"
    assert await store.query(parts) == [(1,)]
    assert await count(store) == 300_000


@pytest.mark.parametrize("background", [False, True])
async def test_cancelling_the_task_kills_its_statement_in_the_engine(store: Warehouse, background: bool) -> None:
    async def running() -> int:
        return int((await store.query(RUNNING))[0][0])

    async def is_running(expected: int) -> bool:
        return await running() == expected

    task = asyncio.create_task(store.query(ENDLESS, background=background))
    await until(lambda: is_running(1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: is_running(0))


async def test_a_queued_statement_that_is_cancelled_never_runs(store: Warehouse) -> None:
    busy = [asyncio.create_task(store.query(ENDLESS)) for _ in range(4)]

    async def all_busy() -> bool:
        return int((await store.query(RUNNING, background=True))[0][0]) == 4

    await until(all_busy)
    queued = asyncio.create_task(store.insert_arrow("sales", sales(1), "queued"))
    await asyncio.wait([queued], timeout=0.05)
    queued.cancel()
    for task in busy:
        task.cancel()
    await asyncio.wait([queued, *busy])
    assert await count(store) == 0


async def test_closing_ends_what_still_runs(store: Warehouse) -> None:
    other = Warehouse(store.options, make_table)
    task = asyncio.create_task(other.query(ENDLESS))

    async def is_running() -> bool:
        return int((await store.query(RUNNING))[0][0]) == 1

    await until(is_running)
    before = time.monotonic()
    await other.close()
    assert time.monotonic() - before < 10
    await asyncio.wait([task])
    assert task.exception() is not None


async def test_background_work_gets_few_threads(store: Warehouse) -> None:
    threads = "SELECT getSetting('max_threads')"
    assert await store.query(threads, background=True) == [(1,)]
    assert (await store.query(threads))[0][0] != 1 or os.cpu_count() == 1


async def test_the_engine_in_process_gives_the_memory_of_a_heavy_statement_back(
    warehouse_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_threads, "HEAVY_SECONDS", 0.0)
    store, process = Warehouse(options_of(str(warehouse_folder)), make_table), psutil.Process()
    await store.prepare()
    before = process.memory_info().rss
    assert await store.query("SELECT length(groupArray(number)) FROM numbers(20000000)") == [(20_000_000,)]
    assert process.memory_info().rss - before < 200_000_000
    await store.command(f"DROP DATABASE {store.database}")
    await store.close()


async def test_a_statement_over_the_limit_is_a_deadline_exceeded(store: Warehouse) -> None:
    impatient = Warehouse(WarehouseOptions(store.options.location, store.database, timeout_seconds=0.2), make_table)
    with pytest.raises(DomainError) as refusal:
        await impatient.query(ENDLESS)
    assert refusal.value.reason == "DEADLINE_EXCEEDED"
    await impatient.close()


async def test_a_mistake_in_a_statement_is_told_as_it_is(store: Warehouse) -> None:
    with pytest.raises(DatabaseError) as mistake:
        await store.query("SELECT nothing FROM numbers(1)")
    assert mistake.value.code == 47


async def test_a_table_that_somebody_dropped_is_unavailable(store: Warehouse) -> None:
    await store.command("CREATE TABLE lost (number UInt8) ENGINE = MergeTree ORDER BY number")
    await store.command("DROP TABLE lost SYNC")
    with pytest.raises(WarehouseUnavailable):
        await store.query("SELECT number FROM lost")


async def test_a_database_that_somebody_dropped_is_unavailable_until_it_is_made_again(store: Warehouse) -> None:
    await store.command(f"DROP DATABASE `{store.database}` SYNC")
    with pytest.raises(WarehouseUnavailable):
        await store.query("SELECT number FROM sales")
    await store.make_database()
    assert await store.query("SHOW TABLES") == []


async def test_statements_run_side_by_side(store: Warehouse) -> None:
    await store.prepare()
    before = time.monotonic()
    await asyncio.gather(*(store.query("SELECT sleep(1.5)") for _ in range(4)))
    assert time.monotonic() - before < 5.7


async def test_a_server_that_goes_away_is_unavailable_and_back_by_itself(http_server: ClickHouseServer) -> None:
    store = Warehouse(options_of(http_server.url), make_table)
    await store.insert_arrow("sales", sales(1), "one")
    await http_server.stop()
    with pytest.raises(WarehouseUnavailable) as refusal:
        await count(store)
    assert refusal.value.retry_after is not None
    await http_server.start()
    assert await count(store) == 1
    await store.command(f"DROP DATABASE {store.database}")
    await store.close()


async def test_a_server_that_is_away_at_start_is_migrated_when_it_comes(http_server: ClickHouseServer) -> None:
    await http_server.stop()
    store = Warehouse(options_of(http_server.url), make_table)
    for _ in range(2):
        with pytest.raises(WarehouseUnavailable):
            await count(store)
    await http_server.start()

    async def answers() -> bool:
        try:
            return await count(store) == 0
        except WarehouseUnavailable:
            return False

    await until(answers)
    await store.command(f"DROP DATABASE {store.database}")
    await store.close()


async def silenced(server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch) -> tuple[Warehouse, "asyncio.Task[int]"]:
    """Returns a warehouse whose server has fallen silent, and a statement that waits for it; patience is short then."""
    monkeypatch.setattr(warehouse, "KILL_SECONDS", 1.0)
    store = Warehouse(replace(options_of(server.url), connections=1), make_table)
    assert await count(store) == 0
    monkeypatch.setattr(warehouse, "CONNECT_SECONDS", 1)
    server.is_silent = True
    waiting = asyncio.create_task(count(store))
    await until(lambda: server.unanswered == 1)
    return store, waiting


async def test_closing_does_not_wait_for_a_silent_server(
    http_server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_threads, "CLOSE_SECONDS", 0.2)
    store, waiting = await silenced(http_server, monkeypatch)
    async with asyncio.timeout(10):
        await store.close()
    with pytest.raises(WarehouseUnavailable):
        await waiting


async def test_a_cancelled_statement_of_a_silent_server_frees_its_thread(
    http_server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, waiting = await silenced(http_server, monkeypatch)
    waiting.cancel()
    await asyncio.wait([waiting])
    await until(lambda: http_server.unanswered >= 2)
    http_server.is_silent = False
    async with asyncio.timeout(10):
        assert await count(store) == 0
    await store.close()


async def test_a_server_that_is_silent_at_start_is_unavailable(
    http_server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warehouse, "CONNECT_SECONDS", 1)
    http_server.is_silent = True
    store = Warehouse(options_of(http_server.url), make_table)
    async with asyncio.timeout(10):
        with pytest.raises(WarehouseUnavailable):
            await store.prepare()
    await store.close()


async def test_many_first_statements_migrate_once(warehouse_folder: Path) -> None:
    calls: list[int] = []

    def migrate(client: Client) -> None:
        calls.append(threading.get_ident())
        make_table(client)

    store = Warehouse(options_of(str(warehouse_folder)), migrate)
    assert await asyncio.gather(*(count(store) for _ in range(8))) == [0] * 8
    assert len(calls) == 1
    await store.command(f"DROP DATABASE {store.database}")
    await store.close()
