"""Deletes what nothing hangs on any more, so that tables stay small and phones are not kept without a use."""

import asyncio
from datetime import timedelta

import structlog

from svoykrug_server.auth.model import SessionLimits
from svoykrug_server.auth.repository import (
    challenges,
    last_seen,
    prefixes,
    revocation_feed,
    service_accounts,
    sessions,
    sms_messages,
)
from svoykrug_server.auth.silence import WRONG_SPAN
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.storage.postgres import Postgres

log = structlog.get_logger(__name__)

KEPT = timedelta(days=7)
"""How long finished challenges, sends, guesses and messages are kept: longer than the longest limit looks back."""

CLOCKS_APART = timedelta(hours=1)
"""How much longer what must not be missed is kept, for a server whose clock is behind this one's."""

_EVERY_SECONDS = 3600.0


class Housekeeping:
    """Deletes old rows of auth.

    Args:
        postgres: Where they are.
        limits: How long sessions live.
        clock: Tells the time.
    """

    def __init__(self, postgres: Postgres, limits: SessionLimits, clock: Clock) -> None:
        self._postgres = postgres
        self._limits = limits
        self._clock = clock

    async def run(self) -> None:
        """Deletes once an hour until cancelled; while Postgres is away it waits."""
        while True:
            try:
                if rows := await self.forget():
                    log.info("auth.forgotten", rows=rows)
            except StoreUnavailable:
                log.warning("auth.not_forgotten")
            await asyncio.sleep(_EVERY_SECONDS)

    async def forget(self) -> int:
        """Deletes what is old, and returns how many rows there were."""
        now = self._clock.now()
        async with self._postgres.transaction() as tx:
            return sum(
                [
                    await challenges.forget(tx, now - KEPT),
                    await prefixes.forget(tx, now - KEPT),
                    await last_seen.forget(tx, now - WRONG_SPAN - CLOCKS_APART),
                    await sms_messages.forget(tx, now - KEPT),
                    await sessions.forget(tx, now - self._limits.idle - KEPT, now - self._limits.absolute - KEPT),
                    await revocation_feed.forget(tx, now - CLOCKS_APART),
                    await service_accounts.forget(tx, now - CLOCKS_APART),
                ]
            )
