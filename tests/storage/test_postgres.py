"""Transactions, hot reads, lost databases and cancelled statements."""

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import sqlalchemy as sa

from svoykrug_server.kit.errors import DomainError, StoreUnavailable
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.folder import DataFolder
from svoykrug_server.storage.hot_reads import ReadConnection
from svoykrug_server.storage.postgres import Postgres, PostgresOptions, driver_error, parse_url
from tests.waiting import until

NOTES = "CREATE TABLE notes (note text PRIMARY KEY, body jsonb)"
Sleep = Callable[[Postgres], Awaitable[None]]
RUNNING = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND state = 'active' AND query LIKE 'SELECT pg_sleep%'"
)


@pytest.fixture
def own_server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that the test may kill."""
    folder = DataFolder(data_dir)
    folder.open(0)
    server = EmbeddedPostgres.start(folder, durable=False)
    yield server
    server.stop()


@pytest.fixture
async def mortal(own_server: EmbeddedPostgres) -> AsyncIterator[Postgres]:
    """Connections to a PostgreSQL that the test may kill and that is started again when it ends."""
    supervising = asyncio.create_task(own_server.supervise())
    opened = await Postgres.connect(PostgresOptions(own_server.url))
    yield opened
    await opened.close()
    supervising.cancel()
    await asyncio.wait([supervising])


async def note(postgres: Postgres, text: str) -> None:
    async with postgres.transaction() as tx:
        await tx.execute(sa.text("INSERT INTO notes (note) VALUES (:note)"), {"note": text})


async def notes(postgres: Postgres) -> int:
    async with postgres.read() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM notes")
        return count


async def make_notes(postgres: Postgres) -> None:
    async with postgres.transaction() as tx:
        await tx.execute(sa.text(NOTES))


async def test_what_a_transaction_wrote_is_read_after_its_commit(postgres: Postgres) -> None:
    await make_notes(postgres)
    async with postgres.transaction() as tx:
        await tx.execute(sa.text("INSERT INTO notes (note) VALUES ('one')"))
        assert await notes(postgres) == 0
    assert await notes(postgres) == 1


async def test_a_block_that_raises_rolls_back(postgres: Postgres) -> None:
    await make_notes(postgres)

    async def fail() -> None:
        async with postgres.transaction() as tx:
            await tx.execute(sa.text("INSERT INTO notes (note) VALUES ('one')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await notes(postgres) == 0


async def test_copy_is_part_of_the_transaction(postgres: Postgres) -> None:
    await make_notes(postgres)
    async with postgres.transaction() as tx:
        await tx.execute(sa.text("INSERT INTO notes (note) VALUES ('one')"))
        driver = await tx.driver()
        await driver.copy_records_to_table("notes", records=[("two",), ("three",)], columns=["note"])
        assert await notes(postgres) == 0
    assert await notes(postgres) == 3


async def test_both_paths_answer_jsonb_as_python_values(postgres: Postgres) -> None:
    await make_notes(postgres)
    async with postgres.transaction() as tx:
        await tx.execute(sa.text("""INSERT INTO notes VALUES ('one', '{"a": [1, null]}')"""))
        written = (await tx.execute(sa.text("SELECT body FROM notes"))).scalar_one()
    async with postgres.read() as connection:
        read = await connection.fetchval("SELECT body FROM notes")
    assert written == read == {"a": [1, None]}


async def test_the_hot_pool_refuses_to_write(postgres: Postgres) -> None:
    await make_notes(postgres)
    async with postgres.read() as connection:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.fetchval("INSERT INTO notes (note) VALUES ('one')")


async def test_which_constraint_refused_a_row_can_be_asked(postgres: Postgres) -> None:
    await make_notes(postgres)
    await note(postgres, "one")
    with pytest.raises(sa.exc.IntegrityError) as refusal:
        await note(postgres, "one")
    cause = driver_error(refusal.value)
    assert isinstance(cause, asyncpg.UniqueViolationError)
    assert cause.constraint_name == "notes_pkey"


async def sleep_in_read(postgres: Postgres) -> None:
    async with postgres.read() as connection:
        await connection.fetchval("SELECT pg_sleep(60)")


async def sleep_in_transaction(postgres: Postgres) -> None:
    async with postgres.transaction() as tx:
        await tx.execute(sa.text("SELECT pg_sleep(60)"))


async def sleep_in_hot_statement(postgres: Postgres) -> None:
    async with postgres.transaction() as tx:
        await tx.fetchval("SELECT pg_sleep(60)")


SLEEPS = [sleep_in_read, sleep_in_transaction, sleep_in_hot_statement]


@pytest.mark.parametrize("sleep", SLEEPS)
async def test_cancelling_the_task_ends_its_statement_in_the_database(postgres: Postgres, sleep: Sleep) -> None:
    async def running() -> int:
        async with postgres.read() as connection:
            count: int = await connection.fetchval(RUNNING)
            return count

    task = asyncio.ensure_future(sleep(postgres))
    await until(lambda: is_number(running, 1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: is_number(running, 0))
    assert (await asyncio.gather(*(notes_of_nothing(postgres) for _ in range(30)))) == [1] * 30


async def is_number(count: Callable[[], Awaitable[int]], expected: int) -> bool:
    return await count() == expected


async def notes_of_nothing(postgres: Postgres) -> int:
    async with postgres.transaction() as tx:
        one: int = (await tx.execute(sa.text("SELECT 1"))).scalar_one()
        return one


@pytest.mark.parametrize("sleep", SLEEPS)
async def test_a_statement_over_the_limit_is_a_deadline_exceeded(postgres_url: str, sleep: Sleep) -> None:
    # The limit holds for what is asked while connecting, too.
    impatient = await Postgres.connect(PostgresOptions(postgres_url, statement_timeout_seconds=0.5))
    with pytest.raises(DomainError) as refusal:
        await sleep(impatient)
    assert refusal.value.reason == "DEADLINE_EXCEEDED"
    await impatient.close()


async def test_a_killed_database_is_unavailable_and_back_by_itself(
    mortal: Postgres, own_server: EmbeddedPostgres
) -> None:
    await make_notes(mortal)
    await note(mortal, "before")
    os.kill(own_server.process_id, signal.SIGKILL)
    with pytest.raises(StoreUnavailable) as refusal:
        await until(lambda: is_number(lambda: notes(mortal), -1))
    assert refusal.value.retry_after is not None

    async def works() -> bool:
        try:
            await note(mortal, "after")
            return await notes(mortal) == 2
        except StoreUnavailable:
            return False

    await until(works, seconds=20)


async def test_a_statement_that_runs_when_the_database_dies_is_unavailable(
    mortal: Postgres, own_server: EmbeddedPostgres
) -> None:
    tasks = [asyncio.ensure_future(sleep(mortal)) for sleep in SLEEPS]

    async def running() -> int:
        async with mortal.read() as connection:
            count: int = await connection.fetchval(RUNNING)
            return count

    await until(lambda: is_number(running, len(SLEEPS)))
    os.kill(own_server.process_id, signal.SIGKILL)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * len(SLEEPS)


async def test_after_a_restart_no_transaction_fails_on_a_dead_pooled_connection(
    mortal: Postgres, own_server: EmbeddedPostgres
) -> None:
    await asyncio.gather(*(notes_of_nothing(mortal) for _ in range(10)))
    before = own_server.process_id
    os.kill(before, signal.SIGINT)
    await until(lambda: own_server.process_id != before and own_server.is_running(), seconds=20)
    assert await asyncio.gather(*(notes_of_nothing(mortal) for _ in range(10))) == [1] * 10


async def test_an_unreachable_database_is_unavailable(unused_tcp_port: int) -> None:
    with pytest.raises(StoreUnavailable):
        await Postgres.connect(PostgresOptions(f"postgresql://u:p@127.0.0.1:{unused_tcp_port}/d"))


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "mysql://u:secret@h/d", "postgresql://u:secret@h:port/d", "postgresql://u:secret@h:65536/d"],
)
def test_a_broken_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="database URL") as refusal:
        parse_url(url)
    assert "secret" not in str(refusal.value)


async def test_what_a_url_says_of_tls_holds_in_both_pools(postgres_url: str) -> None:
    postgres = await Postgres.connect(PostgresOptions(f"{postgres_url}?sslmode=disable"))
    await postgres.close()
    # The embedded server has no TLS: who insists on it gets no connection.
    with pytest.raises(StoreUnavailable):
        await Postgres.connect(PostgresOptions(f"{postgres_url}?sslmode=require"))
    with pytest.raises(ValueError, match="sslmode"):
        await Postgres.connect(PostgresOptions(f"{postgres_url}?sslmode=nonsense"))


async def test_a_copy_is_cancelled_at_any_moment_and_leaves_no_transaction_open(postgres: Postgres) -> None:
    async def copy() -> None:
        async with postgres.transaction() as tx:
            driver = await tx.driver()
            await driver.copy_from_query("SELECT generate_series(1, 2000)", output=io.BytesIO())

    for number in range(300):
        task = asyncio.create_task(copy())
        await asyncio.sleep(number * 0.00002)
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.done()
    async with postgres.read() as connection:
        idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in %'"
        await until(lambda: _is_zero(connection, idle))


async def _is_zero(connection: ReadConnection, statement: str) -> bool:
    count: int = await connection.fetchval(statement)
    return count == 0


@pytest.mark.parametrize("sleep", SLEEPS)
async def test_a_cancelled_call_does_not_wait_for_a_database_that_hangs(
    mortal: Postgres, own_server: EmbeddedPostgres, sleep: Sleep
) -> None:
    task = asyncio.ensure_future(sleep(mortal))

    async def running() -> int:
        async with mortal.read() as connection:
            count: int = await connection.fetchval(RUNNING)
            return count

    await until(lambda: is_number(running, 1))
    main = psutil.Process(own_server.process_id)
    # The parent first: it then has no more children than these.
    main.suspend()
    hanging = main.children()
    for process in hanging:
        process.suspend()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=4)
    for process in (*hanging, main):
        process.resume()
    assert done
    assert task.cancelled()
    await until(lambda: is_number(running, 0))
