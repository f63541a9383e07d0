"""The methods of PurchasesService about CSV files and kept rows: convert, one call, convert."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import grpc
from svoykrug.operations.v1 import operation_pb2
from svoykrug.purchases.v1 import purchases_service_pb2 as pb

from svoykrug_server.purchases import convert as purchase_convert
from svoykrug_server.purchases.csv import convert
from svoykrug_server.purchases.csv.uploads import CsvUploads
from svoykrug_server.purchases.kept_rows import KeptRowService
from svoykrug_server.rpc.context import Locale, current, current_caller

_Context = grpc.aio.ServicerContext[Any, Any]
OperationToProto = Callable[[Any, Locale], operation_pb2.Operation]
"""Shows an operation, whose type belongs to the operations feature, in a language."""


class CsvMethods:
    """The methods of the service about CSV files and kept rows.

    Args:
        uploads: CSV imports.
        kept_rows: Rows of imports that named nobody.
        operation_to_proto: Shows an operation.
    """

    def __init__(self, uploads: CsvUploads, kept_rows: KeptRowService, operation_to_proto: OperationToProto) -> None:
        self._uploads = uploads
        self._kept_rows = kept_rows
        self._operation_to_proto = operation_to_proto

    async def StartCsvImport(self, request: pb.StartCsvImportRequest, context: _Context) -> pb.StartCsvImportResponse:
        """Starts the import of a CSV file."""
        business_id, told = UUID(request.business_id), convert.format_from_proto(request.format)
        started = await self._uploads.start(current_caller(), business_id, told, UUID(request.request_id))
        return pb.StartCsvImportResponse(csv_import=convert.import_to_proto(started, current().locale))

    async def UploadCsvChunk(self, request: pb.UploadCsvChunkRequest, context: _Context) -> pb.UploadCsvChunkResponse:
        """Uploads the next chunk of a CSV file."""
        business_id, import_id = UUID(request.business_id), UUID(request.csv_import_id)
        received_bytes = await self._uploads.upload(
            current_caller(), business_id, import_id, request.offset_bytes, request.chunk
        )
        return pb.UploadCsvChunkResponse(received_bytes=received_bytes)

    async def FinishCsvImport(
        self, request: pb.FinishCsvImportRequest, context: _Context
    ) -> pb.FinishCsvImportResponse:
        """Starts reading a CSV file."""
        business_id, import_id = UUID(request.business_id), UUID(request.csv_import_id)
        told = convert.told_again_from_proto(request)
        operation = await self._uploads.finish(current_caller(), business_id, import_id, told, dry_run=request.dry_run)
        return pb.FinishCsvImportResponse(operation=self._operation_to_proto(operation, current().locale))

    async def GetCsvImport(self, request: pb.GetCsvImportRequest, context: _Context) -> pb.GetCsvImportResponse:
        """Returns the import of a CSV file."""
        business_id, import_id = UUID(request.business_id), UUID(request.csv_import_id)
        csv_import = await self._uploads.get(current_caller(), business_id, import_id)
        return pb.GetCsvImportResponse(csv_import=convert.import_to_proto(csv_import, current().locale))

    async def ListCsvRejections(
        self, request: pb.ListCsvRejectionsRequest, context: _Context
    ) -> pb.ListCsvRejectionsResponse:
        """Lists the refused rows of a CSV file."""
        business_id, import_id = UUID(request.business_id), UUID(request.csv_import_id)
        page = await self._uploads.list_rejections(
            current_caller(), business_id, import_id, request.page_size, request.page_token
        )
        return convert.report_to_proto(page)

    async def ListRejectedRows(
        self, request: pb.ListRejectedRowsRequest, context: _Context
    ) -> pb.ListRejectedRowsResponse:
        """Lists the rows of imports that named nobody."""
        page = await self._kept_rows.list_page(UUID(request.business_id), request.page_size, request.page_token)
        return convert.kept_page_to_proto(page)

    async def MatchRejectedRow(
        self, request: pb.MatchRejectedRowRequest, context: _Context
    ) -> pb.MatchRejectedRowResponse:
        """Records a kept row as the purchase of a member."""
        business_id, row_id = UUID(request.business_id), UUID(request.row_id)
        buyer = convert.buyer_from_proto(request)
        purchase = await self._kept_rows.match(current(), current_caller(), business_id, row_id, buyer)
        return pb.MatchRejectedRowResponse(purchase=purchase_convert.purchase_to_proto(purchase))

    async def DiscardRejectedRow(
        self, request: pb.DiscardRejectedRowRequest, context: _Context
    ) -> pb.DiscardRejectedRowResponse:
        """Forgets a kept row."""
        await self._kept_rows.discard(current(), UUID(request.business_id), UUID(request.row_id))
        return pb.DiscardRejectedRowResponse()
