"""The stores every test may use: a real PostgreSQL and a real ClickHouse engine, fresh for each test.

One event loop serves the whole session (see `[tool.pytest.ini_options]`): fixtures of any scope and tests share it.

PostgreSQL is one embedded server for all test runs of this user on this clone: parallel runs share it, the last to end
stops it, and one that outlived a killed run is taken over by the next. A run migrates one template database and each
test gets a copy of it. The ClickHouse engine is one per process; each test gets a database of its own.
"""

import hashlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import asyncpg
import clickhouse_connect
import hypothesis
import psutil
import pytest

from svoykrug_server.config import Settings
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.startup import CannotStart
from svoykrug_server.rpc.logs import configure_logging
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.folder import DataFolder
from svoykrug_server.storage.migrate import migrate_postgres
from svoykrug_server.storage.migrate_warehouse import migrate_warehouse
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.warehouse import Warehouse, WarehouseOptions
from tests.capture import CAPTURE, watch

NUMBERS = count(1)
# How long an example takes says how busy the machine is. Examples do not vary: a red run shall be about the change.
hypothesis.settings.register_profile("svoykrug", deadline=None, derandomize=True)
hypothesis.settings.load_profile("svoykrug")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds what `make soak` turns up, and where pictures go."""
    parser.addoption("--fuzz-messages", type=int, default=40, help="how many bent messages every method is sent")
    parser.addoption("--crash-runs", type=int, default=8, help="how often something is killed in the crash matrix")
    parser.addoption("--pictures", type=Path, help="where the pictures of the documentation are written: docs/pictures")
    parser.addoption("--members", type=int, default=30_000, help="how many there are when plans are read")
    parser.addoption("--rotation-rounds", type=int, default=2, help="how many signing keys are rotated under load")


def pytest_configure() -> None:
    """Listens to Ctrl-C: what a shell starts in the background ignores it, and so would the programs of tests."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the search of what the whole run told at its end."""
    items.sort(key=lambda item: item.path.name == "test_nothing_personal_is_told.py")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keeps what a test printed and logged, and what the code in it did."""
    if report.when == "teardown":
        for _, text in report.sections:
            CAPTURE.tell(text)


@pytest.fixture(autouse=True, scope="session")
def _watched() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        watch(monkeypatch, CAPTURE)
        yield


@pytest.fixture(autouse=True)
def _logged_as_in_production() -> None:
    configure_logging(human=False, level="DEBUG")


def reachable_folder(prefix: str) -> Path:
    """Makes a temporary folder that PostgreSQL's unprivileged user can pass; pytest's own, under root, it cannot."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o711)
    return folder


def connection_url(server: EmbeddedPostgres, database: str) -> str:
    """Returns the URL of another database on the same server."""
    return f"{server.url.rpartition('/')[0]}/{database}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """The shared PostgreSQL; tests that stop or kill a PostgreSQL start their own."""
    clone = hashlib.sha256(str(Path(__file__).resolve().parent).encode()).hexdigest()[:8]
    path = Path(tempfile.gettempdir()) / f"svoykrug-tests-{os.geteuid()}-{clone}"
    folder = DataFolder(path)
    try:
        folder.open(0)
        server = EmbeddedPostgres.start(folder, durable=False)
    except CannotStart:  # It is not durable: after a crash of the machine it may be beyond repair.
        shutil.rmtree(path)
        folder.open(0)
        server = EmbeddedPostgres.start(folder, durable=False)
    yield server
    server.stop()


@pytest.fixture(scope="session")
async def postgres_template(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The name of a migrated, empty database to copy."""
    name = f"template_{os.getpid()}"
    admin = await asyncpg.connect(connection_url(postgres_server, "postgres"))
    await drop_leftovers(admin)
    await admin.execute(f"CREATE DATABASE {name}")
    template = await Postgres.connect(PostgresOptions(connection_url(postgres_server, name)))
    await migrate_postgres(template)
    await template.close()
    await admin.close()
    yield name
    admin = await asyncpg.connect(connection_url(postgres_server, "postgres"))
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def drop_leftovers(admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Drops the databases of test runs that were killed."""
    rows = await admin.fetch("SELECT datname FROM pg_database WHERE datname ~ '^(test|template)_[0-9]+'")
    for (name,) in rows:
        if not psutil.pid_exists(int(name.split("_")[1])):
            await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
async def postgres_url(postgres_server: EmbeddedPostgres, postgres_template: str) -> AsyncIterator[str]:
    """The URL of a fresh, migrated database, for tests that open connections or servers of their own."""
    name = f"test_{os.getpid()}_{next(NUMBERS)}"
    admin = await asyncpg.connect(connection_url(postgres_server, "postgres"))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {postgres_template} STRATEGY FILE_COPY")
    yield connection_url(postgres_server, name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[Postgres]:
    """The system of record: fresh, migrated, empty."""
    opened = await Postgres.connect(PostgresOptions(postgres_url))
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def warehouse_folder() -> Iterator[Path]:
    """Where this process's ClickHouse engine lives: one path per process, kept open from here to the end."""
    folder = reachable_folder("svoykrug-warehouse-")
    anchor = clickhouse_connect.get_client(interface="chdb", path=str(folder))
    yield folder
    anchor.close()
    shutil.rmtree(folder)


@pytest.fixture
async def warehouse(warehouse_folder: Path) -> AsyncIterator[Warehouse]:
    """The analytics copy: a database of its own in the embedded engine, migrated, empty."""
    name = f"test_{next(NUMBERS)}"
    opened = Warehouse(WarehouseOptions(str(warehouse_folder), database=name), migrate_warehouse)
    await opened.prepare()
    yield opened
    await opened.command(f"DROP DATABASE {name}")
    await opened.close()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at noon of 1 June 2026 UTC until it is moved."""
    return ManualClock(datetime(2026, 6, 1, 12, tzinfo=UTC))


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A fresh data folder's place, which PostgreSQL's user can reach; nothing is there yet."""
    parent = reachable_folder("svoykrug-data-")
    yield parent / "data"
    shutil.rmtree(parent)


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    """The default settings in a fresh data folder, whatever the environment says."""
    return isolated_settings(data_dir=data_dir)


def isolated_settings(**values: object) -> Settings:
    """Returns settings made of the values alone: neither the environment nor a `.env` file counts.

    Tests call faster than people do, so how often one caller may call is not limited, unless a value says it.
    """
    defaults = Settings.model_construct().model_dump()
    return Settings.model_validate({**defaults, "max_calls_per_second_per_caller": 1_000_000, **values})
