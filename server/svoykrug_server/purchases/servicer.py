"""The gRPC face of purchases: convert, one call, convert. The methods about CSV files stand in `csv/servicer.py`."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import grpc
from svoykrug.purchases.v1 import purchases_service_pb2 as pb
from svoykrug.purchases.v1 import purchases_service_pb2_grpc

from svoykrug_server.purchases import convert
from svoykrug_server.purchases.csv.servicer import CsvMethods, OperationToProto
from svoykrug_server.purchases.csv.uploads import CsvUploads
from svoykrug_server.purchases.imports import ImportService
from svoykrug_server.purchases.kept_rows import KeptRowService
from svoykrug_server.purchases.refunds import RefundService
from svoykrug_server.purchases.service import PurchaseService
from svoykrug_server.rpc.context import current_caller

_Context = grpc.aio.ServicerContext[Any, Any]


class PurchasesServicer(CsvMethods, purchases_service_pb2_grpc.PurchasesServiceServicer):
    """Answers `svoykrug.purchases.v1.PurchasesService`.

    Args:
        purchases: Single purchases, small batches and lists.
        refunds: Refunds.
        imports: Imports.
        uploads: Imports of CSV files.
        kept_rows: Rows of imports that named nobody.
        operation_to_proto: Shows an operation.
    """

    def __init__(
        self,
        purchases: PurchaseService,
        refunds: RefundService,
        imports: ImportService,
        uploads: CsvUploads,
        kept_rows: KeptRowService,
        operation_to_proto: OperationToProto,
    ) -> None:
        super().__init__(uploads, kept_rows, operation_to_proto)
        self._purchases = purchases
        self._refunds = refunds
        self._imports = imports

    async def RecordPurchase(self, request: pb.RecordPurchaseRequest, context: _Context) -> pb.RecordPurchaseResponse:
        """Records one purchase."""
        rows = convert.rows_from_proto([request.purchase])
        purchase, duplicate = await self._purchases.record(current_caller(), UUID(request.business_id), rows)
        return pb.RecordPurchaseResponse(purchase=convert.purchase_to_proto(purchase), duplicate=duplicate)

    async def BatchRecordPurchases(
        self, request: pb.BatchRecordPurchasesRequest, context: _Context
    ) -> pb.BatchRecordPurchasesResponse:
        """Records up to 1,000 purchases."""
        rows = convert.rows_from_proto(request.purchases)
        outcome = await self._purchases.record_batch(current_caller(), UUID(request.business_id), rows)
        return convert.outcome_to_batch_proto(outcome)

    async def RefundPurchase(self, request: pb.RefundPurchaseRequest, context: _Context) -> pb.RefundPurchaseResponse:
        """Gives back a part or the whole of a purchase."""
        refund = convert.refund_from_proto(request)
        purchase, given, duplicate = await self._refunds.refund(current_caller(), UUID(request.business_id), refund)
        return pb.RefundPurchaseResponse(
            purchase=convert.purchase_to_proto(purchase), refund=convert.refund_to_proto(given), duplicate=duplicate
        )

    async def GetPurchase(self, request: pb.GetPurchaseRequest, context: _Context) -> pb.GetPurchaseResponse:
        """Returns a purchase with its refunds."""
        purchase = await self._purchases.get(current_caller(), UUID(request.business_id), UUID(request.purchase_id))
        return pb.GetPurchaseResponse(purchase=convert.purchase_to_proto(purchase))

    async def ListMyPurchases(
        self, request: pb.ListMyPurchasesRequest, context: _Context
    ) -> pb.ListMyPurchasesResponse:
        """Lists the caller's own purchases."""
        page = await self._purchases.list_mine(current_caller(), request.page_size, request.page_token)
        return convert.page_to_my_proto(page)

    async def ListPurchases(self, request: pb.ListPurchasesRequest, context: _Context) -> pb.ListPurchasesResponse:
        """Lists the purchases of a business."""
        business_id = UUID(request.business_id)
        page = await self._purchases.list_of_business(business_id, request.page_size, request.page_token)
        return convert.page_to_proto(page)

    async def ImportPurchases(
        self, request_iterator: AsyncIterator[pb.ImportPurchasesRequest], context: _Context
    ) -> pb.ImportPurchasesResponse:
        """Imports purchases from a stream of batches."""
        import_id = self._imports.new_id()
        await context.send_initial_metadata(convert.import_metadata(import_id))
        batches = convert.batches_from_proto(request_iterator)
        return convert.report_to_proto(await self._imports.run(current_caller(), import_id, batches))

    async def ListImportRejections(
        self, request: pb.ListImportRejectionsRequest, context: _Context
    ) -> pb.ListImportRejectionsResponse:
        """Lists the rows that an import refused."""
        business_id, import_id = UUID(request.business_id), UUID(request.import_id)
        page = await self._imports.list_rejections(business_id, import_id, request.page_size, request.page_token)
        return convert.rejections_to_proto(page)
