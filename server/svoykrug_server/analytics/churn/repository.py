"""All Postgres SQL of churn: models, scorings and receipts."""

# ruff: noqa: S608  statements are put together from texts of this module only; every value is bound

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from svoykrug_server.analytics.churn.card import (
    bins_document,
    bins_from_document,
    card_document,
    card_from_document,
)
from svoykrug_server.analytics.churn.loan import Loan
from svoykrug_server.analytics.churn.model import (
    ChurnModel,
    ForecastReceipt,
    ModelState,
    Scoring,
    ScoringPlan,
    TrainingPlan,
)
from svoykrug_server.analytics.standing import Standing
from svoykrug_server.storage.postgres import Postgres, Transaction
from svoykrug_server.storage.schema.churn import churn_models, churn_receipts, churn_scorings

_MODEL = """
    id, business_id, state, horizon_days, population_days, test_cutoff_time, training_cutoff_times, watermark,
    algorithm, features, card, create_time, (
        SELECT s.drift FROM churn_scorings s WHERE s.model_id = churn_models.id AND NOT s.backtest
        ORDER BY s.cutoff_time DESC, s.id DESC LIMIT 1
    ) AS drift
"""
_SCORING = """
    s.id, s.build_id, s.model_id, s.business_id, s.cutoff_time, s.watermark, s.scored_count, s.create_time, s.drift,
    s.content_hash, s.snapshot_id, s.missing_since_time, s.lost_time, s.lost_reason, m.horizon_days, m.population_days
    FROM churn_scorings s JOIN churn_models m ON m.id = s.model_id
"""
_IN_SCOPE = "({table}business_id = $1 OR $1::uuid IS NULL AND {table}business_id IS NULL)"

# Which model of this scope has this id?
_FIND = f"SELECT {_MODEL} FROM churn_models WHERE {_IN_SCOPE.format(table='')} AND id = $2"

# Which model scores this scope?
_SERVING = f"SELECT {_MODEL} FROM churn_models WHERE {_IN_SCOPE.format(table='')} AND state = 'serving'"

# Which models of this scope come next, the newest first?
_LIST = f"""
    SELECT {_MODEL} FROM churn_models WHERE {_IN_SCOPE.format(table="")} AND ($2::uuid IS NULL OR id < $2)
    ORDER BY id DESC LIMIT $3
"""

# Which models of their own data serve other businesses of this one's category, none of them sensitive, the most judged
# by first?
_LENDERS = """
    SELECT b.category, m.horizon_days, m.document
    FROM churn_models m JOIN businesses b ON b.id = m.business_id
    WHERE m.state = 'serving' AND NOT b.sensitive AND b.id != $1
        AND b.category = (SELECT category FROM businesses WHERE id = $1)
        AND coalesce(m.card->>'borrowed_from', '') = '' AND ($2 = 0 OR m.horizon_days = $2)
    ORDER BY (m.card->>'test_member_count')::bigint DESC, m.id LIMIT 5
"""

# What are the numbers of this model?
_DOCUMENT = "SELECT document FROM churn_models WHERE id = $1"

# Which forecast of this scope has the latest cutoff, of those that had been published by an instant? (one scope has one
# business, or none: the index has its order for the circle too only where the order names it)
_LATEST_FORECAST = f"""
    SELECT {_SCORING} WHERE {_IN_SCOPE.format(table="s.")} AND NOT s.backtest AND s.lost_time IS NULL
        AND ($2::timestamptz IS NULL OR s.cutoff_time <= $2 AND s.create_time <= $2)
    ORDER BY s.business_id DESC, s.cutoff_time DESC, s.id DESC LIMIT 1
"""

# Is this scoring finished?
_FIND_SCORING = f"SELECT {_SCORING} WHERE s.id = $1"

# Which scorings of this scope have a closed horizon and no receipt?
_UNGRADED = f"""
    SELECT {_SCORING} WHERE {_IN_SCOPE.format(table="s.")}
        AND s.cutoff_time + make_interval(days => m.horizon_days) <= $2 AND s.lost_time IS NULL
        AND NOT EXISTS (SELECT FROM churn_receipts r WHERE r.scoring_id = s.id)
    ORDER BY s.cutoff_time, s.id
"""

# Which receipts of this scope come next, with or without those of backtests, the latest cutoff first?
_RECEIPTS = f"""
    SELECT r.member_count, r.predicted_share, r.observed_share, r.figures, r.bins, r.watermark AS graded_watermark,
        r.create_time AS graded_time, {_SCORING} JOIN churn_receipts r ON r.scoring_id = s.id
    WHERE {_IN_SCOPE.format(table="s.")} AND ($2::timestamptz IS NULL OR (s.cutoff_time, s.id) < ($2, $3))
        AND ($5 OR NOT s.backtest)
    ORDER BY s.business_id DESC, s.cutoff_time DESC, s.id DESC LIMIT $4
"""

# Will nobody else promote a model of this scope before this transaction ends?
_LOCK_SCOPE = text("SELECT pg_advisory_xact_lock(hashtextextended('churn_models ' || :scope, 0))")


class ChurnRepository:
    """Churn in PostgreSQL.

    Args:
        postgres: The system of record.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def add_model(self, model: ChurnModel, document: Mapping[str, Any]) -> None:
        """Keeps a trained model; a repeated attempt that comes second changes nothing."""
        plan = model.plan
        async with self._postgres.transaction() as tx:
            # Keep a trained model with its card and its numbers.
            await tx.execute(
                upsert(churn_models)
                .values(
                    id=plan.model_id,
                    business_id=plan.business_id,
                    horizon_days=plan.horizon_days,
                    population_days=plan.population_days,
                    test_cutoff_time=plan.test_cutoff,
                    training_cutoff_times=list(plan.training_cutoffs),
                    watermark=plan.watermark,
                    algorithm=model.algorithm,
                    features=list(model.features),
                    card=card_document(model.card),
                    document=dict(document),
                    create_time=model.create_time,
                )
                .on_conflict_do_nothing()
            )

    async def find_model(self, business_id: UUID | None, model_id: UUID) -> ChurnModel | None:
        """Returns a model of a scope, or None."""
        async with self._postgres.read() as connection:
            row = await connection.fetchrow(_FIND, business_id, model_id)
        return None if row is None else _model(row)

    async def serving_model(self, business_id: UUID | None) -> ChurnModel | None:
        """Returns the model that scores a scope, or None."""
        async with self._postgres.read() as connection:
            row = await connection.fetchrow(_SERVING, business_id)
        return None if row is None else _model(row)

    async def loan(self, business_id: UUID | None, horizon_days: int) -> Loan | None:
        """Returns the models a business may borrow from; None for the circle, and where its category has none.

        Args:
            business_id: The borrower.
            horizon_days: Their horizon; 0 for that of the one that was judged by the most members.
        """
        async with self._postgres.read() as connection:
            rows = await connection.fetch(_LENDERS, business_id, horizon_days)
        if not rows:
            return None
        horizon = rows[0]["horizon_days"]
        documents = tuple(row["document"] for row in rows if row["horizon_days"] == horizon)
        return Loan(rows[0]["category"], horizon, documents)

    async def list_models(self, business_id: UUID | None, before_id: UUID | None, limit: int) -> list[ChurnModel]:
        """Returns models of a scope, the newest first.

        Args:
            business_id: The business; None for the circle.
            before_id: The last one before; None for the first.
            limit: How many at most.
        """
        async with self._postgres.read() as connection:
            rows = await connection.fetch(_LIST, business_id, before_id, limit)
        return [_model(row) for row in rows]

    async def document(self, model_id: UUID) -> dict[str, Any] | None:
        """Returns the numbers of a model, or None."""
        async with self._postgres.read() as connection:
            document: dict[str, Any] | None = await connection.fetchval(_DOCUMENT, model_id)
        return document

    async def lock_promotion(self, tx: Transaction, business_id: UUID | None) -> UUID | None:
        """Keeps others from promoting in a scope until the transaction ends, and returns its serving model, or None."""
        await tx.execute(_LOCK_SCOPE, {"scope": str(business_id)})
        scope = churn_models.c.business_id.is_not_distinct_from(business_id)
        # Which model serves this scope now?
        found = await tx.execute(select(churn_models.c.id).where(scope, churn_models.c.state == ModelState.SERVING))
        serving: UUID | None = found.scalar_one_or_none()
        return serving

    async def serve(self, tx: Transaction, model_id: UUID, retired_id: UUID | None, now: datetime) -> None:
        """Makes a model the serving one, in the transaction that holds the scope's lock."""
        if retired_id is not None:
            # The model before it serves no more.
            await tx.execute(
                update(churn_models)
                .where(churn_models.c.id == retired_id)
                .values(state=ModelState.RETIRED, retire_time=now)
            )
        # From now on this model serves.
        await tx.execute(
            update(churn_models)
            .where(churn_models.c.id == model_id)
            .values(state=ModelState.SERVING, promote_time=now, retire_time=None)
        )

    async def add_scoring(self, scoring: Scoring) -> UUID:
        """Makes a finished scoring visible and returns the build that is: of two attempts, that of the first."""
        plan = scoring.plan
        async with self._postgres.transaction() as tx:
            # From now on these scores count.
            await tx.execute(
                upsert(churn_scorings)
                .values(
                    id=plan.scoring_id,
                    model_id=plan.model_id,
                    business_id=plan.business_id,
                    cutoff_time=plan.cutoff,
                    watermark=plan.watermark,
                    scored_count=scoring.scored_count,
                    create_time=scoring.create_time,
                    drift=dict(scoring.drift),
                    build_id=scoring.build_id,
                    content_hash=scoring.content_hash,
                    snapshot_id=scoring.snapshot_id,
                    backtest=scoring.is_backtest,
                )
                .on_conflict_do_nothing()
            )
            # Which attempt's scores count?
            published = select(churn_scorings.c.build_id).where(churn_scorings.c.id == plan.scoring_id)
            build_id: UUID = (await tx.execute(published)).scalar_one()
        return build_id

    async def find_scoring(self, scoring_id: UUID) -> Scoring | None:
        """Returns a finished scoring, or None."""
        async with self._postgres.read() as connection:
            row = await connection.fetchrow(_FIND_SCORING, scoring_id)
        return None if row is None else _scoring(row)

    async def latest_forecast(self, business_id: UUID | None, as_of: datetime | None) -> Scoring | None:
        """Returns the forecast of a scope with the latest cutoff, or None; backtests are none, lost ones are left out.

        Args:
            business_id: The business; None for the circle.
            as_of: Only one that had been published by this instant; None for any.
        """
        async with self._postgres.read() as connection:
            row = await connection.fetchrow(_LATEST_FORECAST, business_id, as_of)
        return None if row is None else _scoring(row)

    async def ungraded(self, business_id: UUID | None, watermark: datetime) -> list[Scoring]:
        """Returns the scorings of a scope whose horizon has closed and that have no receipt, the earliest first."""
        async with self._postgres.read() as connection:
            rows = await connection.fetch(_UNGRADED, business_id, watermark)
        return [_scoring(row) for row in rows]

    async def add_receipt(self, receipt: ForecastReceipt) -> None:
        """Keeps what became of a forecast; the first receipt of a scoring stays."""
        async with self._postgres.transaction() as tx:
            # What became of this forecast?
            await tx.execute(
                upsert(churn_receipts)
                .values(
                    scoring_id=receipt.scoring.plan.scoring_id,
                    member_count=receipt.member_count,
                    predicted_share=receipt.predicted_share,
                    observed_share=receipt.observed_share,
                    figures=receipt.figures,
                    bins=bins_document(receipt.bins),
                    watermark=receipt.watermark,
                    create_time=receipt.create_time,
                )
                .on_conflict_do_nothing()
            )

    async def receipts(
        self, business_id: UUID | None, before: tuple[datetime, UUID] | None, limit: int, *, backtests: bool
    ) -> list[ForecastReceipt]:
        """Returns receipts of a scope, the latest cutoff first.

        Args:
            business_id: The business; None for the circle.
            before: Cutoff and scoring of the last one before; None for the first.
            limit: How many at most.
            backtests: Whether those of backtests are among them.
        """
        cutoff, scoring_id = before or (None, None)
        async with self._postgres.read() as connection:
            rows = await connection.fetch(_RECEIPTS, business_id, cutoff, scoring_id, limit, backtests)
        return [_receipt(row) for row in rows]


def _model(row: Mapping[str, Any] | Any) -> ChurnModel:
    return ChurnModel(
        plan=TrainingPlan(
            model_id=row["id"],
            business_id=row["business_id"],
            horizon_days=row["horizon_days"],
            population_days=row["population_days"],
            test_cutoff=row["test_cutoff_time"],
            training_cutoffs=tuple(row["training_cutoff_times"]),
            watermark=row["watermark"],
        ),
        card=card_from_document(row["card"]),
        algorithm=row["algorithm"],
        features=tuple(row["features"]),
        state=ModelState(row["state"]),
        create_time=row["create_time"],
        drift=row["drift"] or {},
    )


def _scoring(row: Mapping[str, Any] | Any) -> Scoring:
    plan = ScoringPlan(row["id"], row["model_id"], row["business_id"], row["cutoff_time"], row["watermark"])
    counts = (row["horizon_days"], row["population_days"], row["scored_count"])
    content_hash = None if row["content_hash"] is None else int(row["content_hash"])
    standing = Standing(row["missing_since_time"], row["lost_time"], row["lost_reason"] or "")
    made_from = (row["drift"], content_hash, row["snapshot_id"])
    return Scoring(plan, row["build_id"], *counts, row["create_time"], *made_from, standing)


def _receipt(row: Mapping[str, Any] | Any) -> ForecastReceipt:
    return ForecastReceipt(
        scoring=_scoring(row),
        member_count=row["member_count"],
        predicted_share=row["predicted_share"],
        observed_share=row["observed_share"],
        figures=row["figures"],
        bins=bins_from_document(row["bins"]),
        watermark=row["graded_watermark"],
        create_time=row["graded_time"],
    )
