"""The audit trail and the answers kept for repeated requests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision: str | None = None

REFUSE_CHANGES = """
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_events is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$
"""
"""The body of the trigger that keeps the audit trail append-only."""


def upgrade() -> None:
    """Creates the tables `audit_events` and `idempotency_records`."""
    create_audit_events()
    create_idempotency_records()


def create_audit_events() -> None:
    """Creates the audit trail, its indexes, and the triggers that refuse changes."""
    op.create_table(
        "audit_events",
        sa.Column("event_id", sa.Uuid, primary_key=True, comment="UUID version 7: sorts by time"),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.Text, nullable=False, comment="What was done, for instance SESSION_COMPROMISED"),
        sa.Column("result", sa.Text, nullable=False, comment="done, or refused"),
        sa.Column("actor_kind", sa.Text, nullable=False, comment="user, service, operator (command line), or system"),
        sa.Column("actor_id", sa.Uuid, comment="Null for operator, system, and a caller who is not signed in"),
        sa.Column("target_kind", sa.Text, comment="What it was done to: user, session, business, ..."),
        sa.Column("target_id", sa.Text),
        sa.Column("peer_address", postgresql.INET, comment="Where the call came from"),
        sa.Column("request_id", sa.Text, comment="The call's x-request-id"),
        sa.Column(
            "details",
            postgresql.JSONB,
            nullable=False,
            comment="Further facts; never a phone, name, e-mail, code or token",
        ),
        sa.CheckConstraint("result IN ('done', 'refused')", name="audit_events_result_check"),
        sa.CheckConstraint(
            "actor_kind IN ('user', 'service', 'operator', 'system')", name="audit_events_actor_kind_check"
        ),
        comment="Append-only: a trigger refuses UPDATE, DELETE and TRUNCATE",
    )
    op.create_index(None, "audit_events", ["target_kind", "target_id", "event_time"])
    op.create_index(None, "audit_events", ["actor_id", "event_time"])
    op.execute(REFUSE_CHANGES)
    op.execute(
        "CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON audit_events "
        "FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()"
    )
    op.execute(
        "CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()"
    )


def create_idempotency_records() -> None:
    """Creates the table of answers kept for repeated requests."""
    op.create_table(
        "idempotency_records",
        sa.Column(
            "subject",
            sa.Text,
            primary_key=True,
            comment="Who calls: a user id, a service account id, or a challenge id",
        ),
        sa.Column(
            "method", sa.Text, primary_key=True, comment="The full method name: a request id is unique per method"
        ),
        sa.Column("request_id", sa.Uuid, primary_key=True),
        sa.Column("request_hash", sa.LargeBinary, nullable=False, comment="SHA-256 of the request's body"),
        sa.Column(
            "answer", postgresql.JSONB, comment="The first answer; null only inside the transaction that makes it"
        ),
        sa.Column("created_time", sa.DateTime(timezone=True), nullable=False),
        comment="Answers of creates and of money calls, kept 7 days, so that a repeated call gets the first answer",
    )
    op.create_index(None, "idempotency_records", ["created_time"])
