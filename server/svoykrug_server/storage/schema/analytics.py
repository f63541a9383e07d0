"""Tables of analytics: which snapshots there are. Their rows are in the warehouse."""

import sqlalchemy as sa

from svoykrug_server.storage.schema.base import INSTANT, metadata
from svoykrug_server.storage.schema.losses import loss_columns, lost_check

snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True, comment="UUID version 7, made by the server"),
    sa.Column("business_id", sa.Uuid, comment="null for the circle"),
    sa.Column("cutoff_time", INSTANT, nullable=False, comment="purchases before it count"),
    sa.Column("window_days", sa.Integer, nullable=False),
    sa.Column("watermark", INSTANT, nullable=False, comment="what was ingested by then is known to it"),
    sa.Column("rules_version", sa.Text, nullable=False),
    sa.Column("build_id", sa.Uuid, comment="names its rows in the warehouse; each attempt has its own"),
    sa.Column("member_count", sa.BigInteger),
    sa.Column(
        "content_hash", sa.Numeric(20), comment="of all its rows, to prove that computing it again gives the same"
    ),
    sa.Column("create_time", INSTANT, nullable=False, comment="when it was asked for"),
    sa.Column("publish_time", INSTANT, comment="from then on it is visible and never changes"),
    *loss_columns(),
    lost_check("snapshots"),
    sa.CheckConstraint("window_days > 0", name="snapshots_window_days_check"),
    sa.CheckConstraint(
        "publish_time IS NULL OR build_id IS NOT NULL AND member_count IS NOT NULL AND content_hash IS NOT NULL",
        name="snapshots_published_is_whole_check",
    ),
    sa.Index(
        "snapshots_published_idx",
        "business_id",
        "cutoff_time",
        "id",
        postgresql_where=sa.text("publish_time IS NOT NULL"),
    ),
    comment="RFM snapshots: invisible until published, immutable from then on",
)
