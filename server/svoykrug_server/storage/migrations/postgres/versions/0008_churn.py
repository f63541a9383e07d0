"""Tables of churn."""

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Creates the tables of churn."""
