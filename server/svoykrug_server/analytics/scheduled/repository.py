"""SQL of the jobs of analytics: which scopes there is something to do for."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from svoykrug_server.storage.postgres import Postgres

# Which businesses sold something since an instant?
_SOLD_SINCE = """
    SELECT id FROM businesses WHERE EXISTS (
        SELECT FROM purchase_entries AS entry
        WHERE entry.business_id = businesses.id AND entry.purchase_time >= $1 AND entry.kind = 1
    ) ORDER BY id
"""

# Which scopes have a model that scores them? (null is the circle)
_SERVED = "SELECT business_id FROM churn_models WHERE state = 'serving' ORDER BY business_id NULLS FIRST"

# Which scopes have forecasts whose horizon has closed, and that have no receipt? (null is the circle)
_UNGRADED = """
    SELECT DISTINCT s.business_id FROM churn_scorings AS s JOIN churn_models AS m ON m.id = s.model_id
    WHERE s.cutoff_time + make_interval(days => m.horizon_days) <= $1 AND s.lost_time IS NULL
        AND NOT EXISTS (SELECT FROM churn_receipts AS r WHERE r.scoring_id = s.id)
    ORDER BY s.business_id NULLS FIRST
"""


# Which scopes have no serving model and none that was trained lately? (null is the circle)
_UNSERVED = """
    SELECT NULL::uuid AS id
    WHERE NOT EXISTS (SELECT FROM churn_models WHERE business_id IS NULL AND (state = 'serving' OR create_time > $1))
    UNION ALL
    SELECT id FROM businesses
    WHERE NOT EXISTS (
        SELECT FROM churn_models WHERE business_id = businesses.id AND (state = 'serving' OR create_time > $1)
    )
    ORDER BY id NULLS FIRST
"""

# How many members of this scope bought within a span, so many at most? (a statement for each scope: it may read a year
# of purchases)
_BOUGHT = """
    SELECT count(*) FROM (
        SELECT member_id FROM purchase_entries
        WHERE {scope} AND kind = 1 AND purchase_time >= $2 AND purchase_time < $3
        GROUP BY member_id LIMIT $4
    ) AS members
"""
_SCOPE = {True: "NOT sensitive AND $1::uuid IS NULL", False: "business_id = $1"}


class ScopeRepository:
    """Scopes in PostgreSQL: a business, or None for the circle.

    Args:
        postgres: The system of record.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def sold_since(self, instant: datetime) -> Sequence[UUID | None]:
        """Returns the circle, then every business that sold something since an instant."""
        async with self._postgres.read() as connection:
            return [None, *(row["id"] for row in await connection.fetch(_SOLD_SINCE, instant))]

    async def served(self) -> Sequence[UUID | None]:
        """Returns the scopes that have a serving model."""
        async with self._postgres.read() as connection:
            return [row["business_id"] for row in await connection.fetch(_SERVED)]

    async def unserved(
        self, member_count: int, bought: tuple[datetime, datetime], trained_after: datetime
    ) -> Sequence[UUID | None]:
        """Returns the scopes that have no serving model, and enough members to train one.

        Args:
            member_count: How many members it takes.
            bought: Between which instants they bought.
            trained_after: A scope of which a model was trained after this instant is left out.
        """
        async with self._postgres.read() as connection:
            scopes = [row["id"] for row in await connection.fetch(_UNSERVED, trained_after)]
        return [scope for scope in scopes if await self._has_bought(scope, member_count, bought)]

    async def ungraded(self, watermark: datetime) -> Sequence[UUID | None]:
        """Returns the scopes that have forecasts to grade."""
        async with self._postgres.read() as connection:
            return [row["business_id"] for row in await connection.fetch(_UNGRADED, watermark)]

    async def _has_bought(self, scope: UUID | None, member_count: int, bought: tuple[datetime, datetime]) -> bool:
        sql = _BOUGHT.format(scope=_SCOPE[scope is None])
        async with self._postgres.read() as connection:
            return bool(await connection.fetchval(sql, scope, *bought, member_count) == member_count)
