"""Tables of membership: tiers that follow purchases, and wallet codes."""

import sqlalchemy as sa

from svoykrug_server.storage.schema.base import INSTANT, metadata

tier_due = sa.Table(
    "tier_due",
    metadata,
    sa.Column("outbox_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("entry_count", sa.Integer, nullable=False, comment="how many ledger rows the transaction wrote"),
    comment="Transactions that wrote to the ledger since tiers were computed; one row for each, whatever it wrote",
)

tier_state = sa.Table(
    "tier_state",
    metadata,
    sa.Column("only_row", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("done_day", sa.Date, comment="the last day whose beginning every tier was computed for"),
    sa.Column("done_time", INSTANT, comment="when that was done"),
    sa.Column("walk_day", sa.Date, comment="the day that is being computed, or was last"),
    sa.Column(
        "walk_member_id", sa.BigInteger, nullable=False, server_default="0", comment="computed for it up to here"
    ),
    sa.Column("top_spend_minor", sa.BigInteger, comment="whoever spent as much is among the top; null while nobody is"),
    sa.CheckConstraint("only_row", name="tier_state_only_row_check"),
    sa.CheckConstraint("top_spend_minor > 0", name="tier_state_top_spend_minor_check"),
    comment="One row: how far the nightly computation of all tiers is, in days of the circle's time zone",
)

wallet_codes = sa.Table(
    "wallet_codes",
    metadata,
    sa.Column("code_hash", sa.LargeBinary, primary_key=True, comment="HMAC-SHA-256 of the code, 32 bytes"),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("expire_time", INSTANT, nullable=False),
    sa.Column("use_time", INSTANT, comment="when a purchase was written with it; null until then"),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    sa.CheckConstraint("octet_length(code_hash) = 32", name="wallet_codes_code_hash_check"),
    sa.Index(None, "user_id"),
    sa.Index("wallet_codes_unused_key", "user_id", unique=True, postgresql_where=sa.text("use_time IS NULL")),
    comment="Codes by which purchases are recorded; each person has at most one that is not used",
)

wallet_guesses = sa.Table(
    "wallet_guesses",
    metadata,
    sa.Column("guess_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("caller_id", sa.Uuid, nullable=False, comment="the user or service account that guessed"),
    sa.Column("guess_time", INSTANT, nullable=False),
    sa.Index(None, "caller_id", "guess_time"),
    comment="Wrong wallet codes of the last hour",
)
