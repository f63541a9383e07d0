"""Sign-in: budgets by country prefix, silent accounts, phone changes, demo phones."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Creates what budgets, silent accounts, phone changes and demo phones need."""
    count_sends_by_prefix()
    remember_who_was_seen()
    give_challenges_a_purpose()
    create_demo_phones()


def count_sends_by_prefix() -> None:
    """Adds the calling code to sends, and creates its breaker and its count by the minute."""
    comment = "the country's calling code; empty for a demo phone"
    op.add_column("auth_code_sends", sa.Column("prefix", sa.Text, nullable=False, server_default="", comment=comment))
    op.create_index(None, "auth_code_sends", ["prefix", "send_time"])
    op.create_table(
        "auth_prefixes",
        sa.Column("prefix", sa.Text, primary_key=True, comment="a country's calling code, such as 7"),
        sa.Column("breaker_open", sa.Boolean, nullable=False, server_default=sa.false(), comment="only probes pass"),
        sa.Column("change_time", INSTANT, nullable=False, comment="when the breaker opened or closed last"),
        sa.Column("judge_time", INSTANT, nullable=False, comment="when its sends were last looked at"),
    )
    op.create_table(
        "auth_prefix_minutes",
        sa.Column("prefix", sa.Text, primary_key=True),
        sa.Column("minute_time", INSTANT, primary_key=True, comment="when the minute began"),
        sa.Column("send_count", sa.Integer, nullable=False),
        sa.Column("probe_count", sa.Integer, nullable=False, comment="how many of them passed an open breaker"),
        sa.CheckConstraint("probe_count BETWEEN 0 AND send_count", name="auth_prefix_minutes_probe_count_check"),
    )
    op.create_index(None, "auth_prefix_minutes", ["minute_time"])


def remember_who_was_seen() -> None:
    """Creates when each user was last seen, filled from what is known, and the wrong birth dates."""
    op.create_table(
        "auth_last_seen",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("seen_time", INSTANT, nullable=False, comment="a sign-in, or a refresh; exact to a day"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    )
    # When was each user last seen? (sessions of more than a month ago are gone: then when her account last changed)
    op.execute(
        """
        INSERT INTO auth_last_seen (user_id, seen_time)
        SELECT u.id, coalesce(max(s.rotate_time), u.update_time)
        FROM users u LEFT JOIN auth_sessions s ON s.user_id = u.id
        WHERE u.status <> 'unclaimed' GROUP BY u.id
        """
    )
    op.create_table(
        "auth_wrong_birth_dates",
        sa.Column("guess_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("guess_time", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    )
    op.create_index(None, "auth_wrong_birth_dates", ["user_id", "guess_time"])
    op.create_index(None, "auth_wrong_birth_dates", ["guess_time"])


def give_challenges_a_purpose() -> None:
    """Lets a challenge serve a phone change, and a message carry its code or tell of it."""
    purpose = sa.Column(
        "purpose", sa.Text, nullable=False, server_default="sign_in", comment="its code is good for that"
    )
    op.add_column("auth_challenges", purpose)
    op.add_column("auth_challenges", sa.Column("user_id", sa.Uuid, comment="who changes her phone; null for a sign-in"))
    op.create_foreign_key(None, "auth_challenges", "users", ["user_id"], ["id"], ondelete="CASCADE")
    op.create_index(None, "auth_challenges", ["user_id"], postgresql_where=sa.text("user_id IS NOT NULL"))
    op.create_check_constraint(
        "auth_challenges_purpose_check", "auth_challenges", "purpose IN ('sign_in', 'phone_change')"
    )
    op.create_check_constraint(
        "auth_challenges_user_check", "auth_challenges", "(purpose = 'phone_change') = (user_id IS NOT NULL)"
    )
    op.add_column(
        "auth_challenges", sa.Column("revoked_count", sa.Integer, comment="how many sessions a phone change ended")
    )
    op.drop_constraint("sms_messages_template_check", "sms_messages")
    op.drop_constraint("sms_messages_challenge_check", "sms_messages")
    op.create_check_constraint(
        "sms_messages_template_check",
        "sms_messages",
        "template IN ('sign_in_code', 'phone_change_code', 'phone_changed', 'session_compromised')",
    )
    op.create_check_constraint(
        "sms_messages_challenge_check",
        "sms_messages",
        "(template IN ('sign_in_code', 'phone_change_code')) = (challenge_id IS NOT NULL)",
    )


def create_demo_phones() -> None:
    """Creates the demo phones, and marks challenges and users of them."""
    op.create_table(
        "auth_demo_phones",
        sa.Column("phone", sa.Text, primary_key=True, comment="E.164"),
        sa.Column("code_hash", sa.LargeBinary, nullable=False, comment="HMAC-SHA-256 of phone and code"),
        sa.Column("code_kid", sa.Text, nullable=False, comment="the pepper it is made with"),
        sa.Column("create_time", INSTANT, nullable=False),
        sa.Column("expire_time", INSTANT, nullable=False, comment="when its code stops working"),
        sa.CheckConstraint("octet_length(code_hash) = 32", name="auth_demo_phones_code_hash_check"),
    )
    demo = sa.Column(
        "demo", sa.Boolean, nullable=False, server_default=sa.false(), comment="its code is its phone's own"
    )
    op.add_column("auth_challenges", demo)
    op.add_column(
        "users",
        sa.Column(
            "demo",
            sa.Boolean,
            nullable=False,
            server_default=sa.false(),
            comment="signs in by a demo phone: no purchases",
        ),
    )
    op.create_check_constraint("users_demo_has_no_role_check", "users", "NOT demo OR roles <@ '{member}'::text[]")
