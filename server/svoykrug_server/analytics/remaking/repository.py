"""All PostgreSQL of remaking: which builds are published, which are known to be gone, and who makes them again."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from svoykrug_server.analytics.model import BuildContents
from svoykrug_server.analytics.remaking.model import Attempt, Gone, Kind, Known, Published
from svoykrug_server.analytics.standing import LostReason
from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.storage.hot_pool import LOST
from svoykrug_server.storage.postgres import Postgres


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    row_count: str
    published: str

    def fill(self, sql: str) -> str:
        return sql.format(table=self.name, row_count=self.row_count, published=self.published)


_TABLES = {
    Kind.SNAPSHOT: _Table("snapshots", "member_count", "publish_time IS NOT NULL"),
    Kind.SCORING: _Table("churn_scorings", "scored_count", "TRUE"),
}

# May this process make rows again? (as long as this connection lives; another process may already)
_ALONE = "SELECT pg_try_advisory_lock(hashtextextended('svoykrug remaking', 0))"

# Which are published? (what is called lost may have come back)
_PUBLISHED = """
    SELECT id, build_id, {row_count} AS row_count, missing_since_time IS NOT NULL AS is_missing
    FROM {table} WHERE {published}
"""

# Which builds are published, in two numbers, how many of them are being made again, and how many are lost? (asked every
# few seconds, so in one)
_KNOWN = """
    SELECT count(*) AS build_count, coalesce(sum(uuid_hash(build_id)), 0)::bigint AS build_hash,
        count(*) FILTER (WHERE missing_since_time IS NOT NULL AND lost_time IS NULL) AS missing_count,
        count(lost_time) AS lost_count
    FROM {table} WHERE {published}
"""

# From now on the rows of these are known to be gone, unless others have taken their place.
_MARK_MISSING = """
    UPDATE {table} SET missing_since_time = $3
    WHERE (id, build_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
        AND missing_since_time IS NULL
"""

# The rows of these are there again, also of those that were called lost: somebody put the warehouse back.
_MARK_FOUND = """
    UPDATE {table} SET missing_since_time = NULL, remake_build_id = NULL, lost_time = NULL, lost_reason = NULL
    WHERE (id, build_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[])) AND missing_since_time IS NOT NULL
"""

# Whose rows are to be made again: of each scope the newest first, and a snapshot before the scoring that reads it?
_GONE = """
    SELECT kind, id, business_id, cutoff_time FROM (
        SELECT 'snapshot' AS kind, id, business_id, cutoff_time,
            row_number() OVER (PARTITION BY business_id ORDER BY cutoff_time DESC, id DESC) AS place
        FROM snapshots WHERE missing_since_time IS NOT NULL AND lost_time IS NULL
        UNION ALL
        SELECT 'scoring', id, business_id, cutoff_time,
            row_number() OVER (PARTITION BY business_id ORDER BY cutoff_time DESC, id DESC)
        FROM churn_scorings WHERE missing_since_time IS NOT NULL AND lost_time IS NULL
    ) AS gone
    ORDER BY place, kind DESC, business_id NULLS FIRST, id
"""

# Is it still to be made, what has it to be, and who tried before?
_BEGIN = """
    SELECT build_id, remake_build_id, {row_count} AS row_count, content_hash
    FROM {table} WHERE id = $1 AND missing_since_time IS NOT NULL AND lost_time IS NULL FOR UPDATE
"""

# From now on only this attempt can put its rows in their place.
_TAKE = "UPDATE {table} SET remake_build_id = $2 WHERE id = $1"

# These rows are the ones that count, if this attempt is still the one that may.
_RESTORE = """
    UPDATE {table} SET build_id = remake_build_id, remake_build_id = NULL, missing_since_time = NULL
    WHERE id = $1 AND remake_build_id = $2 AND lost_time IS NULL RETURNING id
"""

# It cannot be made again, if this attempt is still the one that may say so.
_LOSE = """
    UPDATE {table} SET lost_time = $3, lost_reason = $4, remake_build_id = NULL
    WHERE id = $1 AND remake_build_id = $2 AND lost_time IS NULL RETURNING id
"""


class RemakingRepository:
    """What PostgreSQL knows of rows that the warehouse has lost.

    Args:
        postgres: The system of record.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """Gives whether no other process makes rows again, and keeps others from it while the block runs.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        connection = await self._postgres.dedicated()
        try:
            try:
                is_alone: bool = await connection.fetchval(_ALONE)
            except (*LOST, asyncpg.InterfaceError) as error:
                raise StoreUnavailable from error
            yield is_alone
        finally:
            await connection.close()

    async def published(self, kind: Kind) -> Sequence[Published]:
        """Returns what is published of a kind, also what is called lost."""
        async with self._postgres.read() as connection:
            rows = await connection.fetch(_TABLES[kind].fill(_PUBLISHED))
        return [Published(**row) for row in rows]

    async def known(self, kind: Kind) -> Known:
        """Returns what is known of a kind as a whole."""
        async with self._postgres.read() as connection:
            ((build_count, build_hash, *tally),) = await connection.fetch(_TABLES[kind].fill(_KNOWN))
        return Known((build_count, build_hash), *tally)

    async def mark(self, kind: Kind, missing: Sequence[Published], found: Sequence[Published], now: datetime) -> None:
        """Notes whose rows are gone, and whose are there again."""
        table = _TABLES[kind]
        async with self._postgres.transaction() as tx:
            driver = await tx.driver()
            await driver.execute(table.fill(_MARK_MISSING), *_builds(missing), now)
            await driver.execute(table.fill(_MARK_FOUND), *_builds(found))

    async def gone(self) -> Sequence[Gone]:
        """Returns whose rows are to be made again: of each scope the newest first."""
        async with self._postgres.read() as connection:
            rows = await connection.fetch(_GONE)
        return [Gone(Kind(row["kind"]), row["id"], row["business_id"], row["cutoff_time"]) for row in rows]

    async def begin(self, gone: Gone, build_id: UUID) -> Attempt | None:
        """Makes an attempt the one that may put its rows in place; None where there is nothing to make any more."""
        table = _TABLES[gone.kind]
        async with self._postgres.transaction() as tx:
            driver = await tx.driver()
            row = await driver.fetchrow(table.fill(_BEGIN), gone.id)
            if row is None:
                return None
            await driver.execute(table.fill(_TAKE), gone.id, build_id)
        if row["content_hash"] is None:
            return Attempt(None, row["build_id"], row["remake_build_id"])
        contents = BuildContents(row["row_count"], int(row["content_hash"]))
        return Attempt(contents, row["build_id"], row["remake_build_id"])

    async def restore(self, gone: Gone, build_id: UUID) -> bool:
        """Makes an attempt's rows those that count, in one step; returns False when a later attempt has taken over."""
        async with self._postgres.transaction() as tx:
            driver = await tx.driver()
            return await driver.fetchval(_TABLES[gone.kind].fill(_RESTORE), gone.id, build_id) is not None

    async def lose(self, gone: Gone, build_id: UUID, reason: LostReason, now: datetime) -> bool:
        """Notes that rows cannot be made again; returns False when a later attempt has taken over."""
        async with self._postgres.transaction() as tx:
            driver = await tx.driver()
            sql = _TABLES[gone.kind].fill(_LOSE)
            return await driver.fetchval(sql, gone.id, build_id, now, reason.value) is not None


def _builds(published: Sequence[Published]) -> tuple[list[UUID], list[UUID]]:
    return [each.id for each in published], [each.build_id for each in published]
