"""Scoring: every attempt writes rows of its own, and one attempt's are published."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Adds the build; that of a scoring made before is named as the scoring."""
    comment = "the attempt whose rows in the warehouse count"
    op.add_column("churn_scorings", sa.Column("build_id", sa.Uuid, comment=comment))
    op.execute("UPDATE churn_scorings SET build_id = id")
    op.alter_column("churn_scorings", "build_id", nullable=False)
