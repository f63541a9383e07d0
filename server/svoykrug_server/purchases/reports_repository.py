"""SQL of how much the reports of imports hold: a business has so many, and so many refused rows in them, at most.

The oldest go first, whole. A report may have a million rows, which no batch of an import can wait for: each batch that
adds rows deletes some of reports that were dropped, at least as many. So a business never has more rows than its
reports may hold, and one that was dropped is shown no more from the first moment.
"""

from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.storage.postgres import ReadConnection, Transaction

_ROWS_DELETED_AT_ONCE = 10_000
"""More than a batch can add."""

# Does no other import of this business take room meanwhile? (until the transaction ends)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('import_reports ' || CAST(:business_id AS text), 0))")

# How many rows does this report hold, unless it has been dropped, and how much do newer ones of the business?
_STANDING = text(
    """
    SELECT coalesce(sum(kept_count) FILTER (WHERE import_id = :import_id), 0) AS kept_count,
        coalesce(sum(kept_count) FILTER (WHERE import_id > :import_id), 0) AS newer_rows,
        count(*) FILTER (WHERE import_id > :import_id) AS newer_reports
    FROM import_reports WHERE business_id = :business_id AND NOT dropped
    """
)

# How many rows of this import can be listed?
_KEPT = "SELECT kept_count FROM import_reports WHERE import_id = $1 AND NOT dropped"

# How many rows are added to this report?
_ADD = text(
    """
    INSERT INTO import_reports (import_id, csv_import_id, business_id, kept_count)
    VALUES (:import_id, :csv_import_id, :business_id, :count)
    ON CONFLICT (import_id) DO UPDATE SET kept_count = import_reports.kept_count + excluded.kept_count
    """
)

# Which older reports of this business have no room beside this one and those after it?
_DROP = text(
    """
    UPDATE import_reports SET dropped = true WHERE import_id IN (
        SELECT import_id FROM (
            SELECT import_id, sum(kept_count) OVER newest_first AS row_count, row_number() OVER newest_first AS place
            FROM import_reports WHERE business_id = :business_id AND NOT dropped
            WINDOW newest_first AS (ORDER BY import_id DESC)
        ) AS reports
        WHERE import_id < :import_id AND (row_count > :most_rows OR place > :most_reports)
    )
    """
)

# Which reports of this business have been dropped, and may have rows left?
_DROPPED = text("SELECT import_id FROM import_reports WHERE business_id = :business_id AND dropped")

# Some rows of dropped reports of streams go. (those that somebody else deletes go anyway)
_DELETE_OF_STREAMS = text(
    """
    DELETE FROM import_rejections WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM import_rejections WHERE import_id = ANY(CAST(:import_ids AS uuid[]))
        LIMIT :most FOR UPDATE SKIP LOCKED
    ))
    """
)

# Some rows of dropped reports of files go; the first rows of the files stay.
_DELETE_OF_FILES = text(
    """
    DELETE FROM csv_rows WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM csv_rows WHERE csv_import_id = ANY(CAST(:import_ids AS uuid[])) AND role = 'rejected'
        LIMIT :most FOR UPDATE SKIP LOCKED
    ))
    """
)

# These reports have no rows left.
_END = text("DELETE FROM import_reports WHERE import_id = ANY(CAST(:import_ids AS uuid[]))")

# Which reports have been kept long enough, or are begun anew?
_FORGET = text("DELETE FROM import_reports WHERE import_id BETWEEN :first_id AND :last_id")


@dataclass(frozen=True, slots=True)
class ReportLimits:
    """How much the reports of one business hold.

    Attributes:
        most_rows: How many refused rows all of them hold at most; so does one alone.
        most_reports: How many there are at most.
    """

    most_rows: int
    most_reports: int


@dataclass(frozen=True, slots=True)
class Report:
    """The refused rows of one import.

    Attributes:
        business_id: The business that sold.
        import_id: The import; UUIDs of version 7 tell which is older.
        is_of_file: Whether a file was imported, and not a stream.
    """

    business_id: UUID
    import_id: UUID
    is_of_file: bool


class ReportRepository:
    """What reports hold, in PostgreSQL.

    Args:
        limits: How much they hold at most.
    """

    def __init__(self, limits: ReportLimits) -> None:
        self._limits = limits

    async def make_room(self, tx: Transaction, report: Report, refused_before: int, wanted: int) -> int:
        """Counts rows that the caller adds to a report now, and drops older reports that have no room beside it.

        A report holds the first rows without a gap: one that was cut short, or dropped, takes no more.

        Args:
            tx: The transaction that adds them.
            report: The report.
            refused_before: How many rows the import refused before these.
            wanted: How many it refused now, at most 10,000.

        Returns:
            How many of them, the first ones, the report takes.
        """
        if not wanted:
            return 0
        place = {"business_id": report.business_id, "import_id": report.import_id}
        await tx.execute(_LOCK, {"business_id": str(report.business_id)})
        standing = (await tx.execute(_STANDING, place)).one()
        if standing.kept_count != refused_before or standing.newer_reports >= self._limits.most_reports:
            return 0
        room = min(wanted, self._limits.most_rows - int(standing.newer_rows + standing.kept_count))
        if room <= 0:
            return 0
        csv_import_id = report.import_id if report.is_of_file else None
        await tx.execute(_ADD, {**place, "csv_import_id": csv_import_id, "count": room})
        await tx.execute(_DROP, {**place, **asdict(self._limits)})
        await self._delete_dropped(tx, report.business_id)
        return room

    async def kept_count(self, connection: ReadConnection, import_id: UUID) -> int:
        """Returns how many refused rows of an import can be listed."""
        kept_count: int | None = await connection.fetchval(_KEPT, import_id)
        return kept_count or 0

    async def forget(self, tx: Transaction, first_id: UUID, last_id: UUID) -> None:
        """Forgets the reports of imports, from one to another; deleting their rows is the caller's."""
        await tx.execute(_FORGET, {"first_id": first_id, "last_id": last_id})

    async def _delete_dropped(self, tx: Transaction, business_id: UUID) -> None:
        dropped = list((await tx.execute(_DROPPED, {"business_id": business_id})).scalars())
        if not dropped:
            return
        left = _ROWS_DELETED_AT_ONCE
        for statement in (_DELETE_OF_STREAMS, _DELETE_OF_FILES):
            left -= (await tx.execute(statement, {"import_ids": dropped, "most": left})).rowcount
        if left:
            await tx.execute(_END, {"import_ids": dropped})
