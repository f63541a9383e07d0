"""Retention: from which day on the warehouse holds every purchase."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Adds the horizon, and how far it has been followed; none of the past has been let go yet."""
    comment = "the warehouse holds every entry from this day on, in the circle's time zone; null: of all days"
    op.add_column("relay_state", sa.Column("kept_from_day", sa.Date, comment=comment))
    comment = "of older days the warehouse holds first purchases alone; null: nothing has been let go"
    op.add_column("relay_state", sa.Column("let_go_before_day", sa.Date, comment=comment))
