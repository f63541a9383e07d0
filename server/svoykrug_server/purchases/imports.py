"""Imports: a stream of batches of one business, each committed by itself."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.kit.failpoints import failpoint
from svoykrug_server.purchases.model import PurchaseRows, WriteOutcome
from svoykrug_server.purchases.writer import PurchaseWriter


@dataclass(frozen=True, slots=True)
class ImportBatch:
    """One message of an import.

    Attributes:
        business_id: The business it names.
        rows: Its rows, numbered through the whole stream.
    """

    business_id: UUID
    rows: PurchaseRows


class ImportService:
    """Takes imports.

    Args:
        writer: Writes rows.
    """

    def __init__(self, writer: PurchaseWriter) -> None:
        self._writer = writer

    async def run(self, caller: Caller, batches: AsyncIterator[ImportBatch]) -> WriteOutcome:
        """Writes a stream of batches, one transaction each, and adds up what became of the rows.

        The next batch is read and judged while the database writes the one before. When the stream breaks, what was
        committed stays; sent again from the start, it is counted as duplicates.

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
                writing = asyncio.create_task(self._writer.write(caller, batch.business_id, judged, keep_unknown=True))
            if writing is not None:
                total.add(await writing)
            return total
        finally:
            if writing is not None and not writing.done():
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
