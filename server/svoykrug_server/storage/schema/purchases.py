"""Tables of purchases: the ledger, the outbox that carries it to the warehouse, and the proof of equality.

The ledger is append-only: a refund or a reversal is a row of its own that names its purchase, with an amount of the
other sign. It knows a person only as `member_id`. It has no foreign keys: on two cores their checks would cost more
than all its indexes.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from svoykrug_server.storage.schema.base import INSTANT, metadata

outbox_number = sa.Sequence("outbox_number", metadata=metadata)
"""Numbers outbox entries. A number says nothing about the order of commits."""

purchase_entries = sa.Table(
    "purchase_entries",
    metadata,
    sa.Column("entry_id", sa.Uuid, primary_key=True, comment="UUID version 7; a purchase's own id"),
    sa.Column("purchase_id", sa.Uuid, nullable=False, comment="the purchase; of a purchase its own id"),
    sa.Column("business_id", sa.Uuid, nullable=False),
    sa.Column("member_id", sa.BigInteger, nullable=False),
    sa.Column("outbox_id", sa.BigInteger, nullable=False, comment="the outbox entry of the transaction that wrote it"),
    sa.Column("amount_minor", sa.BigInteger, nullable=False, comment="signed: a refund takes away"),
    sa.Column("purchase_time", INSTANT, nullable=False, comment="when it happened: of a refund, when it was given"),
    sa.Column("kind", sa.SmallInteger, nullable=False, comment="1 purchase, 2 refund, 3 reversal"),
    sa.Column("sensitive", sa.Boolean, nullable=False, comment="whether the business keeps its purchases secret"),
    sa.Column("currency_code", sa.Text, nullable=False),
    sa.Column("external_id", sa.Text, comment="the receipt's or refund's id at the business"),
    sa.Column("external_id_hash", sa.LargeBinary, comment="stands for it once its member is erased: 32 bytes, keyed"),
    sa.CheckConstraint(
        "num_nonnulls(external_id, external_id_hash) = 1 AND octet_length(external_id_hash) = 32",
        name="purchase_entries_external_id_check",
    ),
    sa.CheckConstraint("octet_length(currency_code) = 3", name="purchase_entries_currency_code_check"),
    sa.CheckConstraint(
        "kind = 1 AND amount_minor >= 0 AND purchase_id = entry_id OR kind IN (2, 3) AND purchase_id <> entry_id",
        name="purchase_entries_kind_check",
    ),
    sa.UniqueConstraint("business_id", "external_id"),
    sa.Index(
        "purchase_entries_external_id_hash_key",
        "business_id",
        "external_id_hash",
        unique=True,
        postgresql_where=sa.text("external_id_hash IS NOT NULL"),
    ),
    sa.Index("purchase_entries_outbox_id_idx", "outbox_id"),
    sa.Index("purchase_entries_business_day_idx", "business_id", "purchase_time"),
    sa.Index("purchase_entries_member_idx", "member_id", "purchase_time", postgresql_where=sa.text("kind = 1")),
    sa.Index("purchase_entries_member_refund_idx", "member_id", postgresql_where=sa.text("kind <> 1")),
    sa.Index("purchase_entries_purchase_idx", "purchase_id", postgresql_where=sa.text("kind <> 1")),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("outbox_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("business_id", sa.Uuid, nullable=False),
    sa.Column("entry_count", sa.Integer, nullable=False, comment="how many ledger rows the transaction wrote"),
    sa.Column("record_time", INSTANT, nullable=False, comment="when the circle learned of them"),
    sa.Column("batch_id", sa.BigInteger, comment="the batch it was sealed into; null until then"),
    sa.CheckConstraint("entry_count > 0", name="outbox_entry_count_check"),
    sa.Index("outbox_unclaimed_idx", "outbox_id", postgresql_where=sa.text("batch_id IS NULL")),
    sa.Index("outbox_batch_id_idx", "batch_id"),
    comment="One entry for each transaction that wrote to the ledger, written in that transaction",
)

sealed_batches = sa.Table(
    "sealed_batches",
    metadata,
    sa.Column("batch_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3, ... without gaps"),
    sa.Column("ingest_time", INSTANT, nullable=False, comment="when it was sealed; grows with batch_id"),
    sa.Column("entry_count", sa.Integer, nullable=False),
    sa.Column(
        "content_hash", sa.LargeBinary, nullable=False, comment="BLAKE2b, 16 bytes, of the rows as COPY gives them"
    ),
    sa.Column("shipped_time", INSTANT, comment="when the warehouse was seen to hold it; null until then"),
    sa.Index("sealed_batches_unshipped_idx", "batch_id", postgresql_where=sa.text("shipped_time IS NULL")),
    comment="What goes to the warehouse in one insert; never changed but for shipped_time",
)

relay_state = sa.Table(
    "relay_state",
    metadata,
    sa.Column("only_row", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("lease_holder", sa.Uuid, comment="the process that seals and ships"),
    sa.Column("lease_expire_time", INSTANT),
    sa.Column("clean_seal_time", INSTANT, comment="the last seal that left nothing unclaimed"),
    sa.Column("clean_seal_batch_id", sa.BigInteger, nullable=False, server_default="0", comment="the last batch then"),
    sa.Column("watermark", INSTANT, comment="the last clean seal of which every batch is shipped"),
    sa.Column("full_proof_time", INSTANT, comment="when all days were last set to be proven again"),
    sa.Column("rebuild_id", sa.Uuid, comment="the rebuild of the warehouse in progress"),
    sa.Column("rebuild_batch_id", sa.BigInteger, comment="the last batch that rebuild has written"),
    sa.Column(
        "kept_from_day",
        sa.Date,
        comment="the warehouse holds every entry from this day on, in the circle's time zone; null: of all days",
    ),
    sa.Column(
        "let_go_before_day",
        sa.Date,
        comment="of older days the warehouse holds first purchases alone; null: nothing has been let go",
    ),
    sa.CheckConstraint("only_row", name="relay_state_only_row_check"),
    comment="One row, locked by whoever seals",
)

proven_days = sa.Table(
    "proven_days",
    metadata,
    sa.Column("business_id", sa.Uuid, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True, comment="in the circle's time zone"),
    sa.Column("touched_batch_id", sa.BigInteger, nullable=False, comment="the last batch with an entry of that day"),
    sa.Column(
        "proven_batch_id", sa.BigInteger, nullable=False, server_default="-1", comment="compared up to this batch"
    ),
    sa.Column("proven_time", INSTANT),
    sa.Column("postgres_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("postgres_sum_minor", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("postgres_hash", sa.Numeric(20), nullable=False, server_default="0"),
    sa.Column("clickhouse_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("clickhouse_sum_minor", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("clickhouse_hash", sa.Numeric(20), nullable=False, server_default="0"),
    sa.Column("disputed_since_time", INSTANT, comment="when the stores were first seen to disagree; null while equal"),
    sa.Index(
        "proven_days_unproven_idx",
        "business_id",
        "day",
        postgresql_where=sa.text("touched_batch_id > proven_batch_id"),
    ),
    sa.Index(
        "proven_days_disputed_idx", "business_id", "day", postgresql_where=sa.text("disputed_since_time IS NOT NULL")
    ),
    comment="Count, sum and hash of each store by business and day, as last compared",
)

rejected_rows = sa.Table(
    "rejected_rows",
    metadata,
    sa.Column("business_id", sa.Uuid, primary_key=True),
    sa.Column("external_id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Uuid, comment="the buyer as the row names her: by id ..."),
    sa.Column("phone", sa.Text, comment="... or by phone, E.164"),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("currency_code", sa.Text, nullable=False),
    sa.Column("purchase_time", INSTANT, nullable=False),
    sa.Column("reject_time", INSTANT, nullable=False, comment="when it was first rejected"),
    sa.Column("row_id", sa.Uuid, nullable=False, unique=True, server_default=sa.text("gen_random_uuid()")),
    sa.CheckConstraint("(user_id IS NULL) <> (phone IS NULL)", name="rejected_rows_buyer_check"),
    sa.Index("rejected_rows_newest_idx", "business_id", "reject_time", "row_id"),
    sa.Index("rejected_rows_user_id_idx", "user_id", postgresql_where=sa.text("user_id IS NOT NULL")),
    sa.Index("rejected_rows_phone_idx", "phone", postgresql_where=sa.text("phone IS NOT NULL")),
    comment="Imported rows whose member is unknown, kept until someone matches them or the import is sent again",
)

import_rejections = sa.Table(
    "import_rejections",
    metadata,
    sa.Column("import_id", sa.Uuid, primary_key=True, comment="UUID version 7: it tells when the import began"),
    sa.Column("row_number", sa.BigInteger, primary_key=True, comment="its place in the stream, from 0"),
    sa.Column("business_id", sa.Uuid, nullable=False),
    sa.Column("user_id", sa.Uuid, comment="the buyer as the row names her: by id ..."),
    sa.Column("phone", sa.Text, comment="... or by phone, E.164; both are null where the row names nobody"),
    sa.Column("external_id", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False, comment="an error reason of the catalogue"),
    sa.Column("field", sa.Text, nullable=False, comment="the field that is wrong"),
    sa.Column("further_faults", pg.JSONB, comment="what else is wrong: [reason, field] of each"),
    sa.Index("import_rejections_user_id_idx", "user_id", postgresql_where=sa.text("user_id IS NOT NULL")),
    sa.Index("import_rejections_phone_idx", "phone", postgresql_where=sa.text("phone IS NOT NULL")),
    comment="Rows that imports by stream refused, for a week",
)

_COUNTS = ("received_bytes", "row_count", "recorded_count", "duplicate_count", "rejected_count")

csv_imports = sa.Table(
    "csv_imports",
    metadata,
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
    *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in _COUNTS),
    sa.Column("problem", sa.Text, comment="why the file could not be read; only when failed"),
    sa.Column("problem_facts", pg.JSONB, comment="what a person must know to mend it"),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.CheckConstraint(
        "state IN ('uploading', 'tried', 'running', 'written', 'failed')", name="csv_imports_state_check"
    ),
    sa.CheckConstraint("(state = 'failed') = (problem IS NOT NULL)", name="csv_imports_problem_check"),
    sa.Index(None, "create_time"),
    sa.Index("csv_imports_business_id_idx", "business_id", "create_time"),
    comment="Uploads of CSV files, each of one business's purchases",
)

import_reports = sa.Table(
    "import_reports",
    metadata,
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
    sa.Index("import_reports_business_id_idx", "business_id", "import_id"),
    sa.Index(
        "import_reports_csv_import_id_idx", "csv_import_id", postgresql_where=sa.text("csv_import_id IS NOT NULL")
    ),
    comment="Reports of imports that refused rows: import_rejections of streams, csv_rows of files",
)

csv_chunks = sa.Table(
    "csv_chunks",
    metadata,
    sa.Column("csv_import_id", sa.Uuid, sa.ForeignKey("csv_imports.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("offset_bytes", sa.BigInteger, primary_key=True, comment="where in the file it begins"),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("content_hash", sa.LargeBinary, nullable=False, comment="SHA-256"),
    comment="The bytes of files that are not written yet, without gaps",
)

csv_rows = sa.Table(
    "csv_rows",
    metadata,
    sa.Column("csv_import_id", sa.Uuid, sa.ForeignKey("csv_imports.id", ondelete="CASCADE")),
    sa.Column("line_number", sa.BigInteger, comment="where it begins in the file, from 1"),
    sa.Column("role", sa.Text, comment="why it is shown: refused, or to look at"),
    sa.Column("phone", sa.Text, comment="E.164; null where none could be read"),
    sa.Column("external_id", sa.Text, nullable=False),
    sa.Column("amount_minor", sa.BigInteger),
    sa.Column("purchase_time", INSTANT),
    sa.Column("reason", sa.Text, comment="an error reason of the catalogue; only of refused rows"),
    sa.Column("column_name", sa.Text, nullable=False, comment="the wrong column, as the file names it"),
    sa.Column("further_faults", pg.JSONB, comment="what else is wrong: [reason, field] of each"),
    sa.CheckConstraint("role IN ('rejected', 'preview')", name="csv_rows_role_check"),
    sa.CheckConstraint("(role = 'rejected') = (reason IS NOT NULL)", name="csv_rows_reason_check"),
    sa.Index("csv_rows_phone_idx", "phone", postgresql_where=sa.text("phone IS NOT NULL")),
    sa.PrimaryKeyConstraint("csv_import_id", "role", "line_number"),
    comment="The first rows of a file, and all that were refused",
)
