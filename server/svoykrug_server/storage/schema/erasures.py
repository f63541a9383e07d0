"""The table of erasures: who is to be erased, and what was erased where."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from svoykrug_server.storage.schema.base import INSTANT, metadata

erasures = sa.Table(
    "erasures",
    metadata,
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
    sa.Index("erasures_due_idx", "next_attempt_time", postgresql_where=sa.text("state IN ('scheduled', 'running')")),
    comment="Requests to erase a person, and the receipts: nothing in a receipt is about her",
)
