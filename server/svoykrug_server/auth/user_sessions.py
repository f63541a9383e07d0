"""Use cases: an admin sees and ends the sessions of a person."""

from dataclasses import replace
from uuid import UUID

from svoykrug_server.auth.accounts import Accounts
from svoykrug_server.auth.model import Revocation, SessionLimits, SessionView
from svoykrug_server.auth.repository import sessions as repository
from svoykrug_server.auth.revocations import Revocations
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.auth.sessions import MOST_LISTED, view_of
from svoykrug_server.kit.account import RevokeReason
from svoykrug_server.kit.caller import Caller, Role
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, NotFound, PermissionDenied
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditResult, Origin, event_of_call
from svoykrug_server.storage.postgres import Postgres, Transaction

_PROTECTED = frozenset({Role.ADMIN, Role.SUPERADMIN})


class UserSessions:
    """Sees and ends other people's sessions.

    Args:
        postgres: Where sessions are kept.
        accounts: The people of the circle.
        ends: Ends sessions.
        revocations: What this server knows to be ended.
        limits: How long sessions live.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        accounts: Accounts,
        ends: SessionEnds,
        revocations: Revocations,
        limits: SessionLimits,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._accounts = accounts
        self._ends = ends
        self._revocations = revocations
        self._limits = limits
        self._clock = clock

    async def listed(self, user_id: UUID, caller: Caller) -> tuple[SessionView, ...]:
        """Returns a user's living sessions, the one last used first; at most 100.

        Raises:
            NotFound: There is no such user.
        """
        async with self._postgres.transaction() as tx:
            if await self._accounts.claims(tx, user_id) is None:
                raise NotFound
        now = self._clock.now()
        async with self._postgres.read() as connection:
            sessions = await repository.alive(
                connection,
                user_id,
                idle_since=now - self._limits.idle,
                absolute_since=now - self._limits.absolute,
                most=MOST_LISTED,
            )
        return tuple(
            view_of(session, self._limits, current=session.session_id == caller.session_id) for session in sessions
        )

    async def revoke(self, user_id: UUID, session_id: UUID | None, caller: Caller, call: Origin) -> int:
        """Ends one session of a user, or all of them. Ended already, nothing changes.

        Args:
            user_id: The user.
            session_id: One of hers; None for all.
            caller: Who asks.
            call: The call in progress.

        Returns:
            How many were ended.

        Raises:
            NotFound: There is no such user, or it is not her session.
            PermissionDenied: She is an admin, and the caller is no superadmin.
        """
        async with self._postgres.transaction() as tx:
            outcome = await self._revoke(tx, user_id, session_id, caller, call)
        if isinstance(outcome, DomainError):
            raise outcome
        for revocation in outcome:
            self._revocations.hear(revocation)
        return len(outcome)

    async def _revoke(
        self, tx: Transaction, user_id: UUID, session_id: UUID | None, caller: Caller, call: Origin
    ) -> tuple[Revocation, ...] | DomainError:
        claims = await self._accounts.claims(tx, user_id)
        if claims is None:
            return NotFound()
        if not claims.roles.isdisjoint(_PROTECTED) and Role.SUPERADMIN not in caller.roles:
            await self._audit(tx, call, user_id, {}, AuditResult.REFUSED)
            return PermissionDenied()
        if session_id is not None and not await repository.is_owned(tx, session_id, user_id):
            return NotFound()
        ended = await self._ends.end(tx, user_id, RevokeReason.REVOKED_BY_ADMIN, only=session_id)
        if ended:
            ids = [str(revocation.grant_id) for revocation in ended]
            await self._audit(tx, call, user_id, {"session_ids": ids}, AuditResult.DONE)
        return ended

    async def _audit(
        self, tx: Transaction, call: Origin, user_id: UUID, details: dict[str, object], result: AuditResult
    ) -> None:
        now = self._clock.now()
        event = event_of_call(call, "USER_SESSIONS_REVOKED", now, target=("user", str(user_id)), details=details)
        await audit.append(tx, replace(event, result=result))
