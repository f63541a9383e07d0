"""All PostgreSQL of dashboards: how far the warehouse is, which batches touched whom, and what is sensitive."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from svoykrug_server.analytics.build_rows import Build
from svoykrug_server.kit.errors import Unavailable
from svoykrug_server.storage import outbox
from svoykrug_server.storage.postgres import Postgres

# How far is the warehouse, is a business of the circle sensitive, is this one, and which forecasts of the scope have
# the latest cutoff on or before the ends of both periods?
_STANDING = """
    SELECT (SELECT watermark FROM relay_state) AS watermark,
        EXISTS (SELECT FROM businesses WHERE sensitive) AS any_sensitive,
        (SELECT sensitive FROM businesses WHERE id = $1) AS is_sensitive,
        coalesce(array_agg(latest.id ORDER BY place), '{}') AS scoring_ids,
        coalesce(array_agg(latest.build_id ORDER BY place), '{}') AS build_ids,
        coalesce(array_agg(latest.scored_count ORDER BY place), '{}') AS row_counts
    FROM unnest($2::timestamptz[]) WITH ORDINALITY AS ends (at, place)
    LEFT JOIN LATERAL (
        SELECT id, build_id, scored_count FROM churn_scorings
        WHERE (business_id = $1 OR $1::uuid IS NULL AND business_id IS NULL) AND cutoff_time <= ends.at AND NOT backtest
            AND lost_time IS NULL
        ORDER BY cutoff_time DESC, id DESC LIMIT 1
    ) AS latest ON true
"""

# Do the stores disagree on a day of the scope, or must it be feared?
_DISPUTED = """
    SELECT EXISTS (
        SELECT FROM proven_days JOIN businesses ON businesses.id = proven_days.business_id
        WHERE disputed_since_time IS NOT NULL
            AND ($1::uuid IS NULL AND ($2 OR NOT businesses.sensitive) OR business_id = $1)
    )
"""

REPAIR_DELAY = timedelta(seconds=5)

# Which businesses have entries in these batches?
_TOUCHED = "SELECT DISTINCT business_id FROM outbox WHERE batch_id > $1 AND batch_id <= $2"


@dataclass(frozen=True, slots=True)
class Standing:
    """What PostgreSQL knows of a scope.

    Attributes:
        watermark: Up to here the warehouse is proven to hold everything; None before the first proof.
        any_sensitive: Whether a business of the circle is sensitive.
        is_sensitive: Whether the scope is one; None when it is no business.
        scorings: The latest forecast on or before each of the instants asked for, with the build that counts, or None.
    """

    watermark: datetime | None
    any_sensitive: bool
    is_sensitive: bool | None
    scorings: tuple[Build | None, ...]


class DashboardRepository:
    """Dashboards in PostgreSQL.

    Args:
        postgres: The system of record.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def standing(self, business_id: UUID | None, ends: Sequence[datetime] = ()) -> Standing:
        """Returns what is known of a scope.

        Args:
            business_id: The business; None for the circle.
            ends: At which instants scorings are wanted.
        """
        async with self._postgres.read() as connection:
            row = await connection.fetchrow(_STANDING, business_id, list(ends))
        if row is None:
            raise LookupError("a row of subqueries is always there")
        return Standing(
            watermark=row["watermark"],
            any_sensitive=row["any_sensitive"],
            is_sensitive=row["is_sensitive"],
            scorings=tuple(
                None if scoring_id is None else Build(scoring_id, *build)
                for scoring_id, *build in zip(row["scoring_ids"], row["build_ids"], row["row_counts"], strict=True)
            ),
        )

    async def refuse_disputed(self, business_id: UUID | None, *, with_sensitive: bool = False) -> None:
        """Refuses figures of a scope while the stores are known to disagree: asked before they are read, and after.

        Who is new is told by every earlier day, and what was given back by every later one, so all of them count.

        Args:
            business_id: The business; None for the circle.
            with_sensitive: Whether sensitive businesses count in the circle.

        Raises:
            Unavailable: STORES_DISAGREE, a day waits for proof or repair.
        """
        async with self._postgres.read() as connection:
            if await connection.fetchval(_DISPUTED, business_id, with_sensitive):
                raise Unavailable("STORES_DISAGREE", retry_after=REPAIR_DELAY)

    async def shipped_up_to(self) -> int:
        """Returns the last batch up to which the warehouse holds all."""
        async with self._postgres.read() as connection:
            return await outbox.shipped_up_to(connection)

    async def touched(self, after_batch_id: int, up_to_batch_id: int) -> list[UUID]:
        """Returns the businesses that have entries in batches after one, up to another."""
        async with self._postgres.read() as connection:
            rows = await connection.fetch(_TOUCHED, after_batch_id, up_to_batch_id)
        return [row["business_id"] for row in rows]
