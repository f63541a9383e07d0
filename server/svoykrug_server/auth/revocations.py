"""Access tokens that were ended early, known to every server within a second.

A revocation is written to Postgres and travels by NOTIFY; every server hears it on a connection of its own and keeps
it until the token would have died anyway. That connection beats once a second, and is replaced at once when it breaks.
Without a beat for two seconds nobody knows what was missed: `in_touch` is False, and each call asks Postgres about its
own session. A new connection first listens, then reads everything that still counts, so nothing falls between the two.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import structlog

from svoykrug_server.auth.model import Revocation
from svoykrug_server.auth.repository import revocation_feed as repository
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import StoreUnavailable, Unauthenticated
from svoykrug_server.storage.postgres import Postgres

log = structlog.get_logger(__name__)

BEAT = timedelta(seconds=1)
LOST_AFTER = timedelta(seconds=2)
_RETRY_SECONDS = 0.2


class Revocations:
    """What this server has heard.

    Args:
        postgres: Where revocations are kept and announced.
        clock: Tells the time.
        monotonic: Tells the seconds that pass between beats.
        hear_of_keys: Called whenever signing keys changed, or may have: a rejected key ends tokens too.
    """

    def __init__(
        self,
        postgres: Postgres,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        hear_of_keys: Callable[[], None] = lambda: None,
    ) -> None:
        self._hear_of_keys = hear_of_keys
        self._postgres = postgres
        self._clock = clock
        self._monotonic = monotonic
        self._by_grant: dict[UUID, Revocation] = {}
        self._beat_seconds: float | None = None

    @property
    def in_touch(self) -> bool:
        """Whether every revocation is known: the connection that hears them has beaten within two seconds."""
        beat = self._beat_seconds
        return beat is not None and self._monotonic() - beat < LOST_AFTER.total_seconds()

    def hear(self, revocation: Revocation) -> None:
        """Keeps a revocation. Heard twice or late it changes nothing: an epoch only grows, an end is for ever."""
        known = self._by_grant.get(revocation.grant_id)
        if known is not None:
            revocation = Revocation(
                revocation.grant_id,
                known.ended or revocation.ended,
                max(known.access_epoch, revocation.access_epoch),
                max(known.until_time, revocation.until_time),
            )
        self._by_grant[revocation.grant_id] = revocation

    def check(self, grant_id: UUID, epoch: int) -> None:
        """Refuses a token that was ended.

        Args:
            grant_id: The session, or the service account, that the token hangs on.
            epoch: The token's epoch.

        Raises:
            Unauthenticated: SESSION_REVOKED or ACCESS_TOKEN_REVOKED.
        """
        known = self._by_grant.get(grant_id)
        if known is not None and epoch < known.access_epoch:
            raise Unauthenticated("SESSION_REVOKED" if known.ended else "ACCESS_TOKEN_REVOKED")

    async def run(self) -> None:
        """Listens until cancelled, on a new connection whenever one is lost."""
        while True:
            try:
                await self._listen()
            except (*repository.LOST, StoreUnavailable) as error:
                log.warning("auth.revocations_out_of_touch", error=type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _listen(self) -> None:
        connection = await self._postgres.dedicated()
        try:
            lost = repository.watch(connection)
            await repository.listen(connection, self.hear, self._hear_of_keys)
            self._hear_of_keys()
            for revocation in await repository.live(connection, self._clock.now()):
                self.hear(revocation)
            while True:
                self._beat_seconds = self._monotonic()
                self._forget()
                # Not wait_for: in Python 3.11 it forgets that it was cancelled when an answer comes in the same moment.
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT.total_seconds()):
                        await lost.wait()
                async with asyncio.timeout(BEAT.total_seconds()):
                    await repository.beat(connection)
        finally:
            connection.terminate()

    def _forget(self) -> None:
        now = self._clock.now()
        for grant_id in [key for key, revocation in self._by_grant.items() if revocation.until_time <= now]:
            del self._by_grant[grant_id]
