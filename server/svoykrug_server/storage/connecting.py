"""Connects to PostgreSQL as the settings say, or says in one line why it cannot."""

from urllib.parse import urlsplit

import asyncpg

from svoykrug_server.config import Settings
from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.postgres import Postgres, PostgresOptions


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


def _place(url: str) -> str:
    """Returns host, port and database of a URL, without user and password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path}"
