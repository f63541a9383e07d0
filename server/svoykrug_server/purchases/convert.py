"""Purchases between the contract's messages and the model."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.common.v1.error_reason_pb2 import ErrorReason
from svoykrug.purchases.v1 import purchase_pb2, purchases_service_pb2

from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.purchases.imports import ImportBatch, ImportReport, RejectionPage
from svoykrug_server.purchases.model import NewRefund, Purchase, PurchaseRows, Refund, Rejection, WriteOutcome
from svoykrug_server.purchases.service import PurchasePage
from svoykrug_server.rpc.timestamps import timestamp_from

# Microseconds that lie before every time a row may have.
_NO_TIME_US = -(1 << 62)
_IMPORT_ID_HEADER = "x-import-id"


def rows_from_proto(purchases: Sequence[purchases_service_pb2.NewPurchase], first_number: int = 0) -> PurchaseRows:
    """Returns purchases to write down as columns, numbered from `first_number`.

    An absent time is 1970 and a malformed one lies before every time: both are then refused as out of range.
    """
    user_ids = [purchase.user_id for purchase in purchases]
    phones = [purchase.phone for purchase in purchases]
    return PurchaseRows(
        numbers=range(first_number, first_number + len(purchases)),
        external_ids=[purchase.external_id for purchase in purchases],
        user_ids=user_ids,
        phones=phones,
        amounts_minor=[purchase.amount_minor for purchase in purchases],
        currency_codes=[purchase.currency_code for purchase in purchases],
        times_us=[
            instant.seconds * 1_000_000 + instant.nanos // 1_000 if 0 <= instant.nanos < 1_000_000_000 else _NO_TIME_US
            for instant in [purchase.purchase_time for purchase in purchases]
        ],
        wallet_codes=_wallet_codes(purchases, user_ids, phones),
    )


def _wallet_codes(
    purchases: Sequence[purchases_service_pb2.NewPurchase], user_ids: Sequence[str], phones: Sequence[str]
) -> Sequence[str]:
    """Returns the rows' wallet codes; nothing where no row can have one, as in the usual batch."""
    if "" not in phones or "" not in user_ids:
        return ()
    codes = [purchase.wallet_code for purchase in purchases]
    return codes if any(codes) else ()


async def batches_from_proto(
    requests: AsyncIterator[purchases_service_pb2.ImportPurchasesRequest],
) -> AsyncIterator[ImportBatch]:
    """Returns the messages of an import as batches, their rows numbered through."""
    received_count = 0
    async for request in requests:
        yield ImportBatch(UUID(request.business_id), rows_from_proto(request.purchases, received_count))
        received_count += len(request.purchases)


def refund_from_proto(request: purchases_service_pb2.RefundPurchaseRequest) -> NewRefund:
    """Returns a refund to write down."""
    by_id = request.WhichOneof("purchase") == "purchase_id"
    return NewRefund(
        purchase_id=UUID(request.purchase_id) if by_id else None,
        purchase_external_id=None if by_id else request.purchase_external_id,
        external_id=request.external_id,
        amount_minor=request.amount_minor,
        currency_code=request.currency_code,
        refund_time=_instant_from_proto(request.refund_time, "refund_time"),
    )


def purchase_to_proto(purchase: Purchase) -> purchase_pb2.Purchase:
    """Returns a purchase as the contract writes it."""
    return purchase_pb2.Purchase(
        id=str(purchase.id),
        business_id=str(purchase.business_id),
        user_id="" if purchase.user_id is None else str(purchase.user_id),
        external_id=purchase.external_id,
        amount_minor=purchase.amount_minor,
        currency_code=purchase.currency_code,
        refunded_minor=purchase.refunded_minor,
        purchase_time=timestamp_from(purchase.purchase_time),
        create_time=timestamp_from(purchase.create_time),
        refunds=[refund_to_proto(refund) for refund in purchase.refunds],
    )


def refund_to_proto(refund: Refund) -> purchase_pb2.Refund:
    """Returns a refund as the contract writes it."""
    return purchase_pb2.Refund(
        id=str(refund.id),
        purchase_id=str(refund.purchase_id),
        external_id=refund.external_id,
        amount_minor=refund.amount_minor,
        refund_time=timestamp_from(refund.refund_time),
        create_time=timestamp_from(refund.create_time),
    )


def page_to_my_proto(page: PurchasePage) -> purchases_service_pb2.ListMyPurchasesResponse:
    """Returns a page of the caller's purchases."""
    return purchases_service_pb2.ListMyPurchasesResponse(
        purchases=[purchase_to_proto(purchase) for purchase in page.purchases], next_page_token=page.next_page_token
    )


def page_to_proto(page: PurchasePage) -> purchases_service_pb2.ListPurchasesResponse:
    """Returns a page of a business's purchases."""
    return purchases_service_pb2.ListPurchasesResponse(
        purchases=[purchase_to_proto(purchase) for purchase in page.purchases], next_page_token=page.next_page_token
    )


def outcome_to_batch_proto(outcome: WriteOutcome) -> purchases_service_pb2.BatchRecordPurchasesResponse:
    """Returns what became of a batch's rows."""
    return purchases_service_pb2.BatchRecordPurchasesResponse(
        recorded_count=outcome.recorded_count,
        duplicate_count=outcome.duplicate_count,
        rejected_rows=[_rejection_to_proto(rejection) for rejection in outcome.rejections],
    )


def report_to_proto(report: ImportReport) -> purchases_service_pb2.ImportPurchasesResponse:
    """Returns what became of an import's rows."""
    outcome = report.outcome
    return purchases_service_pb2.ImportPurchasesResponse(
        received_count=outcome.received_count,
        recorded_count=outcome.recorded_count,
        duplicate_count=outcome.duplicate_count,
        rejected_count=outcome.rejected_count,
        rejected_rows=[_rejection_to_proto(rejection) for rejection in outcome.rejections],
        import_id=str(report.import_id),
        reported_count=report.reported_count,
    )


def import_metadata(import_id: UUID) -> tuple[tuple[str, str]]:
    """Returns what tells the caller the id of an import before its end, which a broken stream has not."""
    return ((_IMPORT_ID_HEADER, str(import_id)),)


def rejections_to_proto(page: RejectionPage) -> purchases_service_pb2.ListImportRejectionsResponse:
    """Returns a page of the rows that an import refused."""
    return purchases_service_pb2.ListImportRejectionsResponse(
        rows=[_rejection_to_proto(rejection) for rejection in page.rows], next_page_token=page.next_page_token
    )


def _rejection_to_proto(rejection: Rejection) -> purchases_service_pb2.RejectedRow:
    return purchases_service_pb2.RejectedRow(
        row_number=rejection.row_number,
        external_id=rejection.external_id,
        reason=reason_to_proto(rejection.reason),
        field=rejection.field,
        further_faults=[
            purchases_service_pb2.RowFault(reason=reason_to_proto(fault.reason), field=fault.field)
            for fault in rejection.further
        ],
    )


def reason_to_proto(reason: str) -> ErrorReason.ValueType:
    """Returns why a row was refused as the contract writes it."""
    return ErrorReason.Value(f"ERROR_REASON_{reason}")


def _instant_from_proto(timestamp: Timestamp, path: str) -> datetime:
    """Returns an instant.

    Raises:
        InvalidFields: PURCHASE_TIME_OUT_OF_RANGE, it lies outside the years 1 to 9999.
    """
    try:
        return timestamp.ToDatetime(UTC)
    except ValueError as error:
        raise InvalidFields.of(path, "must be an instant", "PURCHASE_TIME_OUT_OF_RANGE") from error
