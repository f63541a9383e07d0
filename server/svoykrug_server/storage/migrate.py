"""Brings PostgreSQL to the newest schema by Alembic.

In one transaction under an advisory lock, so that servers that start together migrate once.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.pool import NullPool

from svoykrug_server.storage.folder import newer
from svoykrug_server.storage.postgres import Postgres, UndefinedTable, open_engine

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 5_001_250
"""The advisory lock of whoever migrates PostgreSQL; any number that nobody else uses."""


@dataclass(frozen=True, slots=True)
class SchemaState:
    """How far a store's schema is.

    Attributes:
        applied: The number of the last migration applied, `0000` when none is.
        newest: The number of the newest migration this program knows.
    """

    applied: str
    newest: str

    @property
    def is_current(self) -> bool:
        """Whether nothing is left to apply."""
        return self.applied == self.newest


async def postgres_state(postgres: Postgres) -> SchemaState:
    """Returns how far PostgreSQL's schema is."""
    async with postgres.read() as connection:
        try:
            # Which migration was applied last?
            applied = await connection.fetchval("SELECT version_num FROM alembic_version")
        except UndefinedTable:
            applied = None
    return SchemaState(applied or "0000", newest_number(MIGRATIONS / "postgres" / "versions"))


async def migrate_postgres(postgres: Postgres) -> SchemaState:
    """Applies every pending migration and returns the state before; costs one query when there is none.

    Raises:
        CannotStart: A newer program migrated the database.
        StoreUnavailable: The database is away.
    """
    before = await postgres_state(postgres)
    if before.applied > before.newest:
        raise newer(f"The PostgreSQL database (schema {before.applied}, this program knows {before.newest})")
    if not before.is_current:
        engine = open_engine(postgres.url, poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
        await engine.dispose()
    return before


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415  200 ms that a server with nothing to migrate does not spend
    from alembic.config import Config  # noqa: PLC0415  as above

    # Is anybody else migrating? (waits until they have finished)
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS / "postgres").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")


def numbered_files(folder: Path) -> list[Path]:
    """Returns the files of a folder whose names begin with four digits and an underscore, in order."""
    return sorted(file for file in folder.iterdir() if re.match(r"\d{4}_", file.name))


def newest_number(folder: Path) -> str:
    """Returns the number of the newest migration in a folder, `0000` when it has none."""
    files = numbered_files(folder)
    return files[-1].name[:4] if files else "0000"
