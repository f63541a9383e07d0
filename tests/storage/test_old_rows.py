"""Old rows of the warehouse: one writes, or many read."""

import asyncio

import pytest

from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.storage.old_rows import reading_old_rows, writing_old_rows
from svoykrug_server.storage.postgres import Postgres
from tests.waiting import until


async def waiting(postgres: Postgres) -> bool:
    """Tells whether somebody waits for a lock."""
    async with postgres.read() as connection:
        return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def test_readers_read_side_by_side_and_a_writer_waits_for_the_last_of_them(postgres: Postgres) -> None:
    written = asyncio.Event()

    async def write() -> None:
        async with writing_old_rows(postgres):
            written.set()

    async with reading_old_rows(postgres):
        async with reading_old_rows(postgres):
            writing = asyncio.create_task(write())
            await until(lambda: waiting(postgres))
        assert not written.is_set()
    await asyncio.wait_for(writing, 10)
    assert written.is_set()


async def test_a_writer_that_is_cancelled_waits_no_longer_and_keeps_nobody_waiting(postgres: Postgres) -> None:
    async def write() -> None:
        async with writing_old_rows(postgres):
            raise AssertionError("a reader reads")

    async with reading_old_rows(postgres):
        writing = asyncio.create_task(write())
        await until(lambda: waiting(postgres))
        writing.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([writing])
            async with reading_old_rows(postgres):
                """The writer does not stand between readers any more."""
    assert writing.cancelled()


async def test_a_reader_whose_lock_is_lost_is_told(postgres: Postgres) -> None:
    async def read_beside_the_end_of_its_connection() -> None:
        async with reading_old_rows(postgres) as connection:
            own = await connection.fetchval("SELECT pg_backend_pid()")
            async with postgres.transaction() as tx:
                await (await tx.driver()).execute("SELECT pg_terminate_backend($1, 5000)", own)
            await connection.fetchval("SELECT 1")

    with pytest.raises(StoreUnavailable):
        await read_beside_the_end_of_its_connection()
