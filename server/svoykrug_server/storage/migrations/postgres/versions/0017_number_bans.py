"""Bans of numbers: what keeps a banned person out when her account is deleted or erased."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Creates the table of banned numbers, which are kept as keyed hashes."""
    op.create_table(
        "number_bans",
        sa.Column("user_id", sa.Uuid, primary_key=True, comment="who was banned; she may be erased since"),
        sa.Column("number_hash", sa.LargeBinary, nullable=False, comment="HMAC-SHA-256 of her number, 32 bytes"),
        sa.Column(
            "expire_time",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the number may have a new owner",
        ),
        sa.CheckConstraint("octet_length(number_hash) = 32", name="number_bans_number_hash_check"),
        comment="Numbers that nobody joins or comes back with, because a ban outlives a deleted account",
    )
    op.create_index(None, "number_bans", ["number_hash"])
