"""SQL of CSV imports: how each stands, the bytes of its file, the rows that are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, sql, text, update

from svoykrug_server.purchases.csv.model import (
    MAX_PREVIEW_ROWS,
    MAX_REJECTED_ROWS,
    Counts,
    CsvFormat,
    CsvImport,
    ImportState,
    OpenImport,
    PreviewRow,
    Problem,
    ReportedRow,
)
from svoykrug_server.purchases.rejections_repository import faults_of, json_of
from svoykrug_server.storage.postgres import ReadConnection, Transaction
from svoykrug_server.storage.schema.operations import operations
from svoykrug_server.storage.schema.purchases import csv_chunks, csv_imports, csv_rows

# How does this import of a business stand, has its run ended without a word, cancelled or given up, and how many of its
# refused rows can be listed?
_GET = """
    SELECT csv_imports.*, csv_imports.state = 'running' AND operations.state IN ('failed', 'cancelled') AS abandoned,
        coalesce(
            (SELECT kept_count FROM import_reports WHERE import_id = csv_imports.id AND NOT dropped), 0
        ) AS reported_count
    FROM csv_imports LEFT JOIN operations ON operations.id = csv_imports.operation_id
    WHERE csv_imports.id = $1 AND csv_imports.business_id = $2
"""

# Which rows of this import are shown in a role, after a line, in the file's order?
_ROWS = """
    SELECT * FROM csv_rows WHERE csv_import_id = $1 AND role = $2 AND line_number > $3 ORDER BY line_number LIMIT $4
"""

# Which rows were refused, or would be? (the columns travel whole: a batch may have thousands)
_ADD_REJECTED = text(
    """
    INSERT INTO csv_rows (csv_import_id, role, line_number, phone, external_id, reason, column_name, further_faults)
    SELECT :csv_import_id, 'rejected', line_number, nullif(phone, ''), external_id, reason, column_name,
        CAST(further AS jsonb)
    FROM unnest(
        CAST(:line_numbers AS bigint[]), CAST(:phones AS text[]), CAST(:external_ids AS text[]),
        CAST(:reasons AS text[]), CAST(:column_names AS text[]), CAST(:further AS text[])
    ) AS refused (line_number, phone, external_id, reason, column_name, further)
    """
)

# Which rows of these imports are not shown any more? (a portion: a file may have millions)
_FORGET_ROWS = text(
    """
    DELETE FROM csv_rows WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM csv_rows WHERE csv_import_id BETWEEN :first_id AND :last_id
        ORDER BY csv_import_id, role, line_number LIMIT :most
    ))
    """
)

# What are the bytes of this file from here?
_CHUNK = "SELECT content FROM csv_chunks WHERE csv_import_id = $1 AND offset_bytes = $2"

_MOST_FORGOTTEN = 50_000
_IS_RUNNING = csv_imports.c.state == "running"
_RUN_HAS_ENDED = operations.c.state.in_(("failed", "cancelled"))


class CsvImportRepository:
    """CSV imports in PostgreSQL."""

    async def add(self, tx: Transaction, import_id: UUID, business_id: UUID, told: CsvFormat, now: datetime) -> None:
        """Adds an import that takes chunks."""
        # Which file is expected?
        await tx.execute(
            insert(csv_imports).values(
                id=import_id, business_id=business_id, state="uploading", told_format=asdict(told), create_time=now
            )
        )

    async def lock(self, tx: Transaction, import_id: UUID) -> CsvImport | None:
        """Returns an import, which nobody else changes until the transaction ends, or None."""
        # How does this import stand, and has its run ended without a word?
        found = await tx.execute(
            select(csv_imports, (_IS_RUNNING & _RUN_HAS_ENDED).label("abandoned"))
            .outerjoin(operations, operations.c.id == csv_imports.c.operation_id)
            .where(csv_imports.c.id == import_id)
            .with_for_update(of=csv_imports)
        )
        row = found.mappings().one_or_none()
        return None if row is None else _import(row)

    async def lock_open(self, tx: Transaction, business_id: UUID) -> Sequence[OpenImport]:
        """Returns a business's imports that are not written, the oldest first; nobody else changes them meanwhile."""
        # Whose bytes are kept, and which of them are being read?
        found = await tx.execute(
            select(
                csv_imports.c.id,
                csv_imports.c.create_time,
                (_IS_RUNNING & ~func.coalesce(_RUN_HAS_ENDED, sql.false())).label("is_running"),
            )
            .outerjoin(operations, operations.c.id == csv_imports.c.operation_id)
            .where(csv_imports.c.business_id == business_id, csv_imports.c.state != "written")
            .order_by(csv_imports.c.create_time, csv_imports.c.id)
            .with_for_update(of=csv_imports)
        )
        return [OpenImport(row.id, row.create_time, row.is_running) for row in found]

    async def drop(self, tx: Transaction, import_ids: Sequence[UUID]) -> None:
        """Deletes imports with the bytes of their files."""
        # Which files does nobody wait for any more?
        await tx.execute(delete(csv_imports).where(csv_imports.c.id.in_(import_ids)))

    async def get(self, connection: ReadConnection, import_id: UUID, business_id: UUID) -> CsvImport | None:
        """Returns an import of a business with the rows that are shown, or None."""
        found = await self.find(connection, import_id, business_id)
        if found is None or not found.counts.rows:
            return found
        preview = await connection.fetch(_ROWS, import_id, "preview", 0, MAX_PREVIEW_ROWS)
        rejected = await self.rejections(connection, found, 0, MAX_REJECTED_ROWS)
        return replace(found, rejected_rows=rejected, preview_rows=[_preview_row(row) for row in preview])

    async def find(self, connection: ReadConnection, import_id: UUID, business_id: UUID) -> CsvImport | None:
        """Returns an import of a business without the rows that are shown, or None."""
        row = await connection.fetchrow(_GET, import_id, business_id)
        return None if row is None else replace(_import(row), reported_count=row["reported_count"])

    async def rejections(
        self, connection: ReadConnection, csv_import: CsvImport, after_line: int, limit: int
    ) -> Sequence[ReportedRow]:
        """Returns refused rows of an import that was found, after a line, in the file's order."""
        if not csv_import.counts.rows or not csv_import.reported_count:
            return []
        rows = await connection.fetch(_ROWS, csv_import.id, "rejected", after_line, limit)
        return [_rejected_row(row) for row in rows]

    async def hash_of_chunk(self, tx: Transaction, import_id: UUID, offset_bytes: int) -> bytes | None:
        """Returns the hash of the chunk that begins at an offset, or None."""
        # Which chunk begins here?
        found = await tx.execute(
            select(csv_chunks.c.content_hash).where(
                csv_chunks.c.csv_import_id == import_id, csv_chunks.c.offset_bytes == offset_bytes
            )
        )
        return found.scalar_one_or_none()

    async def add_chunk(
        self, tx: Transaction, import_id: UUID, offset_bytes: int, chunk: bytes, content_hash: bytes
    ) -> None:
        """Keeps the next bytes of a file."""
        # What comes next in this file?
        await tx.execute(
            insert(csv_chunks).values(
                csv_import_id=import_id, offset_bytes=offset_bytes, content=chunk, content_hash=content_hash
            )
        )
        # How much has arrived?
        await _change(tx, import_id, received_bytes=offset_bytes + len(chunk))

    async def chunk_at(self, connection: ReadConnection, import_id: UUID, offset_bytes: int) -> bytes | None:
        """Returns the chunk that begins at an offset, or None."""
        chunk: bytes | None = await connection.fetchval(_CHUNK, import_id, offset_bytes)
        return chunk

    async def begin_run(
        self, tx: Transaction, import_id: UUID, run_id: UUID, operation_id: UUID, told: CsvFormat, *, dry_run: bool
    ) -> None:
        """Says that the file is to be read, from its beginning; as long as no row is read none is shown."""
        # Who reads the file now, and how?
        await _change(
            tx,
            import_id,
            state="running",
            run_id=run_id,
            operation_id=operation_id,
            dry_run=dry_run,
            told_format=asdict(told),
            found_format=None,
            problem=None,
            problem_facts=None,
            **_counts(Counts()),
        )

    async def progress(self, tx: Transaction, run_id: UUID, before: Counts, after: Counts, found: CsvFormat) -> bool:
        """Says what has become of the rows so far; returns False when another worker or a later run has said more."""
        # Am I the one who goes on from there?
        changed = await tx.execute(
            update(csv_imports)
            .where(
                csv_imports.c.run_id == run_id,
                csv_imports.c.state == "running",
                csv_imports.c.row_count == before.rows,
            )
            .values(found_format=asdict(found), **_counts(after))
        )
        return changed.rowcount == 1

    async def count_from_zero(self, tx: Transaction, import_id: UUID) -> None:
        """Says that no row of a run has been read: an attempt at a trial begins anew."""
        # What has become of the rows?
        await _change(tx, import_id, **_counts(Counts()))

    async def add_rows(
        self, tx: Transaction, import_id: UUID, rejected: Sequence[ReportedRow], preview: Sequence[PreviewRow]
    ) -> None:
        """Keeps rows to show."""
        if rejected:
            await tx.execute(_ADD_REJECTED, {"csv_import_id": import_id, **_columns_of(rejected)})
        if preview:
            # Which rows does the caller look at?
            await tx.execute(insert(csv_rows), [_preview_values(import_id, row) for row in preview])

    async def forget_rows(self, tx: Transaction, first_id: UUID, last_id: UUID) -> int:
        """Deletes some rows shown of imports, from one to another; returns how many, 0 when none was left."""
        values = {"first_id": first_id, "last_id": last_id, "most": _MOST_FORGOTTEN}
        return (await tx.execute(_FORGET_ROWS, values)).rowcount

    async def end_run(self, tx: Transaction, import_id: UUID, state: ImportState) -> None:
        """Says how a run has ended; the bytes of a file that is written go."""
        # How did it end?
        await _change(tx, import_id, state=state.value)
        if state is ImportState.WRITTEN:
            # Which bytes are not needed any more?
            await tx.execute(delete(csv_chunks).where(csv_chunks.c.csv_import_id == import_id))

    async def fail_run(self, tx: Transaction, import_id: UUID, problem: Problem, facts: Mapping[str, str]) -> None:
        """Says why a file could not be read."""
        # Why could it not be read?
        await _change(tx, import_id, state="failed", problem=problem.value, problem_facts=dict(facts))

    async def forget_unwritten(self, tx: Transaction, started_before: datetime) -> int:
        """Deletes old files that were never written; returns how many it was."""
        old = csv_imports.c.create_time < started_before
        # Which files has nobody written within their time?
        return (await tx.execute(delete(csv_imports).where(old, csv_imports.c.state != "written"))).rowcount


async def _change(tx: Transaction, import_id: UUID, **values: Any) -> None:
    await tx.execute(update(csv_imports).where(csv_imports.c.id == import_id).values(**values))


def _counts(counts: Counts) -> dict[str, int]:
    return {
        "row_count": counts.rows,
        "recorded_count": counts.recorded,
        "duplicate_count": counts.duplicates,
        "rejected_count": counts.rejected,
    }


def _import(row: Any) -> CsvImport:
    counts = Counts(row["row_count"], row["recorded_count"], row["duplicate_count"], row["rejected_count"])
    return CsvImport(
        id=row["id"],
        business_id=row["business_id"],
        state=ImportState.TRIED if row["abandoned"] else ImportState(row["state"]),
        received_bytes=row["received_bytes"],
        told=CsvFormat(**row["told_format"]),
        found=None if row["found_format"] is None else CsvFormat(**row["found_format"]),
        operation_id=row["operation_id"],
        run_id=row["run_id"],
        dry_run=row["dry_run"],
        counts=counts,
        problem=None if row["problem"] is None else Problem(row["problem"]),
        problem_facts=row["problem_facts"] or {},
        create_time=row["create_time"],
    )


def _columns_of(rows: Sequence[ReportedRow]) -> dict[str, list[Any]]:
    return {
        "line_numbers": [row.line_number for row in rows],
        "phones": [row.phone for row in rows],
        "external_ids": [row.external_id for row in rows],
        "reasons": [row.reason for row in rows],
        "column_names": [row.column for row in rows],
        "further": [json_of(row.further) for row in rows],
    }


def _preview_values(import_id: UUID, row: PreviewRow) -> dict[str, Any]:
    return {
        "csv_import_id": import_id,
        "line_number": row.line_number,
        "role": "preview",
        "phone": row.phone,
        "external_id": row.external_id,
        "amount_minor": row.amount_minor,
        "purchase_time": row.purchase_time,
        "reason": None,
        "column_name": "",
    }


def _rejected_row(row: Any) -> ReportedRow:
    described = (row["line_number"], row["external_id"], row["reason"], row["column_name"], row["phone"] or "")
    return ReportedRow(*described, faults_of(row["further_faults"]))


def _preview_row(row: Any) -> PreviewRow:
    return PreviewRow(row["line_number"], row["phone"], row["external_id"], row["amount_minor"], row["purchase_time"])
