"""`svoykrug-cli import-csv`."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from svoykrug.common.v1.error_reason_pb2 import ErrorReason
from svoykrug.operations.v1.operation_pb2 import Operation
from svoykrug.purchases.v1.purchase_pb2 import CsvFormat, CsvImport
from svoykrug.purchases.v1.purchases_service_pb2 import (
    FinishCsvImportRequest,
    GetCsvImportRequest,
    ListCsvRejectionsRequest,
    StartCsvImportRequest,
    UploadCsvChunkRequest,
)

from svoykrug_client.cli.connection import connection_of
from svoykrug_client.cli.output import PROGRESS, RESULTS, name_of, shown
from svoykrug_client.cli.problems import CommandRefused
from svoykrug_client.sync import Client, pages

_CHUNK_BYTES = 1 << 20


def _column(of: str) -> Any:
    return typer.Option(help=f"The header of the column with {of}; found out without it.")


def import_csv(
    context: typer.Context,
    business_id: Annotated[str, typer.Argument(help="The business, a UUID.")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="As a CRM exports it.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; say what would become of the rows.")
    ] = False,
    phone_column: Annotated[str, _column("the phone")] = "",
    receipt_column: Annotated[str, _column("the receipt's id")] = "",
    amount_column: Annotated[str, _column("the amount")] = "",
    time_column: Annotated[str, _column("the date and time")] = "",
) -> None:
    """Import a CSV file of purchases; the same file twice writes nothing twice."""
    found = CsvFormat(
        phone_column=phone_column,
        external_id_column=receipt_column,
        amount_column=amount_column,
        time_column=time_column,
    )
    with connection_of(context).signed_in() as client:
        with _progress() as progress:
            import_id = _uploaded(client, StartCsvImportRequest(business_id=business_id, format=found), file, progress)
            finish = FinishCsvImportRequest(business_id=business_id, csv_import_id=import_id, dry_run=dry_run)
            done = _read(client, finish, progress)
        _show(client, done, dry_run)


def _uploaded(client: Client, start: StartCsvImportRequest, file: Path, progress: Progress) -> str:
    """Sends the file, and returns the id of its import."""
    start.request_id = str(uuid.uuid4())
    import_id = client.purchases.StartCsvImport(start).csv_import.id
    bar = progress.add_task("uploading", total=max(file.stat().st_size, 1))
    offset_bytes = 0
    for chunk in _chunks(file):
        request = UploadCsvChunkRequest(
            business_id=start.business_id, csv_import_id=import_id, offset_bytes=offset_bytes, chunk=chunk
        )
        offset_bytes = client.purchases.UploadCsvChunk(request).received_bytes
        progress.update(bar, completed=offset_bytes)
    return import_id


def _read(client: Client, finish: FinishCsvImportRequest, progress: Progress) -> CsvImport:
    """Has the server read the file, and returns what became of it."""
    bar = progress.add_task("reading" if finish.dry_run else "writing", total=100)

    def show(operation: Operation) -> None:
        progress.update(bar, completed=operation.percent)

    client.wait_for(client.purchases.FinishCsvImport(finish).operation, show)
    request = GetCsvImportRequest(business_id=finish.business_id, csv_import_id=finish.csv_import_id)
    return client.purchases.GetCsvImport(request).csv_import


def _show(client: Client, done: CsvImport, dry_run: bool) -> None:
    """Prints what became of the file, and every row that was refused, page by page."""
    if done.problem:
        raise CommandRefused(shown(done.problem))
    would = "would be " if dry_run else ""
    RESULTS.print(
        f"{done.row_count} rows: {done.recorded_count} {would}recorded, {done.duplicate_count} known already, "
        f"{done.rejected_count} {would}rejected"
    )
    request = ListCsvRejectionsRequest(business_id=done.business_id, csv_import_id=done.id)
    rejections = pages(client.purchases.ListCsvRejections, request) if done.rejected_count else ()
    for number, page in enumerate(rejections):
        table = Table("line", "receipt", "reason", "column", box=None, show_header=not number)
        for row in page.rows:
            reason = name_of(ErrorReason, row.reason)
            table.add_row(str(row.line_number), shown(row.external_id), reason, shown(row.column))
        RESULTS.print(table)


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            yield chunk


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=PROGRESS, transient=True, disable=not PROGRESS.is_terminal)
