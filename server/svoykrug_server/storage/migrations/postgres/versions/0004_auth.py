"""Tables of auth."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Creates the tables of auth."""
