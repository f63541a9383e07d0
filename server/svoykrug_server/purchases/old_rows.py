"""Who may write old rows of the warehouse: a repair, a rebuild and what lets go of old months follow one another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from svoykrug_server.storage.postgres import Postgres

# May I write old rows of the warehouse? (as long as this connection lives)
_LOCK = "SELECT pg_advisory_lock(hashtextextended('svoykrug old rows of the warehouse', 0))"


@asynccontextmanager
async def writing_old_rows(postgres: Postgres) -> AsyncIterator[None]:
    """Waits until nobody else writes old rows, in any process, and keeps others waiting for the length of the block.

    Raises:
        StoreUnavailable: PostgreSQL is away.
    """
    connection = await postgres.dedicated()
    try:
        await connection.execute(_LOCK)
        yield
    finally:
        await connection.close()
