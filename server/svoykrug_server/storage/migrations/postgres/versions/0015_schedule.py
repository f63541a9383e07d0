"""The schedule: which job was done for which period, and when the tiers of a night were."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Creates the table of scheduled runs, and notes when a night's tiers were computed."""
    _create_runs()
    op.add_column("tier_state", sa.Column("done_time", INSTANT, comment="when that was done"))


def _create_runs() -> None:
    """Creates the table that says how each job stands in each period."""
    op.create_table(
        "scheduled_runs",
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("period", sa.Text, primary_key=True, comment="2026-11-22, 2026-W47 or 2026-11, sorted by bytes"),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column(
            "attempt_count", sa.Integer, nullable=False, server_default="0", comment="how often a worker took it"
        ),
        sa.Column("next_attempt_time", INSTANT, comment="no worker takes it before; only while it waits"),
        sa.Column("lease_owner", sa.Uuid, comment="the attempt that is at it"),
        sa.Column("lease_expire_time", INSTANT, comment="from then on another worker may take it"),
        sa.Column("error_reason", sa.Text, comment="why the last attempt failed; null once one did not"),
        sa.Column("create_time", INSTANT, nullable=False),
        sa.Column("end_time", INSTANT, comment="when it was done"),
        sa.CheckConstraint(
            "state IN ('skipped', 'waiting', 'running', 'done', 'overtaken')", name="scheduled_runs_state_check"
        ),
        sa.CheckConstraint("(state = 'running') = (lease_owner IS NOT NULL)", name="scheduled_runs_lease_owner_check"),
        sa.CheckConstraint(
            "(state = 'running') = (lease_expire_time IS NOT NULL)", name="scheduled_runs_lease_expire_check"
        ),
        sa.CheckConstraint(
            "(state = 'waiting') = (next_attempt_time IS NOT NULL)", name="scheduled_runs_next_attempt_check"
        ),
        sa.CheckConstraint("(state = 'done') = (end_time IS NOT NULL)", name="scheduled_runs_end_check"),
        comment="What is done again and again: a row per job and period, taken by lease",
    )
