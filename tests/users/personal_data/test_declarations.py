"""Every table of both stores says what it keeps of a person: whoever adds one must say so too."""

from collections import Counter

from svoykrug_server.parts import kept_of_people
from svoykrug_server.purchases.external_ids import ExternalIdHashes
from svoykrug_server.storage.personal_data import Store
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.schema import load_all
from svoykrug_server.storage.warehouse import Warehouse

DECLARED = kept_of_people(ExternalIdHashes([bytes(32)]))


async def test_every_table_of_both_stores_is_declared_as_it_exists(postgres: Postgres, warehouse: Warehouse) -> None:
    async with postgres.read() as connection:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    exist = {(Store.POSTGRES, row["tablename"]) for row in rows}
    rows_there = await warehouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    exist |= {(Store.CLICKHOUSE, name) for (name,) in rows_there}
    assert DECLARED.tables == exist


def test_no_table_is_declared_as_personal_and_as_not() -> None:
    personal = {(rows.store, rows.table) for rows in DECLARED.kept}
    impersonal = Counter((table.store, table.table) for table in DECLARED.impersonal)
    assert not personal & set(impersonal)
    assert set(impersonal.values()) == {1}


def test_no_impersonal_table_has_a_column_that_names_a_person() -> None:
    tables = load_all().tables
    named = {
        (table.table, column.name)
        for table in DECLARED.impersonal
        if table.table in tables
        for column in tables[table.table].columns
        if column.name in {"user_id", "member_id", "phone", "email", "display_name", "birth_date", "starter_id"}
    }
    assert named == set()


async def test_the_warehouse_knows_nobody_but_by_a_number(warehouse: Warehouse) -> None:
    columns = await warehouse.query("SELECT table, name FROM system.columns WHERE database = currentDatabase()")
    personal = {rows.table for rows in DECLARED.warehouse}
    assert {table for table, name in columns if name == "member_id"} == personal
    names = {name for table, name in columns if table in personal}
    assert not names & {"user_id", "phone", "name", "email", "external_id"}
