"""Every refused row of an import: those of streams have a table, those of files are read by pages."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Creates the table of refused rows of streams; sorts the rows of a file by role before line."""
    op.create_table(
        "import_rejections",
        sa.Column("import_id", sa.Uuid, primary_key=True, comment="UUID version 7: it tells when the import began"),
        sa.Column("row_number", sa.BigInteger, primary_key=True, comment="its place in the stream, from 0"),
        sa.Column("business_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, comment="the buyer as the row names her: by id ..."),
        sa.Column("phone", sa.Text, comment="... or by phone, E.164; both are null where the row names nobody"),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, comment="an error reason of the catalogue"),
        sa.Column("field", sa.Text, nullable=False, comment="the field that is wrong"),
        comment="Rows that imports by stream refused, for a week",
    )
    for column in ("user_id", "phone"):
        op.create_index(
            f"import_rejections_{column}_idx",
            "import_rejections",
            [column],
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
    op.drop_constraint("csv_rows_pkey", "csv_rows", type_="primary")
    op.create_primary_key("csv_rows_pkey", "csv_rows", ["csv_import_id", "role", "line_number"])
    op.create_table_comment("csv_rows", "The first rows of a file, and all that were refused")
