"""CSV imports: files as they are uploaded, what became of their rows, and ids of kept rows."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0014"
down_revision = "0013"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Creates the tables of CSV imports and gives every kept row an id."""
    _create_imports()
    _create_chunks()
    _create_rows()
    op.add_column(
        "rejected_rows", sa.Column("row_id", sa.Uuid, nullable=False, server_default=sa.text("gen_random_uuid()"))
    )
    op.create_unique_constraint("rejected_rows_row_id_key", "rejected_rows", ["row_id"])
    op.create_index("rejected_rows_newest_idx", "rejected_rows", ["business_id", "reject_time", "row_id"])


def _create_imports() -> None:
    """Creates the table that says how each import stands."""
    counts = ("received_bytes", "row_count", "recorded_count", "duplicate_count", "rejected_count")
    op.create_table(
        "csv_imports",
        sa.Column("id", sa.Uuid, primary_key=True, comment="UUID version 7"),
        sa.Column("business_id", sa.Uuid, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("told_format", pg.JSONB, nullable=False, comment="what the file looks like, as the caller says"),
        sa.Column("found_format", pg.JSONB, comment="the same, as it was found out; null until then"),
        sa.Column("operation_id", sa.Uuid, comment="the operation that reads the file, or did last"),
        sa.Column(
            "run_id", sa.Uuid, comment="drawn anew whenever the file is to be read: ends what is late of a run before"
        ),
        sa.Column("dry_run", sa.Boolean, nullable=False, server_default=sa.false(), comment="whether it only tries"),
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in counts),
        sa.Column("problem", sa.Text, comment="why the file could not be read; only when failed"),
        sa.Column("problem_facts", pg.JSONB, comment="what a person must know to mend it"),
        sa.Column("create_time", INSTANT, nullable=False),
        sa.CheckConstraint(
            "state IN ('uploading', 'tried', 'running', 'written', 'failed')", name="csv_imports_state_check"
        ),
        sa.CheckConstraint("(state = 'failed') = (problem IS NOT NULL)", name="csv_imports_problem_check"),
        comment="Uploads of CSV files, each of one business's purchases",
    )
    op.create_index("csv_imports_create_time_idx", "csv_imports", ["create_time"])


def _create_chunks() -> None:
    """Creates the table of uploaded bytes."""
    op.create_table(
        "csv_chunks",
        sa.Column("csv_import_id", sa.Uuid, primary_key=True),
        sa.Column("offset_bytes", sa.BigInteger, primary_key=True, comment="where in the file it begins"),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("content_hash", sa.LargeBinary, nullable=False, comment="SHA-256"),
        sa.ForeignKeyConstraint(["csv_import_id"], ["csv_imports.id"], ondelete="CASCADE"),
        comment="The bytes of files that are not written yet, without gaps",
    )


def _create_rows() -> None:
    """Creates the table of rows that the caller is shown."""
    op.create_table(
        "csv_rows",
        sa.Column("csv_import_id", sa.Uuid, primary_key=True),
        sa.Column("line_number", sa.BigInteger, primary_key=True, comment="where it begins in the file, from 1"),
        sa.Column("role", sa.Text, primary_key=True, comment="why it is shown: refused, or to look at"),
        sa.Column("phone", sa.Text, comment="E.164; null where none could be read"),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("amount_minor", sa.BigInteger),
        sa.Column("purchase_time", INSTANT),
        sa.Column("reason", sa.Text, comment="an error reason of the catalogue; only of refused rows"),
        sa.Column("column_name", sa.Text, nullable=False, comment="the wrong column, as the file names it"),
        sa.ForeignKeyConstraint(["csv_import_id"], ["csv_imports.id"], ondelete="CASCADE"),
        sa.CheckConstraint("role IN ('rejected', 'preview')", name="csv_rows_role_check"),
        sa.CheckConstraint("(role = 'rejected') = (reason IS NOT NULL)", name="csv_rows_reason_check"),
        comment="The first rows of a file, and the first that were refused",
    )
    op.create_index("csv_rows_phone_idx", "csv_rows", ["phone"], postgresql_where=sa.text("phone IS NOT NULL"))
