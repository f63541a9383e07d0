"""Tables of churn: models with their cards, scorings, and receipts. The scores themselves are in the warehouse."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from svoykrug_server.storage.schema.base import INSTANT, metadata
from svoykrug_server.storage.schema.losses import loss_columns, lost_check

churn_models = sa.Table(
    "churn_models",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True, comment="UUID version 7: sorts by time"),
    sa.Column("business_id", sa.Uuid, comment="null for the circle"),
    sa.Column("state", sa.Text, nullable=False, server_default="candidate"),
    sa.Column("horizon_days", sa.Integer, nullable=False, comment="churn means no purchase within this many days"),
    sa.Column("population_days", sa.Integer, nullable=False, comment="0 for everyone with any purchase"),
    sa.Column("test_cutoff_time", INSTANT, nullable=False, comment="its window judged the model"),
    sa.Column("training_cutoff_times", pg.ARRAY(INSTANT), nullable=False, comment="it learned from their windows"),
    sa.Column("watermark", INSTANT, nullable=False, comment="nothing ingested later was read"),
    sa.Column("algorithm", sa.Text, nullable=False),
    sa.Column("features", pg.ARRAY(sa.Text), nullable=False),
    sa.Column("card", pg.JSONB, nullable=False, comment="how good it is"),
    sa.Column("document", pg.JSONB, nullable=False, comment="the model as numbers: they cannot run code"),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.Column("promote_time", INSTANT, comment="when it began to serve"),
    sa.Column("retire_time", INSTANT, comment="when another took its place"),
    sa.CheckConstraint("state IN ('candidate', 'serving', 'retired')", name="churn_models_state_check"),
    sa.CheckConstraint("horizon_days > 0", name="churn_models_horizon_days_check"),
    sa.CheckConstraint("population_days >= 0", name="churn_models_population_days_check"),
    sa.CheckConstraint("(state = 'candidate') = (promote_time IS NULL)", name="churn_models_promote_time_check"),
    sa.CheckConstraint("(state = 'retired') = (retire_time IS NOT NULL)", name="churn_models_retire_time_check"),
    sa.Index(None, "business_id", "id"),
    sa.Index(
        "churn_models_serving_key",
        "business_id",
        unique=True,
        postgresql_where=sa.text("state = 'serving'"),
        postgresql_nulls_not_distinct=True,
    ),
    comment="Churn models; at most one serves a scope",
)

churn_scorings = sa.Table(
    "churn_scorings",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True, comment="names its rows in the warehouse"),
    sa.Column("model_id", sa.Uuid, nullable=False),
    sa.Column("business_id", sa.Uuid, comment="null for the circle"),
    sa.Column("cutoff_time", INSTANT, nullable=False, comment="what was known until then was read"),
    sa.Column("watermark", INSTANT, nullable=False),
    sa.Column("scored_count", sa.BigInteger, nullable=False),
    sa.Column("create_time", INSTANT, nullable=False, comment="when it was finished; it never changes"),
    sa.Column(
        "drift",
        pg.JSONB,
        nullable=False,
        server_default="{}",
        comment="stability index of each feature between training and this scoring",
    ),
    sa.Column("build_id", sa.Uuid, nullable=False, comment="the attempt whose rows in the warehouse count"),
    sa.Column(
        "backtest", sa.Boolean, nullable=False, comment="said more than 36 hours after the cutoff: used by nothing"
    ),
    *loss_columns(),
    sa.Column(
        "content_hash",
        sa.Numeric(20),
        comment="of all its rows, to prove that computing them again gives the same; null of the oldest",
    ),
    sa.Column("snapshot_id", sa.Uuid, comment="the snapshot that said the segments; null when there was none"),
    lost_check("churn_scorings"),
    sa.ForeignKeyConstraint(["model_id"], ["churn_models.id"]),
    sa.Index(None, "business_id", "cutoff_time", "id"),
    sa.Index(None, "model_id"),
    comment="Finished scorings",
)

churn_receipts = sa.Table(
    "churn_receipts",
    metadata,
    sa.Column("scoring_id", sa.Uuid, primary_key=True),
    sa.Column("member_count", sa.BigInteger, nullable=False),
    sa.Column("predicted_share", sa.Double, nullable=False, comment="the share that was said to leave"),
    sa.Column("observed_share", sa.Double, nullable=False, comment="the share that left"),
    sa.Column("figures", pg.JSONB, nullable=False, comment="ROC-AUC, Brier score and ECE"),
    sa.Column("bins", pg.JSONB, nullable=False, comment="what was said and what happened, tenth by tenth"),
    sa.Column("watermark", INSTANT, nullable=False, comment="what was known when it was graded"),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.ForeignKeyConstraint(["scoring_id"], ["churn_scorings.id"]),
    comment="Forecasts graded once their horizon had closed",
)
