"""Reads whatever the features declared about a person, row by row, as JSON values."""

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any

import asyncpg

from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.storage.hot_pool import LOST
from svoykrug_server.storage.personal_data import Person, PersonalRows, WarehouseRows, bound
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users.personal_data.model import ExportedRow, Json

PAGE_ROWS = 500
"""How many rows of the warehouse are read at once; they are narrow."""
FETCHED_ROWS = 50
"""How many rows of PostgreSQL are."""
SECRET = "(secret)"  # noqa: S105  what stands in place of one

# Which columns has this table of the warehouse?
_WAREHOUSE_COLUMNS = """
    SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} ORDER BY position
"""


class HerRows:
    """The rows about one person, in one snapshot of PostgreSQL.

    Args:
        connection: In a transaction that sees one snapshot.
        warehouse: The analytics copy.
        person: Who she is.
    """

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", warehouse: Warehouse, person: Person) -> None:
        self._connection = connection
        self._warehouse = warehouse
        self._person = person

    @classmethod
    @asynccontextmanager
    async def reading(cls, postgres: Postgres, warehouse: Warehouse, person: Person) -> "AsyncIterator[HerRows]":
        """Gives the rows for the length of the block, through a connection of their own.

        Raises:
            StoreUnavailable: The database is away.
        """
        connection = await postgres.dedicated()
        try:
            await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield cls(connection, warehouse, person)
        except LOST as error:
            raise StoreUnavailable from error
        finally:
            await connection.close()

    def rows(self, kept: PersonalRows | WarehouseRows) -> AsyncGenerator[ExportedRow]:
        """Yields her rows of one table.

        Raises:
            WarehouseUnavailable: The warehouse is away.
        """
        return self._of_postgres(kept) if isinstance(kept, PersonalRows) else self._of_warehouse(kept)

    async def _of_postgres(self, kept: PersonalRows) -> AsyncGenerator[ExportedRow]:
        shown = ", ".join(f"kept.{column}" for column in kept.columns) or "kept.*"
        # Which rows of this table are hers?
        statement, values = bound(f"SELECT {shown} FROM {kept.table} AS kept WHERE {kept.hers}", self._person)  # noqa: S608 - constants only
        async for row in self._connection.cursor(statement, *values, prefetch=FETCHED_ROWS):
            columns = {
                name: SECRET if name in kept.secrets and value is not None else to_json(value)
                for name, value in row.items()
            }
            yield ExportedRow(kept.store, kept.table, columns)

    async def _of_warehouse(self, kept: WarehouseRows) -> AsyncGenerator[ExportedRow]:
        found = await self._warehouse.query(_WAREHOUSE_COLUMNS, {"table": kept.table})
        names = [name for (name,) in found]
        # Which rows of this table are hers, from a place on?
        statement = (
            f"SELECT {', '.join(names)}, toString({kept.key}) AS place FROM {kept.table} "  # noqa: S608 - constants only
            f"WHERE member_id = {{member_id:Int64}} AND place > {{after:String}} ORDER BY place LIMIT {PAGE_ROWS}"
        )
        after = ""
        while True:
            page = await self._warehouse.query(statement, {"member_id": self._person.member_id or 0, "after": after})
            for row in page:
                columns = {name: to_json(value) for name, value in zip(names, row[:-1], strict=True)}
                yield ExportedRow(kept.store, kept.table, columns)
            if len(page) < PAGE_ROWS:
                return
            after = page[-1][-1]


def to_json(value: object) -> Json:
    """Returns a value of a database as JSON has it: whole numbers as texts, times as RFC 3339, bytes in hexadecimal."""
    if value is None or isinstance(value, bool | str):
        return value
    for kind, as_json in _AS_JSON:
        if isinstance(value, kind):
            return as_json(value)
    return str(value)


# The first kind that fits: an instant is a date too, and bytes are a sequence.
_AS_JSON: tuple[tuple[type, Callable[[Any], Json]], ...] = (
    (float, lambda number: number if math.isfinite(number) else str(number)),
    (datetime, lambda instant: instant.astimezone(UTC).isoformat().replace("+00:00", "Z")),
    (date, lambda day: day.isoformat()),
    (bytes, lambda raw: raw.hex()),
    (Mapping, lambda parts: {str(name): to_json(part) for name, part in parts.items()}),
    (Sequence, lambda parts: [to_json(part) for part in parts]),
)
