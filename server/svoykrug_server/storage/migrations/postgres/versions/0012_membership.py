"""Membership: tiers that follow purchases, wallet codes, and when each member joined."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Creates the tables of tiers and wallet codes."""
    add_user_columns()
    create_tiers()
    create_wallet_codes()


def add_user_columns() -> None:
    """Adds to users what an admin decided of their tier, and when they joined; known of them by their first consent."""
    op.add_column(
        "users",
        sa.Column(
            "tier_pinned",
            sa.Boolean,
            nullable=False,
            server_default=sa.false(),
            comment="an admin set the tier: it does not follow purchases",
        ),
    )
    op.add_column("users", sa.Column("join_time", INSTANT, comment="her first sign-in; null while unclaimed"))
    op.execute(
        "UPDATE users SET join_time = (SELECT min(consent_time) FROM user_consents WHERE user_id = users.id) "
        "WHERE status <> 'unclaimed'"
    )
    op.drop_index("users_referrer_id_idx", "users")
    op.create_index(
        None,
        "users",
        ["referrer_id", "join_time", "id"],
        postgresql_where=sa.text("referrer_id IS NOT NULL"),
    )


def create_tiers() -> None:
    """Creates what tells which tiers are to be computed, and finds a member's refunds; purchases pay nothing for it."""
    op.create_index(
        "purchase_entries_member_refund_idx", "purchase_entries", ["member_id"], postgresql_where=sa.text("kind <> 1")
    )
    op.create_table(
        "tier_due",
        sa.Column("outbox_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("entry_count", sa.Integer, nullable=False, comment="how many ledger rows the transaction wrote"),
        comment="Transactions that wrote to the ledger since tiers were computed; one row for each, whatever it wrote",
    )
    op.create_table(
        "tier_state",
        sa.Column("only_row", sa.Boolean, primary_key=True, server_default=sa.true()),
        sa.Column("done_day", sa.Date, comment="the last day whose beginning every tier was computed for"),
        sa.Column("walk_day", sa.Date, comment="the day that is being computed, or was last"),
        sa.Column(
            "walk_member_id", sa.BigInteger, nullable=False, server_default="0", comment="computed for it up to here"
        ),
        sa.Column(
            "top_spend_minor", sa.BigInteger, comment="whoever spent as much is among the top; null while nobody is"
        ),
        sa.CheckConstraint("only_row", name="tier_state_only_row_check"),
        sa.CheckConstraint("top_spend_minor > 0", name="tier_state_top_spend_minor_check"),
        comment="One row: how far the nightly computation of all tiers is, in days of the circle's time zone",
    )
    op.execute("INSERT INTO tier_state DEFAULT VALUES")


def create_wallet_codes() -> None:
    """Creates the codes that people show, and the wrong guesses at them."""
    op.create_table(
        "wallet_codes",
        sa.Column("code_hash", sa.LargeBinary, primary_key=True, comment="HMAC-SHA-256 of the code, 32 bytes"),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("expire_time", INSTANT, nullable=False),
        sa.Column("use_time", INSTANT, comment="when a purchase was written with it; null until then"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.CheckConstraint("octet_length(code_hash) = 32", name="wallet_codes_code_hash_check"),
        comment="Codes by which purchases are recorded; each person has at most one that is not used",
    )
    op.create_index(None, "wallet_codes", ["user_id"])
    op.create_index(
        "wallet_codes_unused_key",
        "wallet_codes",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("use_time IS NULL"),
    )
    op.create_table(
        "wallet_guesses",
        sa.Column("guess_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("caller_id", sa.Uuid, nullable=False, comment="the user or service account that guessed"),
        sa.Column("guess_time", INSTANT, nullable=False),
        comment="Wrong wallet codes of the last hour",
    )
    op.create_index(None, "wallet_guesses", ["caller_id", "guess_time"])
