"""Snapshots and scorings whose rows the warehouse has lost: since when, and which cannot be made again."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Adds what is known of the loss, and what proves that rows made again are the same."""
    for table in ("snapshots", "churn_scorings"):
        comment = "since when its rows are known to be gone from the warehouse; null once they are made again"
        op.add_column(table, sa.Column("missing_since_time", INSTANT, comment=comment))
        comment = "the attempt at making them again that may put its rows in their place"
        op.add_column(table, sa.Column("remake_build_id", sa.Uuid, comment=comment))
        comment = "since when it is known that they cannot be made again"
        op.add_column(table, sa.Column("lost_time", INSTANT, comment=comment))
        op.add_column(table, sa.Column("lost_reason", sa.Text, comment="why not"))
        op.create_check_constraint(
            f"{table}_lost_check",
            table,
            "(lost_time IS NULL) = (lost_reason IS NULL) AND (lost_time IS NULL OR missing_since_time IS NOT NULL)",
        )
    comment = "of all its rows, to prove that computing them again gives the same; null of the oldest"
    op.add_column("churn_scorings", sa.Column("content_hash", sa.Numeric(20), comment=comment))
    comment = "the snapshot that said the segments; null when there was none"
    op.add_column("churn_scorings", sa.Column("snapshot_id", sa.Uuid, comment=comment))
