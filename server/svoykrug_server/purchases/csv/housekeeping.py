"""Deletes files that nobody wrote within 7 days, and the refused rows that imports were reported with."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.kit.ids import first_uuid7
from svoykrug_server.purchases.csv.repository import CsvImportRepository
from svoykrug_server.purchases.rejections_repository import RejectionRepository
from svoykrug_server.purchases.reports_repository import ReportRepository
from svoykrug_server.storage.postgres import Postgres

log = structlog.get_logger(__name__)

KEPT = timedelta(days=7)
_EVERY_SECONDS = 3600.0


class CsvHousekeeping:
    """Deletes what imports left.

    Args:
        postgres: Where they are.
        imports: The SQL of files.
        rejections: The SQL of rows that streams refused.
        reports: The SQL of what reports hold.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        imports: CsvImportRepository,
        rejections: RejectionRepository,
        reports: ReportRepository,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._imports = imports
        self._rejections = rejections
        self._reports = reports
        self._clock = clock

    async def run(self) -> None:
        """Deletes once an hour until cancelled; while PostgreSQL is away it waits for the next hour."""
        while True:
            try:
                log.info("csv_imports_forgotten", rows=await self.forget())
            except DomainError as error:
                log.warning("csv_imports_not_forgotten", reason=error.reason)
            await asyncio.sleep(_EVERY_SECONDS)

    async def forget(self) -> int:
        """Deletes what is old, a portion at a time, and returns how many rows it was."""
        before, forgotten = self._clock.now() - KEPT, 0
        async with self._postgres.transaction() as tx:
            await self._reports.forget(tx, UUID(int=0), first_uuid7(before))
        while portion := await self._forget_some(before):
            forgotten += portion
        async with self._postgres.transaction() as tx:
            return forgotten + await self._imports.forget_unwritten(tx, before)

    async def _forget_some(self, before: datetime) -> int:
        first_id, last_id = UUID(int=0), first_uuid7(before)
        async with self._postgres.transaction() as tx:
            shown = await self._imports.forget_rows(tx, first_id, last_id)
            return shown + await self._rejections.forget(tx, last_id)
