"""Brings ClickHouse to the newest schema by numbered SQL files, each remembered in `schema_migrations`.

Their statements are repeatable (`IF NOT EXISTS`), because ClickHouse has no transactions.
"""

import re
from collections.abc import Callable

from clickhouse_connect.driver.client import Client

from svoykrug_server.storage.folder import newer
from svoykrug_server.storage.migrate import MIGRATIONS, SchemaState, newest_number, numbered_files

_PURCHASES = re.compile(r"(TABLE (?:IF NOT EXISTS )?)purchases\b")
_MADE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+)", re.MULTILINE)
_NEVER_MIGRATED = "0000"


def warehouse_state(client: Client) -> SchemaState:
    """Returns how far ClickHouse's schema is; `client` uses our database."""
    # Which migrations were applied?
    client.command(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version String, name String, applied_time DateTime64(6, 'UTC')) "
        "ENGINE = MergeTree ORDER BY version"
    )
    # Which migration was applied last?
    applied = client.query("SELECT max(version) FROM schema_migrations").result_rows[0][0]
    return SchemaState(applied or _NEVER_MIGRATED, newest_number(MIGRATIONS / "clickhouse"))


def is_new(client: Client) -> bool:
    """Tells whether no migration was ever applied: the warehouse is new, or all of it was lost."""
    return warehouse_state(client).applied == _NEVER_MIGRATED


def migrate_warehouse(client: Client) -> None:
    """Applies every pending migration; `client` uses our database.

    Where somebody dropped the `purchases` of an older schema, that table is left to a rebuild.

    Raises:
        CannotStart: A newer program migrated the warehouse.
    """
    state = warehouse_state(client)
    # Is the table there that pending files may alter?
    is_there = client.query("EXISTS TABLE purchases").result_rows[0][0]
    if _NEVER_MIGRATED < state.applied < state.newest and not is_there:
        _migrate(client, for_rebuild, again=_PURCHASES.search)
    else:
        _migrate(client, lambda statement: statement)


def migrate_lost_warehouse(client: Client) -> None:
    """Applies every migration to a warehouse that was lost, or that lost some tables, but makes no `purchases`.

    That table comes back whole, by a rebuild: an empty one would be read as if nobody had ever bought anything.

    Raises:
        CannotStart: A newer program migrated the warehouse.
    """
    _migrate(client, for_rebuild, again=lambda _: True)


def table_names() -> frozenset[str]:
    """Returns which tables a warehouse has."""
    files = numbered_files(MIGRATIONS / "clickhouse")
    return frozenset(name for file in files for name in _MADE.findall(file.read_text())) | {"schema_migrations"}


def for_rebuild(statement: str) -> str:
    """Returns a statement of a migration with the table that a rebuild fills in the place of `purchases`."""
    return _PURCHASES.sub(r"\1purchases_rebuilt", statement)


def _migrate(
    client: Client, adapted: Callable[[str], str], *, again: Callable[[str], object] = lambda _: False
) -> None:
    """Applies the files that are pending, and of the others the statements that are to be repeated."""
    state = warehouse_state(client)
    if state.applied > state.newest:
        raise newer(f"The ClickHouse database (schema {state.applied}, this program knows {state.newest})")
    for file in numbered_files(MIGRATIONS / "clickhouse"):
        is_pending = file.stem[:4] > state.applied
        for statement in statements(file.read_text()):
            if is_pending or again(statement):
                client.command(adapted(statement))
        if is_pending:
            # Remember that this file was applied.
            client.command(
                "INSERT INTO schema_migrations SELECT {version:String}, {name:String}, now64(6, 'UTC')",
                {"version": file.stem[:4], "name": file.stem},
            )


def leave_unmigrated(client: Client) -> None:
    """Changes no table of ours: for whoever only looks. Makes `schema_migrations`, so that it can be asked."""
    warehouse_state(client)


def statements(sql: str) -> list[str]:
    """Splits a migration file into its statements: each ends with a semicolon at the end of a line."""
    without_comments = re.sub(r"^\s*--.*$", "", sql, flags=re.MULTILINE)
    return [part.strip() for part in re.split(r";[ \t]*(?:\n|$)", without_comments) if part.strip()]
