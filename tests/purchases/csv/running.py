"""CSV imports of a test's circle: uploaded, run by a worker of the test, and read back."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.runner import OperationRunner, RunnerOptions
from svoykrug_server.purchases.csv.model import CsvFormat, CsvImport
from tests.purchases.circle import IMPORTER, Circle

QUICK = RunnerOptions(poll_seconds=0.01, heartbeat_seconds=0.05, lease_seconds=0.5, report_seconds=0.0)
HEADER = "Телефон;Чек;Сумма;Дата"


class NoProgress:
    """Hears how far work is and keeps it to itself."""

    async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:
        """Hears it."""


class HeardProgress:
    """Remembers how far work was."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, int]] = []

    async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:
        """Remembers it."""
        self.heard.append((stage, percent, rows_done))


def file_of(*lines: str, header: str = HEADER, encoding: str = "utf-8") -> bytes:
    """Returns a file of a header and lines."""
    return "".join(f"{line}\r\n" for line in (header, *lines)).encode(encoding)


async def uploaded(
    circle: Circle, business_id: UUID, content: bytes, told: CsvFormat | None = None, chunk_bytes: int = 1 << 20
) -> UUID:
    """Starts an import, uploads its file in chunks and returns its id."""
    started = await circle.csv.uploads.start(IMPORTER, business_id, told or CsvFormat(), uuid4())
    for offset in range(0, len(content), chunk_bytes):
        chunk = content[offset : offset + chunk_bytes]
        await circle.csv.uploads.upload(IMPORTER, business_id, started.id, offset, chunk)
    return started.id


async def run(
    circle: Circle, business_id: UUID, import_id: UUID, told: CsvFormat | None = None, *, dry_run: bool = False
) -> CsvImport:
    """Has an uploaded file read by a worker and returns how the import stands then."""
    operation = await circle.csv.uploads.finish(IMPORTER, business_id, import_id, told, dry_run=dry_run)
    assert await runner_of(circle).run_one()
    found = await circle.operations.get(IMPORTER, operation.id)
    assert found.starter_id == IMPORTER.subject_id
    return await circle.csv.uploads.get(IMPORTER, business_id, import_id)


async def imported(
    circle: Circle, business_id: UUID, content: bytes, told: CsvFormat | None = None, *, dry_run: bool = False
) -> CsvImport:
    """Uploads a file, has it read, and returns how the import stands then."""
    return await run(circle, business_id, await uploaded(circle, business_id, content, told), dry_run=dry_run)


def runner_of(circle: Circle) -> OperationRunner:
    """Returns a worker."""
    return OperationRunner(OperationsRepository(circle.postgres), circle.csv.work, circle.clock, QUICK)


def figures(csv_import: CsvImport) -> tuple[int, int, int, int]:
    """Returns how many rows there were, were written, were there, and were refused."""
    counts = csv_import.counts
    return counts.rows, counts.recorded, counts.duplicates, counts.rejected


def refusals(csv_import: CsvImport) -> list[tuple[int, str, str]]:
    """Returns line, reason and column of each refused row."""
    return [(row.line_number, row.reason, row.column) for row in csv_import.rejected_rows]


async def fetched(circle: Circle, query: str, *parameters: object) -> Sequence[tuple[Any, ...]]:
    """Returns the rows of a query."""
    async with circle.postgres.read() as connection:
        return [tuple(row) for row in await connection.fetch(query, *parameters)]


async def ledger_of(circle: Circle, business_id: UUID) -> Mapping[str, tuple[Any, ...]]:
    """Returns a business's purchases by their external ids."""
    rows = await fetched(
        circle,
        "SELECT external_id, member_id, amount_minor, purchase_time FROM purchase_entries WHERE business_id = $1",
        business_id,
    )
    return {row[0]: row[1:] for row in rows}
