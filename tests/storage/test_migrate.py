"""Both stores are brought to the newest schema, once, by whoever comes first."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import clickhouse_connect
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from clickhouse_connect.driver.client import Client
from sqlalchemy import Connection

from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.storage import migrate_warehouse as warehouse_migrations
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.migrate import MIGRATIONS, migrate_postgres, numbered_files, postgres_state
from svoykrug_server.storage.migrate_warehouse import migrate_warehouse, statements, warehouse_state
from svoykrug_server.storage.postgres import Postgres, PostgresOptions, open_engine
from svoykrug_server.storage.schema import load_all
from tests.conftest import NUMBERS, connection_url


@pytest.fixture
async def empty_url(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The URL of a database that nobody migrated."""
    admin = await asyncpg.connect(connection_url(postgres_server, "postgres"))
    name = f"test_{os.getpid()}_empty_{next(NUMBERS)}"
    await admin.execute(f"CREATE DATABASE {name}")
    yield connection_url(postgres_server, name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def test_the_migrated_schema_is_the_one_the_code_declares(postgres_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, load_all()))

    engine = open_engine(postgres_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_servers_that_start_together_migrate_once(empty_url: str) -> None:
    servers = await asyncio.gather(*(Postgres.connect(PostgresOptions(empty_url)) for _ in range(3)))
    before = await asyncio.gather(*(migrate_postgres(server) for server in servers))
    assert {state.applied for state in before} <= {"0000", before[0].newest}
    for server in servers:
        assert (await postgres_state(server)).is_current
        await server.close()


async def test_a_database_of_a_newer_program_is_refused_and_left_alone(postgres: Postgres) -> None:
    connection = await postgres.dedicated()
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CannotStart, match="newer version") as refusal:
        await migrate_postgres(postgres)
    assert refusal.value.exit_code is ExitCode.DATA_FOLDER_NEWER
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == "9999"
    await connection.close()


async def upgrade_to(url: str, revision: str) -> None:
    """Brings a database as far as an older program did."""

    def upgrade(connection: Connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS / "postgres"))
        config.set_main_option("path_separator", "os")
        command.upgrade(config, revision)

    engine = open_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
    await engine.dispose()


async def test_who_was_there_before_silence_was_counted_is_seen_when_she_was_there(empty_url: str) -> None:
    await upgrade_to(empty_url, "0008")
    here, gone, unclaimed, challenge = (UUID(int=number) for number in range(1, 5))
    connection = await asyncpg.connect(empty_url)
    await connection.executemany(
        "INSERT INTO users (id, phone, status, referral_code, create_time, update_time) "
        "VALUES ($1, $2, $3, $4, '2025-01-01Z', '2025-06-01Z')",
        [
            (here, "+79990000001", "active", "HERE01"),
            (gone, "+79990000002", "active", "GONE01"),
            (unclaimed, "+79990000003", "unclaimed", None),
        ],
    )
    await connection.execute(
        "INSERT INTO auth_sessions (session_id, user_id, device_name, create_time, rotate_time, current_hash, salt, "
        "rotation_kid, rotation_request_id) VALUES ($1, $1, 'phone', '2025-09-01Z', '2025-11-01Z', $2, '', '1', $1)",
        here,
        bytes(32),
    )
    await connection.execute(
        "INSERT INTO auth_challenges (challenge_id, phone, pepper_kid, create_time, expire_time) "
        "VALUES ($1, '+79990000001', '1', now(), now())",
        challenge,
    )
    server = await Postgres.connect(PostgresOptions(empty_url))
    await migrate_postgres(server)
    await server.close()
    seen = await connection.fetch("SELECT user_id, seen_time FROM auth_last_seen")
    assert {row["user_id"]: row["seen_time"] for row in seen} == {
        here: datetime(2025, 11, 1, tzinfo=UTC),
        gone: datetime(2025, 6, 1, tzinfo=UTC),
    }
    assert await connection.fetchval("SELECT purpose FROM auth_challenges") == "sign_in"
    await connection.close()


async def test_reports_from_before_they_were_bounded_are_counted(empty_url: str) -> None:
    await upgrade_to(empty_url, "0022")
    stream, file, business = (UUID(int=number) for number in range(1, 4))
    connection = await asyncpg.connect(empty_url)
    await connection.executemany(
        "INSERT INTO import_rejections (import_id, row_number, business_id, external_id, reason, field) "
        "VALUES ($1, $2, $3, '', 'INVALID_FIELDS', 'phone')",
        [(stream, number, business) for number in range(3)],
    )
    await connection.execute(
        "INSERT INTO csv_imports (id, business_id, state, told_format, create_time) "
        "VALUES ($1, $2, 'written', '{}', now())",
        file,
        business,
    )
    await connection.executemany(
        "INSERT INTO csv_rows (csv_import_id, role, line_number, external_id, reason, column_name) "
        "VALUES ($1, $2, $3, '', $4, '')",
        [(file, "preview", 2, None), (file, "rejected", 3, "MEMBER_UNKNOWN"), (file, "rejected", 4, "MEMBER_UNKNOWN")],
    )
    server = await Postgres.connect(PostgresOptions(empty_url))
    await migrate_postgres(server)
    await server.close()
    query = "SELECT import_id, csv_import_id, business_id, kept_count, dropped FROM import_reports ORDER BY import_id"
    assert [tuple(row) for row in await connection.fetch(query)] == [
        (stream, None, business, 3, False),
        (file, file, business, 2, False),
    ]
    await connection.close()


@pytest.mark.parametrize("store", ["postgres/versions", "clickhouse"])
def test_migrations_are_numbered_without_gap_or_double(store: str) -> None:
    numbers = [int(file.name[:4]) for file in numbered_files(MIGRATIONS / store)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.fixture
def client(warehouse_folder: Path) -> Client:
    """A client of a ClickHouse database that nobody migrated."""
    name = f"test_{next(NUMBERS)}"
    opened = clickhouse_connect.get_client(interface="chdb", path=str(warehouse_folder))
    opened.command(f"CREATE DATABASE {name}")
    opened.database = name
    return opened


def drop(client: Client) -> None:
    client.command(f"DROP DATABASE {client.database}")
    client.close()


def test_the_warehouse_is_migrated_once(client: Client) -> None:
    migrate_warehouse(client)
    migrate_warehouse(client)
    state = warehouse_state(client)
    assert state.is_current
    applied = client.query("SELECT version FROM schema_migrations ORDER BY version").result_rows
    assert [row[0] for row in applied] == [file.name[:4] for file in numbered_files(MIGRATIONS / "clickhouse")]
    drop(client)


def test_a_warehouse_migration_that_was_cut_off_is_repeated(client: Client) -> None:
    migrate_warehouse(client)
    client.command("TRUNCATE TABLE schema_migrations")
    migrate_warehouse(client)
    assert warehouse_state(client).is_current
    drop(client)


def test_a_ledger_that_was_dropped_before_an_upgrade_is_left_to_a_rebuild(client: Client) -> None:
    migrate_warehouse(client)
    client.command("DELETE FROM schema_migrations WHERE version > '0006'")
    client.command("DROP TABLE purchases")
    migrate_warehouse(client)
    assert warehouse_state(client).is_current
    assert not client.query("EXISTS TABLE purchases").result_rows[0][0]
    assert "by_business" in client.query("SHOW CREATE TABLE purchases_rebuilt").result_rows[0][0]
    drop(client)


def test_a_warehouse_of_a_newer_program_is_refused(client: Client) -> None:
    migrate_warehouse(client)
    client.command("INSERT INTO schema_migrations VALUES ('9999', '9999_future', now64(6, 'UTC'))")
    with pytest.raises(CannotStart, match="newer version"):
        migrate_warehouse(client)
    drop(client)


def test_only_pending_files_are_applied_in_order(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clickhouse").mkdir()
    first = tmp_path / "clickhouse" / "0001_first.sql"
    first.write_text("CREATE TABLE a (x Int8) ENGINE = Memory;\n")
    monkeypatch.setattr(warehouse_migrations, "MIGRATIONS", tmp_path)
    migrate_warehouse(client)
    (tmp_path / "clickhouse" / "0002_second.sql").write_text("INSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2);\n")
    migrate_warehouse(client)
    assert client.query("SELECT count() FROM a").result_rows == [(2,)]
    drop(client)


def test_a_file_is_split_at_semicolons_that_end_a_line() -> None:
    sql = "-- What is this?\nCREATE TABLE a (x String DEFAULT 'a;b')\nENGINE = Memory;\n\nINSERT INTO a VALUES ('c');"
    assert statements(sql) == [
        "CREATE TABLE a (x String DEFAULT 'a;b')\nENGINE = Memory",
        "INSERT INTO a VALUES ('c')",
    ]
