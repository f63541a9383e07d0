"""What PostgreSQL knows of rows that the warehouse has lost: the same of snapshots and of scorings."""

import sqlalchemy as sa

from svoykrug_server.storage.schema.base import INSTANT


def loss_columns() -> tuple["sa.Column[object]", ...]:
    """Returns the columns of a table that publishes rows of the warehouse."""
    return (
        sa.Column(
            "missing_since_time",
            INSTANT,
            comment="since when its rows are known to be gone from the warehouse; null once they are made again",
        ),
        sa.Column(
            "remake_build_id",
            sa.Uuid,
            comment="the attempt at making them again that may put its rows in their place",
        ),
        sa.Column("lost_time", INSTANT, comment="since when it is known that they cannot be made again"),
        sa.Column("lost_reason", sa.Text, comment="why not"),
    )


def lost_check(table: str) -> sa.CheckConstraint:
    """Returns the rule that what is lost for good is missing, and says why."""
    return sa.CheckConstraint(
        "(lost_time IS NULL) = (lost_reason IS NULL) AND (lost_time IS NULL OR missing_since_time IS NOT NULL)",
        name=f"{table}_lost_check",
    )
