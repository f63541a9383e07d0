"""Use cases: a person sees and ends her sessions."""

from uuid import UUID

from svoykrug_server.auth.call import Call, event_of
from svoykrug_server.auth.model import Revocation, Session, SessionLimits, SessionView
from svoykrug_server.auth.repository import sessions as repository
from svoykrug_server.auth.revocations import Revocations
from svoykrug_server.auth.session_ends import MOST_SESSIONS, SessionEnds
from svoykrug_server.kit.account import RevokeReason
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, PermissionDenied
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditResult
from svoykrug_server.storage.postgres import Postgres, Transaction

MOST_LISTED = MOST_SESSIONS
"""All of them: nobody has a session that she cannot see."""


class Sessions:
    """Sees and ends sessions.

    Args:
        postgres: Where sessions are kept.
        ends: Ends them.
        revocations: What this server knows to be ended.
        limits: How long they live.
        clock: Tells the time.
    """

    def __init__(
        self, postgres: Postgres, ends: SessionEnds, revocations: Revocations, limits: SessionLimits, clock: Clock
    ) -> None:
        self._postgres = postgres
        self._ends = ends
        self._revocations = revocations
        self._limits = limits
        self._clock = clock

    async def listed(self, caller: Caller) -> tuple[SessionView, ...]:
        """Returns the caller's living sessions, the one last used first; at most 100."""
        now = self._clock.now()
        async with self._postgres.read() as connection:
            sessions = await repository.alive(
                connection,
                caller.subject_id,
                idle_since=now - self._limits.idle,
                absolute_since=now - self._limits.absolute,
                most=MOST_LISTED,
            )
        return tuple(
            view_of(session, self._limits, current=session.session_id == caller.session_id) for session in sessions
        )

    async def sign_out(self, caller: Caller, call: Call) -> None:
        """Ends the session that asks. Ended already, nothing changes."""
        async with self._postgres.transaction() as tx:
            ended = await self._end(tx, caller, call, "SIGNED_OUT", RevokeReason.SIGNED_OUT, only=caller.session_id)
        self._hear(ended)

    async def revoke(self, caller: Caller, session_id: UUID, call: Call) -> None:
        """Ends one of the caller's sessions. Ended already, nothing changes.

        Raises:
            PermissionDenied: It is not the caller's, or there is none.
        """
        async with self._postgres.transaction() as tx:
            outcome = await self._not_hers(tx, caller, session_id, call) or await self._end(
                tx, caller, call, "SESSION_REVOKED", RevokeReason.REVOKED_BY_USER, only=session_id
            )
        if isinstance(outcome, DomainError):
            raise outcome
        self._hear(outcome)

    async def revoke_others(self, caller: Caller, call: Call) -> int:
        """Ends all of the caller's sessions but the one that asks, and returns how many."""
        reason = RevokeReason.REVOKED_BY_USER
        async with self._postgres.transaction() as tx:
            ended = await self._end(tx, caller, call, "OTHER_SESSIONS_REVOKED", reason, but=caller.session_id)
        self._hear(ended)
        return len(ended)

    async def _not_hers(self, tx: Transaction, caller: Caller, session_id: UUID, call: Call) -> DomainError | None:
        if await repository.is_owned(tx, session_id, caller.subject_id):
            return None
        event = event_of(
            call,
            "SESSION_REVOKED",
            self._clock.now(),
            target=("session", str(session_id)),
            actor_id=caller.subject_id,
            result=AuditResult.REFUSED,
        )
        await audit.append(tx, event)
        return PermissionDenied()

    async def _end(
        self,
        tx: Transaction,
        caller: Caller,
        call: Call,
        action: str,
        reason: RevokeReason,
        *,
        only: UUID | None = None,
        but: UUID | None = None,
    ) -> tuple[Revocation, ...]:
        ended = await self._ends.end(tx, caller.subject_id, reason, only=only, but=but)
        for revocation in ended:
            target = ("session", str(revocation.grant_id))
            event = event_of(call, action, self._clock.now(), target=target, actor_id=caller.subject_id)
            await audit.append(tx, event)
        return ended

    def _hear(self, ended: tuple[Revocation, ...]) -> None:
        """Lets this server know without delay what it has just committed."""
        for revocation in ended:
            self._revocations.hear(revocation)


def view_of(session: Session, limits: SessionLimits, *, current: bool) -> SessionView:
    """Returns what a person sees of a session."""
    return SessionView(
        session_id=session.session_id,
        device_name=session.device_name,
        create_time=session.create_time,
        last_use_time=session.rotate_time,
        expire_time=session.expire_time(limits),
        current=current,
    )
