"""How many refused rows the reports of imports hold, by which they are bounded; every fault of a refused row."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Creates the table, counts what reports hold already, and makes room for further faults."""
    op.create_table(
        "import_reports",
        sa.Column("import_id", sa.Uuid, primary_key=True, comment="UUID version 7: it tells when the import began"),
        sa.Column("csv_import_id", sa.Uuid, sa.ForeignKey("csv_imports.id", ondelete="CASCADE"), comment="of a file"),
        sa.Column("business_id", sa.Uuid, nullable=False),
        sa.Column("kept_count", sa.BigInteger, nullable=False, comment="how many rows were added to it"),
        sa.Column(
            "dropped",
            sa.Boolean,
            nullable=False,
            server_default=sa.false(),
            comment="newer ones took its room: it is shown no more, and its rows go",
        ),
        comment="Reports of imports that refused rows: import_rejections of streams, csv_rows of files",
    )
    op.create_index("import_reports_business_id_idx", "import_reports", ["business_id", "import_id"])
    op.create_index(
        "import_reports_csv_import_id_idx",
        "import_reports",
        ["csv_import_id"],
        postgresql_where=sa.text("csv_import_id IS NOT NULL"),
    )
    op.execute(
        "INSERT INTO import_reports (import_id, business_id, kept_count) "
        "SELECT import_id, business_id, count(*) FROM import_rejections GROUP BY import_id, business_id"
    )
    op.execute(
        "INSERT INTO import_reports (import_id, csv_import_id, business_id, kept_count) "
        "SELECT csv_imports.id, csv_imports.id, business_id, count(*) FROM csv_rows "
        "JOIN csv_imports ON csv_imports.id = csv_import_id WHERE role = 'rejected' GROUP BY csv_imports.id"
    )
    comment = "what else is wrong: [reason, field] of each"
    for table in ("import_rejections", "csv_rows"):
        op.add_column(table, sa.Column("further_faults", pg.JSONB, comment=comment))
