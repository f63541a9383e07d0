"""Tables of purchases."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Creates the tables of purchases."""
