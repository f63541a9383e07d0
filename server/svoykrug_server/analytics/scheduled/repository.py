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

    async def ungraded(self, watermark: datetime) -> Sequence[UUID | None]:
        """Returns the scopes that have forecasts to grade."""
        async with self._postgres.read() as connection:
            return [row["business_id"] for row in await connection.fetch(_UNGRADED, watermark)]
