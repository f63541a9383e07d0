"""CSV imports and kept rows between the contract's messages and the model."""

from dataclasses import asdict, fields
from uuid import UUID

from svoykrug.purchases.v1 import purchase_pb2, purchases_service_pb2

from svoykrug_server.purchases.convert import reason_to_proto
from svoykrug_server.purchases.csv.model import CsvFormat, CsvImport, ImportState, PreviewRow, ReportedRow
from svoykrug_server.purchases.csv.texts import text_of
from svoykrug_server.purchases.csv.uploads import ReportPage
from svoykrug_server.purchases.kept_rows import Buyer, KeptRowPage
from svoykrug_server.purchases.kept_rows_repository import KeptRow
from svoykrug_server.rpc.context import Locale
from svoykrug_server.rpc.timestamps import timestamp_from

STATES = {
    ImportState.UPLOADING: purchase_pb2.CSV_IMPORT_STATE_UPLOADING,
    ImportState.TRIED: purchase_pb2.CSV_IMPORT_STATE_TRIED,
    ImportState.RUNNING: purchase_pb2.CSV_IMPORT_STATE_RUNNING,
    ImportState.WRITTEN: purchase_pb2.CSV_IMPORT_STATE_WRITTEN,
    ImportState.FAILED: purchase_pb2.CSV_IMPORT_STATE_FAILED,
}


def format_from_proto(told: purchase_pb2.CsvFormat) -> CsvFormat:
    """Returns what a file looks like."""
    return CsvFormat(**{field.name: getattr(told, field.name) for field in fields(CsvFormat)})


def format_to_proto(csv_format: CsvFormat) -> purchase_pb2.CsvFormat:
    """Returns what a file looks like as the contract writes it."""
    return purchase_pb2.CsvFormat(**asdict(csv_format))


def told_again_from_proto(request: purchases_service_pb2.FinishCsvImportRequest) -> CsvFormat | None:
    """Returns what a file looks like where the request says it anew, or None."""
    return format_from_proto(request.format) if request.HasField("format") else None


def import_to_proto(csv_import: CsvImport, locale: Locale) -> purchase_pb2.CsvImport:
    """Returns an import as the contract writes it.

    Args:
        csv_import: The import.
        locale: The language of the problem.
    """
    counts, problem = csv_import.counts, csv_import.problem
    return purchase_pb2.CsvImport(
        id=str(csv_import.id),
        business_id=str(csv_import.business_id),
        state=STATES[csv_import.state],
        received_bytes=csv_import.received_bytes,
        format=format_to_proto(csv_import.found or csv_import.told),
        row_count=counts.rows,
        recorded_count=counts.recorded,
        duplicate_count=counts.duplicates,
        rejected_count=counts.rejected,
        reported_count=csv_import.reported_count,
        rejected_rows=[_rejected_to_proto(row) for row in csv_import.rejected_rows],
        preview_rows=[_preview_to_proto(row) for row in csv_import.preview_rows],
        problem="" if problem is None else text_of(problem, csv_import.problem_facts, locale),
        create_time=timestamp_from(csv_import.create_time),
    )


def buyer_from_proto(request: purchases_service_pb2.MatchRejectedRowRequest) -> Buyer:
    """Returns whose purchase a kept row is."""
    if request.WhichOneof("buyer") == "user_id":
        return Buyer(user_id=UUID(request.user_id))
    return Buyer(phone=request.phone)


def kept_page_to_proto(page: KeptRowPage) -> purchases_service_pb2.ListRejectedRowsResponse:
    """Returns a page of kept rows."""
    return purchases_service_pb2.ListRejectedRowsResponse(
        rows=[_kept_to_proto(row) for row in page.rows], next_page_token=page.next_page_token
    )


def report_to_proto(page: ReportPage) -> purchases_service_pb2.ListCsvRejectionsResponse:
    """Returns a page of the refused rows of a file."""
    return purchases_service_pb2.ListCsvRejectionsResponse(
        rows=[_rejected_to_proto(row) for row in page.rows], next_page_token=page.next_page_token
    )


def _rejected_to_proto(row: ReportedRow) -> purchase_pb2.CsvRejectedRow:
    return purchase_pb2.CsvRejectedRow(
        line_number=row.line_number,
        external_id=row.external_id,
        reason=reason_to_proto(row.reason),
        column=row.column,
        further_faults=[
            purchase_pb2.CsvRowFault(reason=reason_to_proto(fault.reason), column=fault.field) for fault in row.further
        ],
    )


def _preview_to_proto(row: PreviewRow) -> purchase_pb2.CsvPreviewRow:
    return purchase_pb2.CsvPreviewRow(
        line_number=row.line_number,
        phone=row.phone,
        external_id=row.external_id,
        amount_minor=row.amount_minor,
        purchase_time=timestamp_from(row.purchase_time),
    )


def _kept_to_proto(row: KeptRow) -> purchase_pb2.KeptRow:
    return purchase_pb2.KeptRow(
        id=str(row.id),
        phone=row.phone,
        external_id=row.external_id,
        amount_minor=row.amount_minor,
        currency_code=row.currency_code,
        purchase_time=timestamp_from(row.purchase_time),
        create_time=timestamp_from(row.create_time),
    )
