"""Tables of operations: long work that survives a restart of the server, and the schedule of what is done regularly."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from svoykrug_server.storage.schema.base import INSTANT, metadata

operations = sa.Table(
    "operations",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True, comment="UUID version 7: sorts by time"),
    sa.Column("kind", sa.Text, nullable=False, comment="which work function runs it"),
    sa.Column(
        "parameters", pg.JSONB, nullable=False, comment="what the work function is given, the same on each attempt"
    ),
    sa.Column("starter_id", sa.Uuid, nullable=False, comment="the user or service account that asked for it"),
    sa.Column("state", sa.Text, nullable=False, server_default="queued"),
    sa.Column("stage", sa.Text, nullable=False, server_default="", comment="what it is doing now"),
    sa.Column("percent", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("rows_done_count", sa.BigInteger, nullable=False, server_default="0", comment="within the stage"),
    sa.Column("error_reason", sa.Text, comment="an error reason of the catalogue; only when failed"),
    sa.Column("error_metadata", pg.JSONB, comment="facts for programs; only when failed"),
    sa.Column("result", pg.JSONB, comment="the ids of what was made; only when succeeded"),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("attempt_count", sa.Integer, nullable=False, server_default="0", comment="how often a worker took it"),
    sa.Column("due_time", INSTANT, nullable=False, comment="no worker takes it before"),
    sa.Column("lease_owner", sa.Uuid, comment="the worker that is at it"),
    sa.Column("lease_expire_time", INSTANT, comment="from then on another worker may take it"),
    sa.Column("version", sa.BigInteger, nullable=False, server_default="1", comment="grows when a watcher has news"),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.Column("start_time", INSTANT, comment="when a worker first took it"),
    sa.Column("end_time", INSTANT),
    sa.CheckConstraint(
        "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="operations_state_check"
    ),
    sa.CheckConstraint("percent BETWEEN 0 AND 100", name="operations_percent_check"),
    sa.CheckConstraint("(state = 'running') = (lease_owner IS NOT NULL)", name="operations_lease_owner_check"),
    sa.CheckConstraint("(state = 'running') = (lease_expire_time IS NOT NULL)", name="operations_lease_expire_check"),
    sa.CheckConstraint("(state = 'failed') = (error_reason IS NOT NULL)", name="operations_error_check"),
    sa.CheckConstraint("(state = 'succeeded') = (result IS NOT NULL)", name="operations_result_check"),
    sa.CheckConstraint("(state IN ('queued', 'running')) = (end_time IS NULL)", name="operations_end_check"),
    sa.Index(None, "starter_id", "id"),
    sa.Index("operations_unfinished_idx", "due_time", "id", postgresql_where=sa.text("state IN ('queued', 'running')")),
    comment="Long work: taken by lease, so that it goes on when its worker dies",
)

scheduled_runs = sa.Table(
    "scheduled_runs",
    metadata,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("period", sa.Text(collation="C"), primary_key=True, comment="2026-11-22, 2026-W47 or 2026-11"),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempt_count", sa.Integer, nullable=False, server_default="0", comment="how often a worker took it"),
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
