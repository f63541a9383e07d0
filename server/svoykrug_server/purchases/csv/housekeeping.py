"""Deletes files that nobody wrote within 7 days, and the rows that were shown of those that were written."""

import asyncio
from datetime import timedelta

import structlog

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.purchases.csv.repository import CsvImportRepository
from svoykrug_server.storage.postgres import Postgres

log = structlog.get_logger(__name__)

KEPT = timedelta(days=7)
_EVERY_SECONDS = 3600.0


class CsvHousekeeping:
    """Deletes old uploads.

    Args:
        postgres: Where they are.
        imports: The SQL.
        clock: Tells the time.
    """

    def __init__(self, postgres: Postgres, imports: CsvImportRepository, clock: Clock) -> None:
        self._postgres = postgres
        self._imports = imports
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
        """Deletes what is old and returns how many rows it was."""
        async with self._postgres.transaction() as tx:
            return await self._imports.forget(tx, self._clock.now() - KEPT)
