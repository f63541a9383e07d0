"""Ending sessions and access tokens: written and announced in the transaction of whatever is the cause."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from svoykrug_server.auth.model import Revocation, SessionLimits
from svoykrug_server.auth.repository import last_seen, revocation_feed, sessions
from svoykrug_server.kit.account import RevokeReason
from svoykrug_server.kit.clock import Clock
from svoykrug_server.storage.postgres import Transaction

MOST_SESSIONS = 100
"""How many sessions a person has at once; the next sign-in ends the one that was not used for longest."""


class SessionEnds:
    """Ends sessions and access tokens on all servers, when the transaction commits.

    Whoever changes a person's rights calls `revoke_for_user` in the same transaction, after the change. It waits for
    refreshes under way and makes their tokens stale too; a refresh that comes later waits for the commit and reads the
    new rights.

    Args:
        limits: How long access tokens live.
        clock: Tells the time.
    """

    def __init__(self, limits: SessionLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock

    async def revoke_for_user(self, tx: Transaction, user_id: UUID) -> None:
        """Ends every access token of a user; her sessions go on, and give her new ones with her present rights."""
        epochs = await sessions.raise_epoch(tx, user_id)
        await self._announce(tx, epochs, ended=False)

    async def end(
        self,
        tx: Transaction,
        user_id: UUID,
        reason: RevokeReason,
        *,
        only: UUID | None = None,
        but: UUID | None = None,
    ) -> tuple[Revocation, ...]:
        """Ends a user's living sessions: all, `only` one, or all `but` one.

        Whoever gives her another phone knows that it is hers, so with PHONE_CHANGED a long silence of hers ends too.

        Returns:
            What was ended, for this server to hear without delay once the transaction has committed.
        """
        now = self._clock.now()
        epochs = await sessions.end(tx, user_id, reason, now, only=only, but=but)
        if reason is RevokeReason.PHONE_CHANGED:
            # After the sessions, as a refresh does it: two transactions never wait for each other in a circle.
            await last_seen.see(tx, user_id, now)
        return await self._announce(tx, epochs, ended=True)

    async def make_room(self, tx: Transaction, user_id: UUID) -> None:
        """Ends those of a user's sessions that are too many, whatever was not used for longest."""
        for session_id in await sessions.beyond(tx, user_id, MOST_SESSIONS):
            await self.end(tx, user_id, RevokeReason.TOO_MANY, only=session_id)

    async def _announce(self, tx: Transaction, epochs: Mapping[UUID, int], *, ended: bool) -> tuple[Revocation, ...]:
        now = self._clock.now()
        revocations = tuple(
            Revocation(session_id, ended, epoch, self._until(now)) for session_id, epoch in sorted(epochs.items())
        )
        for revocation in revocations:
            await revocation_feed.announce(tx, revocation, now)
        return revocations

    def _until(self, now: datetime) -> datetime:
        # One leeway for the token's own, one for a server whose clock was ahead when it signed.
        return now + self._limits.access_life + 2 * self._limits.leeway
