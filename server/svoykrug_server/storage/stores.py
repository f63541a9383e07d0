"""Opens both stores as the settings say, for the server and for each command, and closes them again.

Everything slow happens side by side: PostgreSQL starts and ClickHouse opens while Python imports what talks to them.
That is why the imports stand where they do.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

from svoykrug_server.config import Settings
from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.storage.folder import DataFolder, explained
from svoykrug_server.storage.secrets import Secrets

if TYPE_CHECKING:
    from svoykrug_server.storage.embedded import EmbeddedPostgres
    from svoykrug_server.storage.postgres import Postgres
    from svoykrug_server.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Stores:
    """What `open_stores` gives.

    Attributes:
        folder: The data folder.
        secrets: The named secrets.
        postgres: The system of record, migrated.
        embedded: The PostgreSQL that runs in the data folder; None when a URL is set.
    """

    folder: DataFolder
    secrets: Secrets
    postgres: "Postgres"
    embedded: "EmbeddedPostgres | None"


def open_folder(settings: Settings) -> DataFolder:
    """Returns the data folder, made and checked.

    Raises:
        CannotStart: It cannot be used.
    """
    folder = DataFolder(settings.data_dir)
    folder.open(settings.minimum_free_disk_mb)
    return folder


@asynccontextmanager
async def open_stores(settings: Settings, *, migrate: bool = True) -> AsyncIterator[Stores]:
    """Opens PostgreSQL and the secrets, for the length of the block.

    An embedded PostgreSQL is started, or shared with the server that runs, and started again whenever it ends.

    Args:
        settings: Where everything is.
        migrate: Whether pending migrations are applied.

    Raises:
        CannotStart: Something is wrong that a person must mend; the line says what.
    """
    folder = open_folder(settings)
    async with AsyncExitStack() as closing:
        with explained(folder.path):
            secrets = load_secrets(settings, folder)
        starting = _start_embedded(folder) if settings.database_url is None else None
        from svoykrug_server.storage.connecting import connect_postgres  # noqa: PLC0415  0.2 s, while PostgreSQL starts
        from svoykrug_server.storage.migrate import migrate_postgres  # noqa: PLC0415  as above

        embedded = None if starting is None else await _supervised(starting, closing)
        postgres = await connect_postgres(settings, embedded)
        closing.push_async_callback(postgres.close)
        if migrate:
            await migrate_postgres(postgres)
        yield Stores(folder, secrets, postgres, embedded)


@asynccontextmanager
async def open_warehouse(
    settings: Settings,
    folder: DataFolder,
    *,
    migrate: bool = True,
    was_filled: Callable[[], Awaitable[bool]] | None = None,
) -> AsyncIterator["Warehouse"]:
    """Opens the warehouse for the length of the block.

    The embedded engine opens and migrates at once. A server may be away: then it is used as soon as it is back.

    Args:
        settings: Where it is.
        folder: The data folder; only its owner may open the embedded engine in it.
        migrate: Whether pending migrations are applied.
        was_filled: Tells of an empty one whether rows were shipped to it, and has them rebuilt then; None takes an
            empty one for a new one.

    Raises:
        CannotStart: The URL is wrong, the server or the folder refuses us, or a newer program wrote the warehouse.
    """
    from svoykrug_server.storage.connecting import prepare, warehouse_of  # noqa: PLC0415  0.2 s, while PostgreSQL starts

    url = settings.clickhouse_url
    if url is not None:
        check_clickhouse_url(url.get_secret_value())
    warehouse = warehouse_of(settings, folder, migrate=migrate, was_filled=was_filled)
    try:
        await prepare(warehouse)
        yield warehouse
    finally:
        await warehouse.close()


async def want_rebuild_of_shipped(postgres: "Postgres") -> bool:
    """Tells whether rows were ever shipped to ClickHouse; if so, a rebuild of it is wanted from now on."""
    from svoykrug_server.storage import outbox  # noqa: PLC0415  imported while the stores opened

    async with postgres.transaction() as tx:
        return await outbox.want_rebuild_of_shipped(tx, uuid4())


def load_secrets(settings: Settings, folder: DataFolder) -> Secrets:
    """Returns the named secrets, made at the first start unless the settings give them.

    Raises:
        CannotStart: A given secret is missing or damaged.
    """
    inline = settings.secrets
    given = None if inline is None else {name: value.get_secret_value() for name, value in inline.items()}
    return Secrets.load(folder.secrets, settings.secrets_dir, given)


def check_clickhouse_url(url: str) -> None:
    """Refuses a URL that is not one of a ClickHouse HTTP server.

    Raises:
        CannotStart: It is not; the line does not repeat the URL, which may hold a password.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return
    raise CannotStart("SVOYKRUG_CLICKHOUSE_URL is not of the form http://user:password@host:port/.", ExitCode.SETTINGS)


def _start_embedded(folder: DataFolder) -> "asyncio.Future[EmbeddedPostgres]":
    """Begins to start PostgreSQL in a thread, at once."""
    from svoykrug_server.storage.embedded import EmbeddedPostgres  # noqa: PLC0415  only without a database URL

    return asyncio.get_running_loop().run_in_executor(None, EmbeddedPostgres.start, folder)


async def _supervised(starting: "asyncio.Future[EmbeddedPostgres]", closing: AsyncExitStack) -> "EmbeddedPostgres":
    """Waits until PostgreSQL has started; from then on it is started again whenever it ends."""
    embedded = await starting
    closing.push_async_callback(asyncio.to_thread, embedded.stop)
    supervising = asyncio.create_task(embedded.supervise(), name="postgres-supervisor")
    closing.push_async_callback(_end, supervising)
    return embedded


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
