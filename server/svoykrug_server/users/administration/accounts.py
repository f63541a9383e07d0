"""Use cases: an admin changes an account, gives it roles, shuts it out and lets it in again.

A refusal leaves its trace: it is written to the audit trail and committed before the caller gets the error.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from uuid import UUID

from svoykrug_server.kit.account import AccountStatus, RevokeReason
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import Conflict, DomainError, FailedPrecondition, NotFound, PermissionDenied
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditResult, Origin, event_of_call
from svoykrug_server.storage.postgres import Postgres, Transaction
from svoykrug_server.users import repository
from svoykrug_server.users.administration import account_repository
from svoykrug_server.users.administration.account_repository import PhoneTaken
from svoykrug_server.users.administration.model import AccountChange, BanReason
from svoykrug_server.users.administration.roles import ELEVATED, refusal_to_gain
from svoykrug_server.users.model import User
from svoykrug_server.users.number_bans import NumberBans
from svoykrug_server.users.ports import Sessions
from svoykrug_server.users.service import caller_of, check_birth_date
from svoykrug_server.users.superadmins import refusal_to_lose

Work = Callable[[Transaction, User], Awaitable[User | DomainError]]


class AccountAdministration:
    """Changes the accounts of others.

    Args:
        postgres: The system of record.
        sessions: The sessions that a change ends.
        number_bans: Bans that outlive accounts.
        clock: Tells the time.
    """

    def __init__(self, postgres: Postgres, sessions: Sessions, number_bans: NumberBans, clock: Clock) -> None:
        self._postgres = postgres
        self._sessions = sessions
        self._number_bans = number_bans
        self._clock = clock

    async def update(self, call: Origin, user_id: UUID, change: AccountChange, etag: str) -> User:
        """Changes a user's profile or phone and returns her. A new phone ends all her sessions.

        The same values twice are the same user, also with the etag of before.

        Raises:
            InvalidFields: The birth date cannot be one.
            NotFound: There is no such user.
            PermissionDenied: She is an admin, and the caller no superadmin.
            FailedPrecondition: USER_STATE, she is deleted.
            Conflict: STALE_ETAG, or PHONE_TAKEN.
        """
        values = change.values()
        check_birth_date(values, self._clock.now().date())

        async def work(tx: Transaction, user: User) -> User | DomainError:
            if user.status is AccountStatus.DELETED:
                return _wrong_state(user)
            return await self._write(tx, call, "USER_UPDATED", user, values, etag, {"fields": sorted(values)})

        try:
            return await self._change(call, "USER_UPDATED", user_id, work, phone=change.phone)
        except PhoneTaken as error:
            raise Conflict("PHONE_TAKEN") from error

    async def set_roles(self, call: Origin, user_id: UUID, roles: frozenset[Role], etag: str) -> User:
        """Gives a user exactly these roles; her access tokens end at once.

        Args:
            call: The call of a superadmin.
            user_id: The user.
            roles: All her roles, the member's among them.
            etag: The etag last read; empty to set them whatever she is.

        Raises:
            NotFound: There is no such user.
            FailedPrecondition: LAST_SUPERADMIN, or USER_STATE: she cannot sign in, or with a demo phone's code.
            Conflict: STALE_ETAG.
        """

        async def work(tx: Transaction, user: User) -> User | DomainError:
            refusal = None
            if roles - user.roles:
                demo = await account_repository.is_demo(tx, user_id)
                refusal = refusal_to_gain(user.status, demo=demo, has_phone=user.phone is not None)
            if refusal is None and Role.SUPERADMIN not in roles:
                refusal = await refusal_to_lose(tx, user)
            if refusal is not None:
                return refusal
            details = {"before": sorted(user.roles), "after": sorted(roles)}
            return await self._write(tx, call, "ROLES_CHANGED", user, {"roles": roles}, etag, details)

        return await self._change(call, "ROLES_CHANGED", user_id, work)

    async def ban(self, call: Origin, user_id: UUID, reason: BanReason) -> User:
        """Shuts a user out: all her sessions end at once on all servers. Banned already, nothing changes.

        Who deleted her account stays deleted, and cannot come back: her number is banned.

        Raises:
            NotFound: There is no such user.
            PermissionDenied: She is an admin, and the caller no superadmin; or she is the caller.
            FailedPrecondition: LAST_SUPERADMIN, or USER_STATE: she is deleted and has no number to come back with.
        """

        async def work(tx: Transaction, user: User) -> User | DomainError:
            if user.id == caller_of(call).subject_id:
                return PermissionDenied()
            if user.status is AccountStatus.DELETED:
                return await self._ban_number(tx, call, user, reason)
            refusal = await refusal_to_lose(tx, user)
            if refusal is not None:
                return refusal
            values = {"status": AccountStatus.BANNED}
            return await self._write(tx, call, "USER_BANNED", user, values, "", {"reason": reason.value})

        return await self._change(call, "USER_BANNED", user_id, work)

    async def unban(self, call: Origin, user_id: UUID) -> User | None:
        """Lets a banned user sign in again. Not banned, nothing changes.

        Returns:
            The user; None for one who is erased, whose number alone was banned.

        Raises:
            NotFound: There is no such user, and no ban of her number.
            PermissionDenied: She is an admin, and the caller no superadmin.
        """

        async def work(tx: Transaction, user: User) -> User | DomainError:
            if await self._number_bans.lift(tx, user.id):
                await self._record(tx, call, "USER_UNBANNED", user.id, {})
            if user.status is not AccountStatus.BANNED:
                return user
            # Whoever has not signed in yet has no referral code.
            status = AccountStatus.ACTIVE if user.referral_code else AccountStatus.UNCLAIMED
            return await self._write(tx, call, "USER_UNBANNED", user, {"status": status}, "", {})

        return None if await self._lifted(call, user_id) else await self._change(call, "USER_UNBANNED", user_id, work)

    async def _lifted(self, call: Origin, user_id: UUID) -> bool:
        """Lifts the ban of the number of somebody who is erased; tells whether that was to be done."""
        async with self._postgres.transaction() as tx:
            lifted = await repository.lock(tx, user_id) is None and await self._number_bans.lift(tx, user_id)
            if lifted:
                await self._record(tx, call, "USER_UNBANNED", user_id, {})
        return lifted

    async def _ban_number(self, tx: Transaction, call: Origin, user: User, reason: BanReason) -> User | DomainError:
        if user.phone is None:
            return _wrong_state(user)
        if await self._number_bans.add(tx, user.id, user.phone, self._clock.now()):
            await self._sessions.end(tx, user.id, RevokeReason.BANNED)
            await self._record(tx, call, "USER_BANNED", user.id, {"reason": reason.value})
        return user

    async def _record(
        self, tx: Transaction, call: Origin, action: str, user_id: UUID, details: Mapping[str, object]
    ) -> None:
        event = event_of_call(call, action, self._clock.now(), target=("user", str(user_id)), details=details)
        await audit.append(tx, event)

    async def _change(self, call: Origin, action: str, user_id: UUID, work: Work, *, phone: str | None = None) -> User:
        """Does the work on a locked user in one transaction, or leaves the trace of a refusal and raises it."""
        async with self._postgres.transaction() as tx:
            outcome = await self._judge(tx, call, user_id, work, phone)
            if isinstance(outcome, DomainError):
                details = {"error_reason": outcome.reason}
                event = event_of_call(call, action, self._clock.now(), target=("user", str(user_id)), details=details)
                await audit.append(tx, replace(event, result=AuditResult.REFUSED))
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    async def _judge(
        self, tx: Transaction, call: Origin, user_id: UUID, work: Work, phone: str | None
    ) -> User | DomainError:
        # In the order of every sign-in and phone change: first the phone, then its user.
        owner = None if phone is None else await repository.lock_by_phone(tx, phone)
        if owner is not None and owner[0].user_id != user_id:
            # Before a second user is locked: two admins who give two users each other's phones would wait in a circle.
            return Conflict("PHONE_TAKEN")
        user = await repository.lock(tx, user_id)
        if user is None:
            return NotFound()
        if user.roles & ELEVATED and Role.SUPERADMIN not in caller_of(call).roles:
            return PermissionDenied()
        return await work(tx, user)

    async def _write(
        self,
        tx: Transaction,
        call: Origin,
        action: str,
        user: User,
        values: Mapping[str, object],
        etag: str,
        details: Mapping[str, object],
    ) -> User | DomainError:
        changed = replace(user, **values)  # type: ignore[arg-type]  # the names and types are those of User
        if changed == user:
            return user
        if etag and etag != user.etag:
            return Conflict("STALE_ETAG")
        now = self._clock.now()
        columns = {**values, "roles": sorted(changed.roles)} if "roles" in values else values
        await account_repository.change(tx, user.id, columns, now)
        await self._end_sessions(tx, user, changed)
        await audit.append(tx, event_of_call(call, action, now, target=("user", str(user.id)), details=details))
        return replace(changed, version=user.version + 1, update_time=now)

    async def _end_sessions(self, tx: Transaction, before: User, after: User) -> None:
        if after.status is AccountStatus.BANNED and before.status is not AccountStatus.BANNED:
            await self._sessions.end(tx, after.id, RevokeReason.BANNED)
        if after.phone != before.phone:
            await self._sessions.end(tx, after.id, RevokeReason.PHONE_CHANGED)
        if after.roles != before.roles:
            await self._sessions.revoke_for_user(tx, after.id)


def _wrong_state(user: User) -> DomainError:
    return FailedPrecondition("USER_STATE", metadata={"state": user.status.value})
