"""Scorings that were said too late for a forecast are told from those that were said in time."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Adds the mark, and marks those of the past; their receipts stay, as those of backtests."""
    comment = "said more than 36 hours after the cutoff: used by nothing"
    op.add_column("churn_scorings", sa.Column("backtest", sa.Boolean, comment=comment))
    op.execute("UPDATE churn_scorings SET backtest = create_time > cutoff_time + interval '36 hours'")
    op.alter_column("churn_scorings", "backtest", nullable=False)
