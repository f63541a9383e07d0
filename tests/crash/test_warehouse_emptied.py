"""On an emptied warehouse a server says that analytics is away until all of it is back, and never shows less."""

import asyncio
import shutil
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date, timedelta
from itertools import cycle
from pathlib import Path

from google.type.date_pb2 import Date
from svoykrug.analytics.v1.analytics_service_pb2 import GetDashboardRequest
from svoykrug.analytics.v1.dashboard_pb2 import Dashboard
from svoykrug.errors import SvoyKrugError

from svoykrug_client import Client, ServiceKey
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.stores import open_folder
from tests.auth.sms_providers import free_port
from tests.crash import proof
from tests.crash.own_rows import BATCH_ROWS, OwnCircle, add_circle
from tests.crash.server_process import ServerProcess, environment, settings_of, started
from tests.waiting import until

BATCHES, ENOUGH, AWAY = 4, 20, "WAREHOUSE_UNAVAILABLE"
BOUND_SECONDS = 60.0
LEISURELY = {"PROOF_INTERVAL_SECONDS": "2"}
"""Long enough to be asked before anything is mended."""
_ROOT = Path(__file__).parents[2]


async def january(client: Client, circle: OwnCircle, more_days: int = 0) -> Dashboard:
    """Returns the dashboard of the days on which members bought, and some more on which nobody did."""
    end = date(2025, 2, 1) + timedelta(days=more_days)
    request = GetDashboardRequest(
        business_id=str(circle.business_id),
        from_date=Date(year=2025, month=1, day=1),
        to_date=Date(year=end.year, month=end.month, day=end.day),
    )
    return (await client.analytics.GetDashboard(request)).dashboard


async def asked(client: Client, circle: OwnCircle, more_days: int = 0) -> Dashboard | str:
    """Returns the dashboard, or why it is refused."""
    try:
        return await january(client, circle, more_days)
    except SvoyKrugError as refusal:
        return refusal.reason


async def never_less(server: ServerProcess, key: ServiceKey, circle: OwnCircle, truth: Dashboard) -> None:
    """Asks from the first moment on, until enough answers are whole."""
    whole = 0
    async with Client(await server.target(), insecure=True, service_key=key) as client:
        async with asyncio.timeout(BOUND_SECONDS):
            while whole < ENOUGH:
                told = await asked(client, circle)
                assert told in (AWAY, truth)
                whole += told == truth
        fresh = await proof.settled_freshness(client)
        assert fresh.postgres.entry_count == fresh.clickhouse.entry_count == BATCHES * BATCH_ROWS


async def filled(server: ServerProcess, key: ServiceKey, postgres: Postgres) -> tuple[OwnCircle, Dashboard]:
    """Imports rows and waits until they are shipped; returns who bought, and the dashboard of it."""
    circle = await add_circle(postgres)
    async with Client(await server.target(), insecure=True, service_key=key) as client:
        await client.import_purchases(str(circle.business_id), list(circle.rows(BATCHES)), batch_rows=BATCH_ROWS)
        await proof.settled_freshness(client)
        truth = await january(client, circle)
    assert truth.period.purchase_count == BATCHES * BATCH_ROWS
    return circle, truth


async def test_a_server_whose_folder_of_clickhouse_was_deleted_never_shows_less(data_dir: Path) -> None:
    key = await proof.service_key(data_dir)
    async with running_postgres(data_dir) as (postgres, _):
        async with started(data_dir) as server:
            circle, truth = await filled(server, key, postgres)
        shutil.rmtree(data_dir / "warehouse")
        async with started(data_dir, **LEISURELY) as server:
            await never_less(server, key, circle, truth)


async def test_servers_and_workers_given_an_empty_clickhouse_never_show_less(data_dir: Path) -> None:
    key = await proof.service_key(data_dir)
    async with AsyncExitStack() as closing:
        postgres, postgres_url = await closing.enter_async_context(running_postgres(data_dir))
        clickhouse_url = await closing.enter_async_context(clickhouse(data_dir))
        urls = {"DATABASE_URL": postgres_url, "CLICKHOUSE_URL": clickhouse_url}
        async with started(data_dir, **urls) as server:
            circle, truth = await filled(server, key, postgres)
        await asyncio.to_thread(drop_database, clickhouse_url)
        async with started(data_dir, BACKGROUND_WORK="false", **urls) as server:
            async with Client(await server.target(), insecure=True, service_key=key) as client:
                told = await asyncio.gather(*(asked(client, circle) for _ in range(ENOUGH)))
            async with working(data_dir, **urls, **LEISURELY):
                await never_less(server, key, circle, truth)
    assert told == [AWAY] * ENOUGH


async def test_a_running_server_whose_clickhouse_is_emptied_never_shows_less(data_dir: Path) -> None:
    key, log_file = await proof.service_key(data_dir), data_dir.parent / "server.log"
    async with AsyncExitStack() as closing:
        postgres, postgres_url = await closing.enter_async_context(running_postgres(data_dir))
        clickhouse_url = await closing.enter_async_context(clickhouse(data_dir))
        urls = {"DATABASE_URL": postgres_url, "CLICKHOUSE_URL": clickhouse_url}
        async with started(data_dir, **urls, **LEISURELY) as server:
            circle, _ = await filled(server, key, postgres)
            await asyncio.to_thread(drop_database, clickhouse_url)
            async with Client(await server.target(), insecure=True, service_key=key) as client:
                async with asyncio.timeout(BOUND_SECONDS):
                    for days in cycle(range(1, 300)):
                        told = await asked(client, circle, days)
                        assert told == AWAY or is_whole(told)
                        if is_whole(told) and "rebuild_done" in log_file.read_text("utf-8"):
                            break
            assert "warehouse_tables_lost" in log_file.read_text("utf-8")


def is_whole(told: Dashboard | str) -> bool:
    """Tells whether a dashboard shows all purchases."""
    return isinstance(told, Dashboard) and told.period.purchase_count == BATCHES * BATCH_ROWS


def drop_database(url: str) -> None:
    """Leaves ClickHouse as if it were new."""
    request = urllib.request.Request(f"{url}/?database=default", b"DROP DATABASE svoykrug SYNC")  # noqa: S310  our own
    urllib.request.urlopen(request, timeout=BOUND_SECONDS).close()  # noqa: S310  as above


@asynccontextmanager
async def running_postgres(data_dir: Path) -> AsyncIterator[tuple[Postgres, str]]:
    """Keeps the folder's PostgreSQL up, and gives a connection to it and its address."""
    embedded = await asyncio.to_thread(EmbeddedPostgres.start, open_folder(settings_of(data_dir)))
    postgres = await Postgres.connect(PostgresOptions(embedded.url))
    try:
        yield postgres, embedded.url
    finally:
        await postgres.close()
        await asyncio.to_thread(embedded.stop)


@asynccontextmanager
async def clickhouse(data_dir: Path) -> AsyncIterator[str]:
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


@asynccontextmanager
async def working(data_dir: Path, **settings: str) -> AsyncIterator[None]:
    """Runs a worker with the secrets of the folder."""
    ready_file = data_dir.parent / "worker.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "svoykrug_server", "worker"),
        env=environment(data_dir, READY_FILE=str(ready_file), **settings),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(lambda: ready_file.exists() or process.returncode is not None, BOUND_SECONDS)
        assert process.returncode is None
        yield
    finally:
        process.terminate()
        await process.wait()
