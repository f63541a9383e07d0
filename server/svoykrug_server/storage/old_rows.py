"""Who may write and who reads old rows of the warehouse.

A repair, a rebuild and what lets go of old months follow one another, and none of them comes in while a snapshot, a
training or a scoring reads: what is computed from the rows is computed from one state of them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.storage.hot_pool import LOST
from svoykrug_server.storage.hot_reads import ReadConnection
from svoykrug_server.storage.postgres import Postgres

# May I write old rows of the warehouse? (as long as this connection lives)
_WRITE = "SELECT pg_advisory_lock(hashtextextended('svoykrug old rows of the warehouse', 0))"

# May I read them, beside others who do? (as long as this connection lives)
_READ = "SELECT pg_advisory_lock_shared(hashtextextended('svoykrug old rows of the warehouse', 0))"


@asynccontextmanager
async def writing_old_rows(postgres: Postgres) -> AsyncIterator[None]:
    """Waits until nobody else writes or reads old rows, in any process, and keeps others waiting while the block runs.

    Raises:
        StoreUnavailable: PostgreSQL is away.
    """
    async with _holding(postgres, _WRITE):
        yield


@asynccontextmanager
async def reading_old_rows(postgres: Postgres) -> AsyncIterator[ReadConnection]:
    """Waits until nobody writes old rows, in any process, and keeps writers waiting while the block runs.

    Yields:
        The connection that keeps them waiting: what it answers is proof that they have waited until then.

    Raises:
        StoreUnavailable: PostgreSQL is away.
    """
    async with _holding(postgres, _READ) as connection:
        yield ReadConnection(connection)


@asynccontextmanager
async def _holding(postgres: Postgres, lock: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await postgres.dedicated()
    try:
        await connection.execute(lock)
        yield connection
    except (*LOST, asyncpg.InterfaceError) as error:
        raise StoreUnavailable from error
    finally:
        await connection.close()
