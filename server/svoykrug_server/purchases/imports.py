"""Imports: a stream of batches of one business, each committed by itself, and the report of what was refused."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.kit.failpoints import failpoint
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.kit.paging import PageTokens, page_size
from svoykrug_server.purchases.model import PurchaseRows, Rejection, WriteOutcome
from svoykrug_server.purchases.rejections_repository import RejectionRepository
from svoykrug_server.purchases.reports_repository import Report, ReportRepository
from svoykrug_server.purchases.row_rules import Judgement
from svoykrug_server.purchases.writer import PurchaseWriter
from svoykrug_server.storage.postgres import Postgres

_DEFAULT_PAGE_SIZE = 500
_MAX_PAGE_SIZE = 5_000


@dataclass(frozen=True, slots=True)
class ImportBatch:
    """One message of an import.

    Attributes:
        business_id: The business it names.
        rows: Its rows, numbered through the whole stream.
    """

    business_id: UUID
    rows: PurchaseRows


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of an import.

    Attributes:
        import_id: By what its refused rows are listed.
        outcome: What became of its rows.
        reported_count: How many of the refused ones can be listed.
    """

    import_id: UUID
    outcome: WriteOutcome
    reported_count: int


@dataclass(frozen=True, slots=True)
class RejectionPage:
    """A page of the refused rows of an import.

    Attributes:
        rows: In the stream's order.
        next_page_token: Asks for the next page; empty on the last.
    """

    rows: Sequence[Rejection]
    next_page_token: str


class ImportService:
    """Takes imports, and lists what they refused.

    Args:
        postgres: The system of record.
        writer: Writes rows.
        rejections: The refused rows.
        reports: How many of them are kept.
        page_tokens: Makes and reads page tokens.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        writer: PurchaseWriter,
        rejections: RejectionRepository,
        reports: ReportRepository,
        page_tokens: PageTokens,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._writer = writer
        self._rejections = rejections
        self._reports = reports
        self._page_tokens = page_tokens
        self._clock = clock

    def new_id(self) -> UUID:
        """Returns the id of an import that begins now."""
        return uuid7(self._clock.now())

    async def run(self, caller: Caller, import_id: UUID, batches: AsyncIterator[ImportBatch]) -> ImportReport:
        """Writes a stream of batches, one transaction each, and adds up what became of the rows.

        The next batch is read and judged while the database writes the one before. When the stream breaks, what was
        committed stays; sent again from the start, it is counted as duplicates.

        Args:
            caller: Staff or owner of the business, an admin, or a service.
            import_id: By what the refused rows are listed, also when the stream breaks: from `new_id`.
            batches: The stream.

        Raises:
            InvalidFields: IMPORT_OUT_OF_ORDER, a message names another business than the first.
            DomainError: The business is archived or does not exist.
        """
        total = WriteOutcome()
        writing: asyncio.Task[WriteOutcome] | None = None
        business_id: UUID | None = None
        try:
            async for batch in batches:
                if business_id not in (None, batch.business_id):
                    raise InvalidFields.of("business_id", "must be the same in every message", "IMPORT_OUT_OF_ORDER")
                business_id = batch.business_id
                judged = self._writer.judge(batch.rows)
                if writing is not None:
                    total.add(await writing)
                failpoint("import.between_batches")
                writing = asyncio.create_task(self._write(caller, import_id, batch, judged, total.rejected_count))
            if writing is not None:
                total.add(await writing)
            return ImportReport(import_id, total, await self._reported_count(import_id, total))
        finally:
            if writing is not None and not writing.done():
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)

    async def list_rejections(
        self, business_id: UUID, import_id: UUID, asked_size: int, page_token: str
    ) -> RejectionPage:
        """Returns a page of the rows that an import at a business refused, in the stream's order.

        Raises:
            InvalidFields: The page size is negative, or the token of another list.
        """
        size = page_size(asked_size, default=_DEFAULT_PAGE_SIZE, most=_MAX_PAGE_SIZE)
        listing = f"rejections of import {import_id} of business {business_id}"
        position = self._page_tokens.read(listing, page_token)
        after_row = -1 if position is None else int(position[0])
        async with self._postgres.read() as connection:
            found = await self._rejections.page(connection, import_id, business_id, after_row, size + 1)
        if len(found) <= size:
            return RejectionPage(found, "")
        return RejectionPage(found[:size], self._page_tokens.make(listing, [found[size - 1].row_number]))

    async def _reported_count(self, import_id: UUID, total: WriteOutcome) -> int:
        if not total.rejected_count:
            return 0
        async with self._postgres.read() as connection:
            return await self._reports.kept_count(connection, import_id)

    async def _write(
        self, caller: Caller, import_id: UUID, batch: ImportBatch, judged: Judgement, refused_before: int
    ) -> WriteOutcome:
        """Writes a batch, with the report of its refused rows in the same transaction."""
        business_id = batch.business_id
        report = Report(business_id, import_id, is_of_file=False)
        async with self._postgres.transaction() as tx:
            outcome = await self._writer.write_within(tx, caller, business_id, judged, keep_unknown=True)
            room = await self._reports.make_room(tx, report, refused_before, outcome.rejected_count)
            await self._rejections.add(tx, import_id, business_id, batch.rows, outcome.rejections[:room])
            failpoint("import.batch_written")
        self._writer.committed(outcome)
        failpoint("import.batch_committed")
        return outcome
