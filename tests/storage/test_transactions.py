"""Hot statements of a transaction, and what becomes of its connection."""

import asyncio
from contextlib import suppress
from io import BytesIO

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from tests.waiting import until

NOTES = (
    "CREATE TABLE notes"
    " (note text PRIMARY KEY, body jsonb, follows text REFERENCES notes DEFERRABLE INITIALLY DEFERRED)"
)
INSERT = "INSERT INTO notes (note) VALUES ($1) RETURNING note"
PID = "SELECT pg_backend_pid()"
SLEEPING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND query = 'SELECT pg_sleep(60)'"
OPEN = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'svoykrug-transaction'"
)


@pytest.fixture(autouse=True)
async def _notes(postgres: Postgres) -> None:
    async with postgres.transaction() as tx:
        await tx.execute(sa.text(NOTES))


async def notes(postgres: Postgres) -> list[str]:
    """Returns the notes that are committed."""
    async with postgres.read() as connection:
        return [row["note"] for row in await connection.fetch("SELECT note FROM notes ORDER BY note")]


async def pid(postgres: Postgres) -> int:
    """Returns which connection serves the next transaction."""
    async with postgres.transaction() as tx:
        number: int = await tx.fetchval(PID)
        return number


async def test_statements_of_both_kinds_are_one_transaction(postgres: Postgres) -> None:
    async with postgres.transaction() as tx:
        await tx.fetchval(INSERT, "hot")
        await tx.execute(sa.text("INSERT INTO notes (note) VALUES ('usual')"))
        assert [row["note"] for row in await tx.fetch("SELECT note FROM notes ORDER BY note")] == ["hot", "usual"]
        assert await notes(postgres) == []
    assert await notes(postgres) == ["hot", "usual"]


async def test_a_block_that_raises_rolls_back_statements_of_both_kinds(postgres: Postgres) -> None:
    async def fail() -> None:
        async with postgres.transaction() as tx:
            await tx.fetchval(INSERT, "hot")
            await tx.execute(sa.text("INSERT INTO notes (note) VALUES ('usual')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await notes(postgres) == []


async def test_jsonb_is_given_as_text_and_read_as_python_values(postgres: Postgres) -> None:
    async with postgres.transaction() as tx:
        written = await tx.fetchrow("INSERT INTO notes VALUES ('one', $1) RETURNING body", '{"a": [1, null]}')
        assert written is not None
        assert written["body"] == {"a": [1, None]}


async def test_a_refused_hot_statement_raises_the_error_of_asyncpg_and_spares_the_connection(
    postgres: Postgres,
) -> None:
    before = await pid(postgres)

    async def twice() -> None:
        async with postgres.transaction() as tx:
            await tx.fetchval(INSERT, "one")
            await tx.fetchval(INSERT, "one")

    with pytest.raises(asyncpg.UniqueViolationError) as refusal:
        await twice()
    assert refusal.value.constraint_name == "notes_pkey"
    assert (await notes(postgres), await pid(postgres)) == ([], before)


async def test_what_the_commit_refuses_is_raised_and_nothing_is_kept(postgres: Postgres) -> None:
    async def follow_nothing() -> None:
        async with postgres.transaction() as tx:
            await tx.fetchval("INSERT INTO notes (note, follows) VALUES ('one', 'none') RETURNING 1")

    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await follow_nothing()
    assert await notes(postgres) == []
    await pid(postgres)


async def test_a_cancelled_hot_statement_is_rolled_back_and_its_connection_serves_again(
    postgres: Postgres, postgres_url: str
) -> None:
    narrow = await Postgres.connect(PostgresOptions(postgres_url, transaction_connections=1))
    before = await pid(narrow)

    async def sleep() -> None:
        async with narrow.transaction() as tx:
            await tx.fetchval(INSERT, "one")
            await tx.fetchval("SELECT pg_sleep(60)")

    async def sleeps() -> bool:
        async with postgres.read() as connection:
            return bool(await connection.fetch(SLEEPING))

    task = asyncio.create_task(sleep())
    await until(sleeps)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pid(narrow) == before
    async with narrow.transaction() as tx:
        await tx.fetchval(INSERT, "one")
    assert await notes(postgres) == ["one"]
    await narrow.close()


@pytest.mark.parametrize("hot", [True, False])
async def test_what_follows_a_statement_that_was_given_up_is_not_called_committed(
    postgres: Postgres, hot: bool
) -> None:
    async def give_up() -> None:
        async with postgres.transaction() as tx:
            await tx.fetchval(INSERT, "lost")
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await (tx.fetchval("SELECT pg_sleep(60)") if hot else tx.execute(sa.text("SELECT pg_sleep(60)")))

    with pytest.raises(RuntimeError, match="given up"):
        await give_up()
    async with postgres.transaction() as tx:
        await tx.execute(sa.text("INSERT INTO notes (note) VALUES ('next')"))
    assert await notes(postgres) == ["next"]


@pytest.mark.parametrize("way", ["hot", "executed", "copied"])
async def test_what_stands_beside_a_refused_statement_is_not_called_committed(postgres: Postgres, way: str) -> None:
    async def go_on() -> None:
        async with postgres.transaction() as tx:
            await tx.fetchval(INSERT, "lost")
            with suppress(asyncpg.PostgresError, DBAPIError):
                if way == "hot":
                    await tx.fetchval("SELECT 1 / 0")
                elif way == "executed":
                    await tx.execute(sa.text("SELECT 1 / 0"))
                else:
                    await (await tx.driver()).copy_from_query("SELECT 1 / 0", output=BytesIO())

    before = await pid(postgres)
    with pytest.raises(RuntimeError, match="refused"):
        await go_on()
    assert (await notes(postgres), await pid(postgres)) == ([], before)


async def test_who_finds_all_connections_busy_for_too_long_is_told_so(postgres_url: str) -> None:
    narrow = await Postgres.connect(
        PostgresOptions(postgres_url, transaction_connections=1, connect_timeout_seconds=2.0)
    )
    async with narrow.transaction():
        with pytest.raises(StoreUnavailable):
            await pid(narrow)
    await pid(narrow)
    await narrow.close()


async def test_nobody_asks_on_a_transaction_that_has_ended(postgres: Postgres) -> None:
    async with postgres.transaction() as tx:
        await tx.fetchval(PID)
    with pytest.raises(AttributeError):
        await tx.fetchval(PID)
    with pytest.raises(AttributeError):
        await tx.execute(sa.text(PID))


async def test_a_long_transaction_leaves_no_connection_behind(postgres: Postgres) -> None:
    async def open_connections() -> int:
        async with postgres.read() as connection:
            count: int = await connection.fetchval(OPEN)
            return count

    before = await open_connections()
    async with postgres.long_transaction() as tx:
        await tx.fetchval(INSERT, "one")
        assert await open_connections() == before + 1

    async def is_gone() -> bool:
        return await open_connections() == before

    await until(is_gone)
    assert await notes(postgres) == ["one"]
