"""Drift: how far the members of a scoring are from those its model learned from."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Adds what each scoring says of drift; those made before say nothing."""
    comment = "stability index of each feature between training and this scoring"
    op.add_column("churn_scorings", sa.Column("drift", pg.JSONB, nullable=False, server_default="{}", comment=comment))
