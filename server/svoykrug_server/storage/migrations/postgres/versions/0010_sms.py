"""What became of an SMS: each attempt at it, and what its provider says of its delivery."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Lets messages tell of their delivery, and creates the attempts at them."""
    add_delivery_to_messages()
    create_attempts()


def add_delivery_to_messages() -> None:
    """Adds what a provider says of a message it took, and when it is asked again."""
    for column in (
        sa.Column(
            "doubt_count",
            sa.SmallInteger,
            nullable=False,
            server_default="0",
            comment="attempts that may have reached her although nobody said so",
        ),
        sa.Column("delivery_state", sa.Text, comment="null: nothing is known, or the provider says nothing"),
        sa.Column("delivery_failure", sa.Text, comment="why it did not arrive"),
        sa.Column("delivery_time", INSTANT, comment="when the provider said so last"),
        sa.Column("next_status_time", INSTANT, comment="when the provider is asked; null: no more"),
        sa.Column("status_check_count", sa.SmallInteger, nullable=False, server_default="0"),
    ):
        op.add_column("sms_messages", column)
    op.create_check_constraint(
        "sms_messages_delivery_state_check",
        "sms_messages",
        "delivery_state IN ('queued', 'sent', 'delivered', 'undeliverable', 'expired', 'unknown')",
    )
    op.create_check_constraint(
        "sms_messages_delivery_failure_check",
        "sms_messages",
        "(delivery_state IS NOT DISTINCT FROM 'undeliverable') = (delivery_failure IS NOT NULL)",
    )
    op.alter_column("sms_messages", "idempotency_key", comment="what it tells of: one message for each")
    op.create_index(
        None, "sms_messages", ["next_status_time"], postgresql_where=sa.text("next_status_time IS NOT NULL")
    )
    op.create_index(None, "sms_messages", ["phone", "create_time"])


def create_attempts() -> None:
    """Creates the attempts to hand messages to providers."""
    op.create_table(
        "sms_attempts",
        sa.Column("attempt_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("message_id", sa.Uuid, nullable=False),
        sa.Column("provider", sa.Text, nullable=False, comment="who was asked"),
        sa.Column("attempt_time", INSTANT, nullable=False, comment="when it ended"),
        sa.Column("outcome", sa.Text, nullable=False, comment="taken, or the kind of its failure"),
        sa.ForeignKeyConstraint(["message_id"], ["sms_messages.message_id"], ondelete="CASCADE"),
    )
    op.create_index(None, "sms_attempts", ["message_id"])
