"""Erasure: what is to be erased and what was, and external ids of purchases without a person."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0013"
down_revision = "0012"

REFUSE_CHANGES = """
CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        OLD.peer_address := NULL;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit_events is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$
"""
"""The body of the trigger that keeps the audit trail append-only, but for the address a person came from."""

APPEND_ONLY = "Append-only: a trigger refuses UPDATE, DELETE and TRUNCATE"
BUT_ADDRESSES = "Append-only: a trigger refuses every change but taking away the address of a person who is erased"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Creates the table of erasures, lets the ledger keep the keyed hash of an external id, and finds superadmins."""
    _create_erasures()
    _let_external_ids_go()
    op.execute(REFUSE_CHANGES)
    op.create_table_comment("audit_events", BUT_ADDRESSES, existing_comment=APPEND_ONLY)
    op.create_index("users_superadmins_idx", "users", ["id"], postgresql_where=sa.text("'superadmin' = ANY (roles)"))


def _create_erasures() -> None:
    """Creates the table that says what is to be erased, and what was."""
    op.create_table(
        "erasures",
        sa.Column("id", sa.Uuid, primary_key=True, comment="122 random bits: whoever holds it may read the receipt"),
        sa.Column("user_id", sa.Uuid, comment="who is to be erased; null once she is, or took it back"),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("request_time", INSTANT, nullable=False),
        sa.Column("erase_time", INSTANT, nullable=False, comment="not before then"),
        sa.Column("next_attempt_time", INSTANT, nullable=False, comment="also the end of the lease of an attempt"),
        sa.Column("attempt_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("done_time", INSTANT),
        sa.Column("tables", pg.JSONB, comment="store, table, deleted and anonymized rows of each; once done"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], deferrable=True, initially="DEFERRED"),
        sa.UniqueConstraint("user_id"),
        sa.CheckConstraint("state IN ('scheduled', 'running', 'done', 'cancelled')", name="erasures_state_check"),
        sa.CheckConstraint("(user_id IS NULL) = (state IN ('done', 'cancelled'))", name="erasures_user_id_check"),
        sa.CheckConstraint(
            "(state = 'done') = (done_time IS NOT NULL) AND (state = 'done') = (tables IS NOT NULL)",
            name="erasures_done_check",
        ),
        comment="Requests to erase a person, and the receipts: nothing in a receipt is about her",
    )
    op.create_index(
        "erasures_due_idx",
        "erasures",
        ["next_attempt_time"],
        postgresql_where=sa.text("state IN ('scheduled', 'running')"),
    )


def _let_external_ids_go() -> None:
    """Adds the column in which an erased person's purchases keep the keyed hash of their external id."""
    op.add_column(
        "purchase_entries",
        sa.Column(
            "external_id_hash", sa.LargeBinary, comment="stands for it once its member is erased: 32 bytes, keyed"
        ),
    )
    op.alter_column("purchase_entries", "external_id", nullable=True)
    op.create_check_constraint(
        "purchase_entries_external_id_check",
        "purchase_entries",
        "num_nonnulls(external_id, external_id_hash) = 1 AND octet_length(external_id_hash) = 32",
    )
    op.create_index(
        "purchase_entries_external_id_hash_key",
        "purchase_entries",
        ["business_id", "external_id_hash"],
        unique=True,
        postgresql_where=sa.text("external_id_hash IS NOT NULL"),
    )
