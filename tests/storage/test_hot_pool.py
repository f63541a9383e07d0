"""The pool of hot reads: who is lent which connection, and what becomes of those that break or are still asked."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.storage.hot_pool import Connection, HotPool
from svoykrug_server.storage.hot_reads import ReadConnection, Reading
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from tests.waiting import until

PID = "SELECT pg_backend_pid()"
SLEEP = "SELECT pg_sleep(60)"
OPEN = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'svoykrug-read'"
SLEEPING = f"{OPEN} AND state = 'active' AND query = '{SLEEP}'"


class Gate:
    """Opens connections to the test's database, when it is open itself."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.asked = 0
        self.opened: list[Connection] = []

    async def connect(self) -> Connection:
        """Opens a connection."""
        self.asked += 1
        await self.is_open.wait()
        connection: Connection = await asyncpg.connect(
            self._url, server_settings={"application_name": "svoykrug-read"}, timeout=60
        )
        self.opened.append(connection)
        return connection


@pytest.fixture
def gate(postgres_url: str) -> Gate:
    """What opens the connections of `pool`."""
    return Gate(postgres_url)


@pytest.fixture
async def pool(gate: Gate) -> AsyncIterator[HotPool]:
    """A pool of two connections, none of them made."""
    made = HotPool(gate.connect, 2)
    yield made
    made.close()


async def ask(pool: HotPool, query: str = PID, *parameters: object) -> int:
    """Asks one question in a block of its own."""
    async with Reading(pool) as connection:
        answer: int = await connection.fetchval(query, *parameters)
        return answer


@asynccontextmanager
async def all_lent(pool: HotPool) -> AsyncIterator[list[ReadConnection]]:
    """Holds both connections for the length of the block."""
    async with Reading(pool) as first, Reading(pool) as second:
        yield [first, second]


async def is_number(postgres: Postgres, statement: str, expected: int) -> bool:
    """Tells whether the database counts as many."""
    async with postgres.transaction() as tx:
        driver = await tx.driver()
        return bool(await driver.fetchval(statement) == expected)


async def waiting(*asking: Awaitable[int]) -> list[asyncio.Future[int]]:
    """Starts to ask, one after another, and returns when all of them wait."""
    tasks: list[asyncio.Future[int]] = [asyncio.ensure_future(each) for each in asking]
    await asyncio.sleep(0)
    return tasks


async def test_a_connection_is_made_when_it_is_first_needed(pool: HotPool, gate: Gate) -> None:
    assert gate.asked == 0
    await ask(pool)
    assert gate.asked == 1
    async with all_lent(pool) as (first, second):
        assert await first.fetchval(PID) != await second.fetchval(PID)
    assert gate.asked == 2


async def test_the_connection_that_came_back_last_is_lent_first(pool: HotPool) -> None:
    async with all_lent(pool) as lent:
        both = [await connection.fetchval(PID) for connection in lent]
    # The block ends in the opposite order: the first came back last.
    assert [await ask(pool) for _ in range(5)] == [both[0]] * 5


async def test_there_are_never_more_connections_than_places(pool: HotPool, gate: Gate) -> None:
    answers = await asyncio.gather(*(ask(pool, "SELECT $1::int", number) for number in range(100)))
    assert answers == list(range(100))
    assert gate.asked == 2


async def test_who_came_first_is_served_first(pool: HotPool) -> None:
    served: list[int] = []

    async def come(number: int) -> int:
        async with Reading(pool):
            served.append(number)
            return number

    async with all_lent(pool):
        tasks = await waiting(*map(come, range(10)))
        assert served == []
    await asyncio.gather(*tasks)
    assert served == list(range(10))


async def test_who_stops_waiting_takes_nobodys_turn(pool: HotPool) -> None:
    async with all_lent(pool):
        tasks = await waiting(*(ask(pool, "SELECT $1::int", number) for number in range(6)))
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks[::2])
    assert await asyncio.gather(*tasks[1::2]) == [1, 3, 5]
    assert all(task.cancelled() for task in tasks[::2])
    await both_can_be_lent(pool)


async def test_who_is_cancelled_in_the_moment_her_turn_comes_passes_it_on(pool: HotPool) -> None:
    async with Reading(pool):
        async with Reading(pool):
            first, second = await waiting(ask(pool, "SELECT 1"), ask(pool, "SELECT 2"))
        # Her turn has come, and she has not run yet.
        first.cancel()
        await asyncio.wait([first])
        assert await second == 2
        assert first.cancelled()
    await both_can_be_lent(pool)


async def test_who_is_cancelled_before_her_turn_would_come_in_the_same_moment_loses_nothing(pool: HotPool) -> None:
    async with Reading(pool):
        async with Reading(pool):
            first, second = await waiting(ask(pool, "SELECT 1"), ask(pool, "SELECT 2"))
            first.cancel()
        await asyncio.wait([first])
        assert await second == 2
    await both_can_be_lent(pool)


async def test_a_place_whose_connecting_is_cancelled_is_free_again(pool: HotPool, gate: Gate) -> None:
    gate.is_open.clear()
    tasks = await waiting(ask(pool), ask(pool), ask(pool))
    await until(lambda: gate.asked == 2)
    for task in tasks[:2]:
        task.cancel()
    await asyncio.wait(tasks[:2])
    gate.is_open.set()
    assert await tasks[2] > 0
    await both_can_be_lent(pool)


async def test_a_place_whose_connecting_fails_is_free_again(unused_tcp_port: int, gate: Gate) -> None:
    nowhere = Gate(f"postgresql://u:p@127.0.0.1:{unused_tcp_port}/d")

    async def connect() -> Connection:
        return await (gate if nowhere.asked == 3 else nowhere).connect()

    pool = HotPool(connect, 2)
    tasks = await waiting(ask(pool), ask(pool), ask(pool))
    await asyncio.wait(tasks)
    assert [type(task.exception()) for task in tasks] == [StoreUnavailable] * 3
    await both_can_be_lent(pool)
    pool.close()


async def test_a_connection_that_broke_is_made_anew(pool: HotPool, gate: Gate, postgres: Postgres) -> None:
    pid = await ask(pool)
    assert await is_number(postgres, f"SELECT pg_terminate_backend({pid})::int", 1)
    await until(gate.opened[0].is_closed)
    assert await ask(pool) != pid
    await both_can_be_lent(pool)


async def test_a_connection_that_breaks_while_it_is_asked_is_unavailable_and_made_anew(
    pool: HotPool, postgres: Postgres
) -> None:
    pid = await ask(pool)
    (task,) = await waiting(ask(pool, SLEEP))
    await until(lambda: is_number(postgres, SLEEPING, 1))
    assert await is_number(postgres, f"SELECT pg_terminate_backend({pid})::int", 1)
    with pytest.raises(StoreUnavailable):
        await task
    assert await ask(pool) != pid
    await both_can_be_lent(pool)


async def test_a_statement_that_fails_costs_no_connection(pool: HotPool, gate: Gate) -> None:
    for _ in range(5):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await ask(pool, "SELECT 1 / 0")
        with pytest.raises(ZeroDivisionError):
            async with Reading(pool):
                raise ZeroDivisionError
        with pytest.raises(asyncpg.DataError):
            await ask(pool, "SELECT $1::int", "not a number")
    await both_can_be_lent(pool)
    assert len(gate.opened) == 2


async def test_a_connection_whose_statement_was_cancelled_is_lent_when_it_has_ended(
    pool: HotPool, gate: Gate, postgres: Postgres
) -> None:
    tasks = await waiting(ask(pool, SLEEP), ask(pool, SLEEP))
    await until(lambda: is_number(postgres, SLEEPING, 2))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    # Nobody has answered for the connections yet: who comes now waits.
    assert await asyncio.gather(*(ask(pool, "SELECT $1::int", number) for number in range(20))) == list(range(20))
    # One of the two answers them all: the other may have been told to stop, and not have stopped yet.
    await until(lambda: is_number(postgres, SLEEPING, 0))
    assert len(gate.opened) == 2


async def test_a_statement_given_up_inside_the_block_is_not_handed_on_either(pool: HotPool, postgres: Postgres) -> None:
    async with Reading(pool) as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.fetchval(SLEEP)
    await both_can_be_lent(pool)
    assert await is_number(postgres, SLEEPING, 0)


async def test_statements_cancelled_at_any_moment_leak_no_place_and_mix_no_answers(pool: HotPool) -> None:
    chance = random.Random(6)

    async def one(number: int) -> int:
        async with Reading(pool) as connection:
            await connection.fetchval("SELECT pg_sleep(0.001)")
            answer: int = await connection.fetchval("SELECT $1::int", number)
            assert answer == number
            return answer

    for _ in range(30):
        tasks = [asyncio.ensure_future(one(number)) for number in range(10)]
        for task in chance.sample(tasks, 5):
            await asyncio.sleep(chance.random() * 0.002)
            task.cancel()
        for answer in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(answer, (int, asyncio.CancelledError))
    await both_can_be_lent(pool)


async def test_after_its_block_a_connection_answers_nobody(pool: HotPool) -> None:
    async with Reading(pool) as connection:
        await connection.fetchval(PID)
    for asking in (connection.fetch, connection.fetchrow, connection.fetchval):
        with pytest.raises(AttributeError):
            asking(PID)


async def test_a_closed_pool_ends_its_connections_and_serves_nobody(
    pool: HotPool, gate: Gate, postgres: Postgres
) -> None:
    (asking,) = await waiting(ask(pool, SLEEP))
    async with Reading(pool) as connection:
        await connection.fetchval(PID)
        await until(lambda: is_number(postgres, SLEEPING, 1))
        waiting_for_one = await waiting(ask(pool), ask(pool))
        pool.close()
        for task in (asking, *waiting_for_one):
            with pytest.raises(StoreUnavailable):
                await task
    with pytest.raises(StoreUnavailable):
        await ask(pool)
    assert [connection.is_closed() for connection in gate.opened] == [True, True]


async def test_a_connection_that_opens_while_the_pool_closes_is_ended(pool: HotPool, gate: Gate) -> None:
    gate.is_open.clear()
    (task,) = await waiting(ask(pool))
    pool.close()
    gate.is_open.set()
    with pytest.raises(StoreUnavailable):
        await task
    assert gate.opened[0].is_closed()


async def test_closing_the_store_closes_the_pool(postgres: Postgres, postgres_url: str) -> None:
    other = await Postgres.connect(PostgresOptions(postgres_url))
    await until(lambda: is_number(postgres, OPEN, 2))
    await other.close()
    with pytest.raises(StoreUnavailable):
        async with other.read():
            raise AssertionError
    await until(lambda: is_number(postgres, OPEN, 1))


async def both_can_be_lent(pool: HotPool) -> None:
    """Sees that no place was lost, and that both connections answer what they are asked."""
    async with asyncio.timeout(60), all_lent(pool) as lent:
        answers = await asyncio.gather(
            *(connection.fetchval("SELECT $1::int", number) for number, connection in enumerate(lent))
        )
    assert answers == [0, 1]
