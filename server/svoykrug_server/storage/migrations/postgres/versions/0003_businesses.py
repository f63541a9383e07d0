"""Tables of businesses: partners that sell, and the people who work for them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Creates the tables `businesses` and `business_staff`."""
    op.create_table(
        "businesses",
        sa.Column("id", sa.Uuid, primary_key=True, comment="UUID version 7, made by the server"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column(
            "sensitive", sa.Boolean, nullable=False, comment="its purchases never tell another business anything"
        ),
        sa.Column("status", sa.Text, nullable=False, server_default="active"),
        sa.Column(
            "version", sa.BigInteger, nullable=False, server_default="1", comment="grows by one at each write: the etag"
        ),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 200", name="businesses_name_check"),
        sa.CheckConstraint(
            "category IN ('beauty', 'cosmetology', 'dental', 'medical', 'gastronomy', 'floristry', "
            "'optics', 'textile', 'legal')",
            name="businesses_category_check",
        ),
        sa.CheckConstraint(
            "category NOT IN ('dental', 'medical') OR sensitive", name="businesses_medical_is_sensitive_check"
        ),
        sa.CheckConstraint("status IN ('active', 'archived')", name="businesses_status_check"),
    )
    op.create_index("businesses_name_key", "businesses", [sa.text("lower(name)")], unique=True)
    op.create_table(
        "business_staff",
        sa.Column("business_id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["business_id"], ["businesses.id"]),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.CheckConstraint("role IN ('staff', 'owner')", name="business_staff_role_check"),
    )
    op.create_index(None, "business_staff", ["user_id"])
