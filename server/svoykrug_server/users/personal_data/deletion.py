"""Use cases: she deletes her account and takes that back; a superadmin has her erased; the receipt is read."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

from svoykrug_server.kit.account import AccountStatus, RevokeReason
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, FailedPrecondition, NotFound, PermissionDenied
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditEvent, Origin, event_of_call
from svoykrug_server.storage.postgres import Postgres, Transaction
from svoykrug_server.users import repository as users
from svoykrug_server.users.model import User
from svoykrug_server.users.number_bans import NumberBans
from svoykrug_server.users.personal_data import repository
from svoykrug_server.users.personal_data.model import Erasure, ErasureState
from svoykrug_server.users.ports import Sessions
from svoykrug_server.users.service import caller_of
from svoykrug_server.users.superadmins import refusal_to_lose


class AccountDeletion:
    """Deletes accounts, for a while and for ever.

    Args:
        postgres: The system of record.
        sessions: What is ended for whoever is deleted.
        number_bans: Bans that outlive accounts.
        clock: Tells the time.
        grace: How long she can take it back.
        wake_eraser: Called when something is to be erased at once.
    """

    def __init__(
        self,
        postgres: Postgres,
        sessions: Sessions,
        number_bans: NumberBans,
        clock: Clock,
        grace: timedelta,
        wake_eraser: Callable[[], None],
    ) -> None:
        self._postgres = postgres
        self._sessions = sessions
        self._number_bans = number_bans
        self._clock = clock
        self._grace = grace
        self._wake_eraser = wake_eraser

    async def delete_me(self, call: Origin) -> Erasure:
        """Deletes the caller's account; deleted already, the same erasure is returned.

        Raises:
            FailedPrecondition: LAST_SUPERADMIN.
            PermissionDenied: She was erased, or banned a moment ago: a deletion must not lift her ban.
        """
        caller = caller_of(call)
        async with self._postgres.transaction() as tx:
            outcome = await self._delete(tx, call, caller.subject_id, caller.session_id)
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    async def restore_me(self, call: Origin) -> User:
        """Takes the caller's deletion back; not deleted, nothing changes.

        Raises:
            FailedPrecondition: USER_STATE, the erasure is under way.
            PermissionDenied: She was erased, or USER_BANNED a moment ago.
        """
        async with self._postgres.transaction() as tx:
            outcome = await self._restore(tx, call, caller_of(call).subject_id)
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    async def erase_user(self, call: Origin, user_id: UUID) -> Erasure:
        """Has a user erased at once, whatever she is; asked already, the same erasure is returned.

        The number of a banned one stays banned for a while, so that an erasure is no way around a ban.

        Raises:
            NotFound: There is no such user.
            FailedPrecondition: LAST_SUPERADMIN.
        """
        async with self._postgres.transaction() as tx:
            outcome = await self._order(tx, call, user_id)
        if isinstance(outcome, DomainError):
            raise outcome
        self._wake_eraser()
        return outcome

    async def receipt(self, erasure_id: UUID) -> Erasure:
        """Returns an erasure to whoever knows its id.

        Raises:
            PermissionDenied: There is none.
        """
        async with self._postgres.read() as connection:
            erasure = await repository.get(connection, erasure_id)
        if erasure is None:
            raise PermissionDenied
        return erasure

    async def _delete(
        self, tx: Transaction, call: Origin, user_id: UUID, session_id: UUID | None
    ) -> Erasure | DomainError:
        user = await users.lock(tx, user_id)
        if user is None or user.status is AccountStatus.BANNED:
            return PermissionDenied()
        known = await repository.lock_open(tx, user_id)
        if known is not None:
            return known
        refusal = await refusal_to_lose(tx, user)
        if refusal is not None:
            return refusal
        now = self._clock.now()
        erasure = Erasure(uuid4(), ErasureState.SCHEDULED, now, now + self._grace)
        await users.change(tx, user_id, {"status": AccountStatus.DELETED.value}, now)
        await repository.add(tx, user_id, erasure)
        await self._sessions.end(tx, user_id, RevokeReason.REVOKED_BY_USER, but=session_id)
        await self._sessions.revoke_for_user(tx, user_id)
        await audit.append(tx, self._event(call, "ACCOUNT_DELETED", user_id, erasure))
        return erasure

    async def _restore(self, tx: Transaction, call: Origin, user_id: UUID) -> User | DomainError:
        user = await users.lock(tx, user_id)
        if user is None or user.status is AccountStatus.BANNED:
            return PermissionDenied()
        if user.status is not AccountStatus.DELETED:
            return user
        known = await repository.lock_open(tx, user_id)
        if known is None or known.state is not ErasureState.SCHEDULED:
            return FailedPrecondition("USER_STATE", metadata={"state": user.status.value})
        now = self._clock.now()
        if await self._number_bans.stands(tx, user_id, now):
            return PermissionDenied("USER_BANNED")
        await users.change(tx, user_id, {"status": AccountStatus.ACTIVE.value}, now)
        await repository.cancel(tx, known.id)
        await self._sessions.revoke_for_user(tx, user_id)
        await audit.append(tx, event_of_call(call, "ACCOUNT_RESTORED", now, target=("user", str(user_id))))
        return await users.lock(tx, user_id) or PermissionDenied()

    async def _order(self, tx: Transaction, call: Origin, user_id: UUID) -> Erasure | DomainError:
        user = await users.lock(tx, user_id)
        if user is None:
            return NotFound()
        refusal = await refusal_to_lose(tx, user)
        if refusal is not None:
            return refusal
        known = await repository.lock_open(tx, user_id)
        if known is not None and known.state is ErasureState.RUNNING:
            return known
        now = self._clock.now()
        if known is None:
            known = Erasure(uuid4(), ErasureState.RUNNING, now, now)
            await repository.add(tx, user_id, known)
        await repository.hasten(tx, known.id, now)
        if user.status is AccountStatus.BANNED and user.phone is not None:
            await self._number_bans.add(tx, user_id, user.phone, now)
        await users.change(tx, user_id, {"status": AccountStatus.DELETED.value}, now)
        await self._sessions.end(tx, user_id, RevokeReason.REVOKED_BY_ADMIN)
        await audit.append(tx, self._event(call, "ERASURE_ORDERED", user_id, known))
        return Erasure(known.id, ErasureState.RUNNING, known.request_time, now)

    def _event(self, call: Origin, action: str, user_id: UUID, erasure: Erasure) -> AuditEvent:
        """Names the erasure too: whoever asked and lost the answer finds the receipt by it when she is erased."""
        details = {"erasure_id": str(erasure.id)}
        return event_of_call(call, action, self._clock.now(), target=("user", str(user_id)), details=details)
