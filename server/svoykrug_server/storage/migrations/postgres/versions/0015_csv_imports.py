"""CSV imports: files as they are uploaded, what became of their rows, and ids of kept rows."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0013"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Creates the tables of CSV imports and gives every kept row an id."""
