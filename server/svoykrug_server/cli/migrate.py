"""`svoykrug migrate`: brings both stores to the newest schema."""

from functools import partial

from svoykrug_server.config import Settings
from svoykrug_server.storage.migrate import SchemaState, migrate_postgres
from svoykrug_server.storage.stores import open_folder, open_stores, open_warehouse, want_rebuild_of_shipped


async def migrate_stores(settings: Settings) -> list[str]:
    """Migrates what no running server keeps, and returns what it did in plain words.

    Raises:
        CannotStart: Something is wrong that a person must mend.
    """
    folder = open_folder(settings)
    owner = folder.owner()
    async with open_stores(settings, migrate=False) as stores:
        lines = [f"PostgreSQL: {_done(await migrate_postgres(stores.postgres))}"]
        if settings.clickhouse_url is None and owner is not None:
            return [*lines, f"ClickHouse: process {owner.get('pid')} serves and has migrated it at its start"]
        was_filled = partial(want_rebuild_of_shipped, stores.postgres)
        with folder.owned({}):
            async with open_warehouse(settings, folder, was_filled=was_filled) as warehouse:
                await warehouse.prepare()
    return [*lines, "ClickHouse: at the newest schema"]


def _done(before: SchemaState) -> str:
    if before.is_current:
        return f"at {before.newest}, the newest, already"
    return f"from {before.applied} to {before.newest}"
