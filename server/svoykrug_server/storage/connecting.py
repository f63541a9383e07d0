"""Connects to both stores as the settings say, or says in one line why it cannot."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import asyncpg
import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from svoykrug_server.config import Settings
from svoykrug_server.kit.errors import StoreUnavailable, WarehouseUnavailable
from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.folder import DataFolder
from svoykrug_server.storage.migrate_warehouse import (
    is_new,
    leave_unmigrated,
    migrate_lost_warehouse,
    migrate_warehouse,
)
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.warehouse import LossCheck, Warehouse, WarehouseOptions

log = structlog.get_logger(__name__)


async def connect_postgres(settings: Settings, embedded: EmbeddedPostgres | None) -> Postgres:
    """Connects to the embedded PostgreSQL, or to the one whose URL is set.

    Raises:
        CannotStart: The URL is wrong, the server cannot be reached, or it refuses user, password or database.
    """
    url = settings.database_url.get_secret_value() if settings.database_url is not None else ""
    url = url if embedded is None else embedded.url
    options = PostgresOptions(
        url=url,
        transaction_connections=settings.database_transaction_connections,
        read_connections=settings.database_read_connections,
        connect_timeout_seconds=settings.database_connect_timeout_seconds,
        statement_timeout_seconds=settings.database_statement_timeout_seconds,
    )
    try:
        return await Postgres.connect(options)
    except ValueError as error:
        raise CannotStart(f"SVOYKRUG_DATABASE_URL: {error}.", ExitCode.SETTINGS) from error
    except StoreUnavailable as error:
        raise CannotStart(
            f"PostgreSQL at {_place(url)} cannot be reached. Is it running?", ExitCode.POSTGRES
        ) from error
    except asyncpg.PostgresError as error:
        raise CannotStart(f"PostgreSQL at {_place(url)} refuses us: {error}.", ExitCode.POSTGRES) from error


def warehouse_of(
    settings: Settings, folder: DataFolder, *, migrate: bool, was_filled: Callable[[], Awaitable[bool]] | None
) -> Warehouse:
    """Returns the warehouse of the settings, not yet connected.

    Args:
        settings: Where it is; the URL is one.
        folder: The data folder, for the embedded engine.
        migrate: Whether pending migrations are applied when it is prepared.
        was_filled: Tells of an empty one whether rows were shipped to it, and has them rebuilt then.
    """
    url = settings.clickhouse_url
    options = WarehouseOptions(
        location=str(folder.warehouse) if url is None else url.get_secret_value(),
        database=settings.clickhouse_database,
        connections=settings.clickhouse_connections,
        background_connections=settings.clickhouse_background_connections,
        background_threads=settings.clickhouse_background_threads,
        timeout_seconds=settings.clickhouse_timeout_seconds,
    )
    if not migrate:
        return Warehouse(options, leave_unmigrated)
    loss = None if was_filled is None else LossCheck(is_new, was_filled, migrate_lost_warehouse)
    return Warehouse(options, migrate_warehouse, loss)


async def prepare(warehouse: Warehouse) -> None:
    """Opens the embedded engine, or connects to the server if it is there, and migrates.

    Raises:
        CannotStart: The engine or the server refuses us, or a newer program wrote the warehouse.
    """
    if not warehouse.options.is_server:
        import chdb  # noqa: F401, PLC0415  in this thread, as every import; another one then opens the engine
    try:
        await warehouse.prepare()
    except WarehouseUnavailable:
        log.warning("warehouse_away", hint="analytics answers UNAVAILABLE until it is back")
    except ClickHouseError as error:
        reason = str(error).strip().splitlines()[0]
        raise CannotStart(f"ClickHouse refuses us: {reason}", ExitCode.WAREHOUSE) from error


def _place(url: str) -> str:
    """Returns host, port and database of a URL, without user and password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path}"
