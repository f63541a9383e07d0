"""A search of every column of every table of both stores for texts: `python -m demo.search_stores FOLDER TEXT...`."""

import asyncio
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from svoykrug_server.config import Settings
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.stores import open_stores, open_warehouse
from svoykrug_server.storage.warehouse import Warehouse


def spellings(phone: str) -> list[str]:
    """Returns the ways in which a Russian number in E.164 may be written down."""
    digits = phone.removeprefix("+7")
    grouped = f"{digits[:3]} {digits[3:6]}-{digits[6:8]}-{digits[8:]}"
    bracketed = f"({digits[:3]}) {digits[3:6]}-{digits[6:8]}-{digits[8:]}"
    return [digits, grouped, bracketed, digits.encode().hex()]


async def tables_holding(postgres: Postgres, warehouse: Warehouse, texts: Iterable[str]) -> set[tuple[str, str]]:
    """Returns each text with each table in which some column of some row holds it, whatever its case."""
    found = set()
    for text in texts:
        found |= {(text, table) for table in await _of_postgres(postgres, text)}
        found |= {(text, table) for table in await _of_warehouse(warehouse, text)}
    return found


async def rows_by_table(postgres: Postgres, text: str) -> dict[str, list[str]]:
    """Returns every row of PostgreSQL that holds a text, by table, sorted."""
    async with postgres.read() as connection:
        return {
            table: sorted(row[0] for row in await connection.fetch(f"{_rows(table)} WHERE {_HOLDS}", text))
            for table in await _tables(postgres)
        }


_HOLDS = "position(lower($1) IN lower(kept::text)) > 0"


def _rows(table: str) -> str:
    return f'SELECT kept::text FROM "{table}" AS kept'  # noqa: S608  a table that exists


async def _tables(postgres: Postgres) -> list[str]:
    async with postgres.read() as connection:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
    return [row["tablename"] for row in rows]


async def _of_postgres(postgres: Postgres, text: str) -> list[str]:
    return [table for table, rows in (await rows_by_table(postgres, text)).items() if rows]


async def _of_warehouse(warehouse: Warehouse, text: str) -> list[str]:
    tables = await warehouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    held = "SELECT count() FROM `{}` WHERE positionCaseInsensitiveUTF8(toString(tuple(*)), {{text:String}}) > 0"
    return [name for (name,) in tables if (await warehouse.query(held.format(name), {"text": text}))[0][0]]


async def search(folder: Path, texts: Iterable[str]) -> set[tuple[str, str]]:
    """Searches the stores in the data folder of a service that has stopped; see `tables_holding`."""
    settings = Settings.model_validate({**Settings.model_construct().model_dump(), "data_dir": folder})
    async with open_stores(settings) as stores, open_warehouse(settings, stores.folder) as warehouse:
        return await tables_holding(stores.postgres, warehouse, texts)


if __name__ == "__main__":
    print(json.dumps(sorted(asyncio.run(search(Path(sys.argv[1]), sys.argv[2:])))))
