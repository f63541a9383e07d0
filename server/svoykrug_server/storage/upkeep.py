"""Keeps the tables that every feature writes small: answers kept for repeated requests live 7 days."""

import asyncio

import structlog

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.storage import idempotency
from svoykrug_server.storage.postgres import Postgres

log = structlog.get_logger(__name__)

EVERY_SECONDS = 3600.0


class Upkeep:
    """Deletes what has expired.

    Args:
        postgres: Where it is.
        clock: Tells the time.
    """

    def __init__(self, postgres: Postgres, clock: Clock) -> None:
        self._postgres = postgres
        self._clock = clock

    async def run(self) -> None:
        """Deletes once an hour until cancelled; while PostgreSQL is away it waits for the next hour."""
        while True:
            try:
                log.info("answers_forgotten", rows=await self.forget())
            except DomainError as error:
                log.warning("answers_not_forgotten", reason=error.reason)
            await asyncio.sleep(EVERY_SECONDS)

    async def forget(self) -> int:
        """Deletes the expired answers and returns how many there were."""
        async with self._postgres.transaction() as tx:
            return await idempotency.forget_expired(tx, self._clock.now())
