"""Tables of the businesses feature: partners that sell, and the people who work for them."""

import sqlalchemy as sa

from svoykrug_server.storage.schema.base import INSTANT, metadata

businesses = sa.Table(
    "businesses",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True, comment="UUID version 7, made by the server"),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("sensitive", sa.Boolean, nullable=False, comment="its purchases never tell another business anything"),
    sa.Column("status", sa.Text, nullable=False, server_default="active"),
    sa.Column(
        "version", sa.BigInteger, nullable=False, server_default="1", comment="grows by one at each write: the etag"
    ),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.Column("update_time", INSTANT, nullable=False),
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
    sa.Index("businesses_name_key", sa.text("lower(name)"), unique=True),
)

business_staff = sa.Table(
    "business_staff",
    metadata,
    sa.Column("business_id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.Column("update_time", INSTANT, nullable=False),
    sa.ForeignKeyConstraint(["business_id"], ["businesses.id"]),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    sa.CheckConstraint("role IN ('staff', 'owner')", name="business_staff_role_check"),
    sa.Index(None, "user_id"),
)
