"""Use cases of CSV imports: start one, upload its file in chunks, have it read, look at it."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, FailedPrecondition, InvalidFields, Limited
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.kit.paging import PageTokens, page_size
from svoykrug_server.purchases.csv.model import MAX_FILE_BYTES, CsvFormat, CsvImport, ImportState, ReportedRow
from svoykrug_server.purchases.csv.repository import CsvImportRepository
from svoykrug_server.purchases.ledger_repository import LedgerRepository
from svoykrug_server.purchases.ports import Operation, Operations
from svoykrug_server.purchases.writer import not_found_for
from svoykrug_server.storage import idempotency
from svoykrug_server.storage.idempotency import RequestKey, hash_of
from svoykrug_server.storage.postgres import Postgres, Transaction

KIND = "import_csv"
IDLE = timedelta(hours=1)
"""How old an upload is at least that another may take the place of."""
RUN_DELAY = timedelta(minutes=1)
"""How long to wait for the end of one of so many runs."""
_DEFAULT_PAGE_SIZE = 500
_MAX_PAGE_SIZE = 5_000
_START_METHOD = "/svoykrug.purchases.v1.PurchasesService/StartCsvImport"


@dataclass(frozen=True, slots=True)
class ReportPage:
    """A page of the refused rows of a file.

    Attributes:
        rows: In the file's order.
        next_page_token: Asks for the next page; empty on the last.
    """

    rows: Sequence[ReportedRow]
    next_page_token: str


class CsvUploads:
    """CSV imports as callers see them.

    Args:
        postgres: The system of record.
        imports: The imports in it.
        ledger: Knows the businesses.
        operations: Starts long work.
        page_tokens: Makes and reads page tokens.
        clock: Tells the time.
        most_open: How many files that are not written a business has at a time.
    """

    def __init__(
        self,
        postgres: Postgres,
        imports: CsvImportRepository,
        ledger: LedgerRepository,
        operations: Operations,
        page_tokens: PageTokens,
        clock: Clock,
        most_open: int,
    ) -> None:
        self._postgres = postgres
        self._imports = imports
        self._ledger = ledger
        self._operations = operations
        self._page_tokens = page_tokens
        self._clock = clock
        self._most_open = most_open

    async def start(self, caller: Caller, business_id: UUID, told: CsvFormat, request_id: UUID) -> CsvImport:
        """Starts an import that takes chunks; the same request id again returns the first one.

        Raises:
            InvalidFields: REQUEST_ID_REUSED.
            FailedPrecondition: BUSINESS_ARCHIVED.
            Limited: CSV_IMPORTS_FULL, the business has many files that are not written, all of them new or being read.
            NotFound: There is no such business, said to admins and services.
            PermissionDenied: The same, said to all others.
        """
        body = {"business_id": business_id, "format": asdict(told)}
        key = RequestKey(str(caller.subject_id), _START_METHOD, request_id, hash_of(body))
        async with self._postgres.transaction() as tx:
            now = self._clock.now()
            first_answer = await idempotency.claim(tx, key, now)
            if first_answer is None:
                await self._refuse_closed(tx, caller, business_id)
                await self._make_room(tx, business_id, now)
                import_id = uuid7(now)
                await self._imports.add(tx, import_id, business_id, told, now)
                await idempotency.remember(tx, key, {"csv_import_id": str(import_id)})
            else:
                import_id = UUID(first_answer["csv_import_id"])
        return await self.get(caller, business_id, import_id)

    async def upload(self, caller: Caller, business_id: UUID, import_id: UUID, offset_bytes: int, chunk: bytes) -> int:
        """Keeps the next bytes of a file and returns how many have arrived; a chunk sent again is not taken twice.

        Raises:
            InvalidFields: IMPORT_OUT_OF_ORDER, or the file is too large.
            NotFound: There is no such import at that business, said to admins and services.
            PermissionDenied: The same, said to all others.
        """
        content_hash = hashlib.sha256(chunk).digest()
        async with self._postgres.transaction() as tx:
            csv_import = await self._locked(tx, caller, business_id, import_id)
            known_hash = await self._imports.hash_of_chunk(tx, import_id, offset_bytes)
            if known_hash == content_hash:
                return csv_import.received_bytes
            if csv_import.state is not ImportState.UPLOADING or offset_bytes != csv_import.received_bytes:
                raise _out_of_order(csv_import)
            if offset_bytes + len(chunk) > MAX_FILE_BYTES:
                raise InvalidFields.of("chunk", "the file must not be larger than 200 MB")
            await self._imports.add_chunk(tx, import_id, offset_bytes, chunk, content_hash)
        return offset_bytes + len(chunk)

    async def finish(
        self, caller: Caller, business_id: UUID, import_id: UUID, told: CsvFormat | None, *, dry_run: bool
    ) -> Operation:
        """Has the file read; when it is being read or was written the same way, returns the operation that does or did.

        Args:
            caller: Who asks.
            business_id: The business that sold.
            import_id: The import.
            told: What the file looks like; None for what was said before.
            dry_run: Whether nothing is to be written.

        Raises:
            InvalidFields: IMPORT_OUT_OF_ORDER, nothing has arrived, or it is being read otherwise.
            FailedPrecondition: CSV_IMPORT_WRITTEN, and asked for is something else; or BUSINESS_ARCHIVED.
            NotFound: There is no such import at that business, said to admins and services.
            PermissionDenied: The same, said to all others.
        """
        async with self._postgres.transaction() as tx:
            csv_import = await self._locked(tx, caller, business_id, import_id)
            asked = told or csv_import.told
            is_begun = csv_import.state in (ImportState.RUNNING, ImportState.WRITTEN)
            if is_begun and (csv_import.dry_run, csv_import.told) == (dry_run, asked):
                return await self._operations.find(tx, _operation_of(csv_import))
            if csv_import.state is ImportState.WRITTEN:
                raise FailedPrecondition("CSV_IMPORT_WRITTEN")
            await self._refuse_closed(tx, caller, business_id)
            if is_begun or not csv_import.received_bytes:
                raise _out_of_order(csv_import)
            run_id = uuid4()
            parameters = {"csv_import_id": str(import_id), "run_id": str(run_id)}
            operation = await self._operations.start(tx, KIND, parameters, caller.subject_id)
            await self._imports.begin_run(tx, import_id, run_id, operation.id, asked, dry_run=dry_run)
        return operation

    async def get(self, caller: Caller, business_id: UUID, import_id: UUID) -> CsvImport:
        """Returns an import of a business with the rows that are shown.

        Raises:
            NotFound: There is no such import at that business, said to admins and services.
            PermissionDenied: The same, said to all others.
        """
        async with self._postgres.read() as connection:
            csv_import = await self._imports.get(connection, import_id, business_id)
        if csv_import is None:
            raise not_found_for(caller)
        return csv_import

    async def list_rejections(
        self, caller: Caller, business_id: UUID, import_id: UUID, asked_size: int, page_token: str
    ) -> ReportPage:
        """Returns a page of the rows of a file that were refused, in its order.

        Raises:
            InvalidFields: The page size is negative, or the token of another list or of another reading of the file.
            NotFound: There is no such import at that business, said to admins and services.
            PermissionDenied: The same, said to all others.
        """
        size = page_size(asked_size, default=_DEFAULT_PAGE_SIZE, most=_MAX_PAGE_SIZE)
        async with self._postgres.read() as connection:
            csv_import = await self._imports.find(connection, import_id, business_id)
            if csv_import is None:
                raise not_found_for(caller)
            listing = f"rejections of csv run {csv_import.run_id}"
            position = self._page_tokens.read(listing, page_token)
            after_line = 0 if position is None else int(position[0])
            found = await self._imports.rejections(connection, csv_import, after_line, size + 1)
        if len(found) <= size:
            return ReportPage(found, "")
        return ReportPage(found[:size], self._page_tokens.make(listing, [found[size - 1].line_number]))

    async def _make_room(self, tx: Transaction, business_id: UUID, now: datetime) -> None:
        """Drops the oldest uploads that stand still where there are as many as may be; refuses where none does."""
        await self._ledger.lock_business(tx, business_id)
        uploads = await self._imports.lock_open(tx, business_id)
        too_many = len(uploads) - self._most_open + 1
        if too_many <= 0:
            return
        oldest = [upload for upload in uploads if not upload.is_running][:too_many]
        idle_time = oldest[-1].create_time + IDLE if len(oldest) == too_many else now + RUN_DELAY
        if idle_time > now:
            raise Limited("CSV_IMPORTS_FULL", metadata={"most": str(self._most_open)}, retry_after=idle_time - now)
        await self._imports.drop(tx, [upload.id for upload in oldest])

    async def _locked(self, tx: Transaction, caller: Caller, business_id: UUID, import_id: UUID) -> CsvImport:
        csv_import = await self._imports.lock(tx, import_id)
        if csv_import is None or csv_import.business_id != business_id:
            raise not_found_for(caller)
        return csv_import

    async def _refuse_closed(self, tx: Transaction, caller: Caller, business_id: UUID) -> None:
        """Refuses a business that takes no purchases."""
        found = await self._ledger.selling_business(tx, business_id)
        if found is None:
            raise not_found_for(caller)
        if found[0].archived:
            raise FailedPrecondition("BUSINESS_ARCHIVED")


def _out_of_order(csv_import: CsvImport) -> DomainError:
    return InvalidFields("IMPORT_OUT_OF_ORDER", metadata={"received_bytes": str(csv_import.received_bytes)})


def _operation_of(csv_import: CsvImport) -> UUID:
    if csv_import.operation_id is None:
        raise LookupError("a file that is being read has an operation")
    return csv_import.operation_id
