"""SQL of how far the members have moved since training, over all scopes."""

from typing import Any

from svoykrug_server.analytics.churn.model import OUT_OF_DATE
from svoykrug_server.analytics.churn.stability import SCOPE_KINDS, ScopeKind, Stability
from svoykrug_server.storage.postgres import Postgres

# How far has each feature moved at worst, over the latest forecasts of serving models, and how many are out of date?
_STABILITY = """
    WITH latest AS (
        SELECT DISTINCT ON (s.model_id) s.model_id, s.business_id, s.drift
        FROM churn_scorings s JOIN churn_models m ON m.id = s.model_id AND m.state = 'serving'
        WHERE NOT s.backtest
        ORDER BY s.model_id, s.cutoff_time DESC, s.id DESC
    )
    SELECT CASE WHEN business_id IS NULL THEN 'circle' ELSE 'business' END AS kind, feature, max(psi::float8) AS worst,
        count(DISTINCT model_id) FILTER (WHERE psi::float8 > $1) AS out_of_date_count
    FROM latest, jsonb_each_text(drift) AS moved (feature, psi)
    GROUP BY GROUPING SETS ((kind, feature), (kind))
"""


class StabilityRepository:
    """The drift of forecasts in PostgreSQL.

    Args:
        postgres: The system of record.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def stability(self) -> list[Stability]:
        """Returns how far the latest forecasts are from training, for both kinds of scope."""
        async with self._postgres.read() as connection:
            rows = await connection.fetch(_STABILITY, OUT_OF_DATE)
        return [_stability(kind, [row for row in rows if row["kind"] == kind]) for kind in SCOPE_KINDS]


def _stability(kind: ScopeKind, rows: list[Any]) -> Stability:
    worst = {row["feature"]: row["worst"] for row in rows if row["feature"] is not None}
    return Stability(kind, worst, sum(row["out_of_date_count"] for row in rows if row["feature"] is None))
