"""Who works at a business: roles given, changed and taken away."""

from collections.abc import Mapping
from uuid import UUID

from svoykrug_server.businesses import repository
from svoykrug_server.businesses.model import MAX_BUSINESSES_OF_A_PERSON, MAX_STAFF, BusinessStatus, StaffMember
from svoykrug_server.businesses.ports import AccessTokens
from svoykrug_server.businesses.service import caller_of, lock_for, require_owner_or_admin, visible_to
from svoykrug_server.kit.caller import Caller, StaffRole
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import FailedPrecondition, PermissionDenied
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import Origin, event_of_call
from svoykrug_server.storage.postgres import Postgres, Transaction


class StaffService:
    """The people of businesses.

    Args:
        postgres: The system of record.
        clock: Tells what time it is.
        access_tokens: Ended for whoever's role changes, so that the next refresh brings the new one.
    """

    def __init__(self, postgres: Postgres, clock: Clock, access_tokens: AccessTokens) -> None:
        self._postgres = postgres
        self._clock = clock
        self._access_tokens = access_tokens

    async def add_staff(self, call: Origin, business_id: UUID, user_id: UUID, role: StaffRole) -> StaffMember:
        """Gives a user a role at a business, or changes it; the role she has already changes nothing.

        An owner gives the staff role to whoever has none there; the rest is an admin's.

        Raises:
            PermissionDenied: The caller is neither its owner nor an admin, or an owner who does more than that.
            NotFound: There is no such business; said to admins only.
            FailedPrecondition: BUSINESS_ARCHIVED; MEMBER_UNKNOWN, there is no such user who can sign in; or STAFF_FULL.
        """
        caller = caller_of(call)
        require_owner_or_admin(caller, business_id)
        async with self._postgres.transaction() as tx:
            business = await lock_for(tx, caller, business_id)
            if business.status is BusinessStatus.ARCHIVED:
                raise FailedPrecondition("BUSINESS_ARCHIVED")
            name = await repository.lock_person(tx, user_id)
            before = await repository.staff_role(tx, business_id, user_id)
            if not caller.is_admin and StaffRole.OWNER in {role, before and before[0]}:
                raise PermissionDenied
            if name is None:
                raise FailedPrecondition("MEMBER_UNKNOWN")
            if before is None:
                await _check_room(tx, business_id, user_id)
            if before is None or before[0] is not role:
                await self._give_role(tx, call, business_id, user_id, role, is_new=before is None)
        return StaffMember(user_id, role, name, self._clock.now() if before is None else before[1])

    async def remove_staff(self, call: Origin, business_id: UUID, user_id: UUID) -> None:
        """Takes a user's role at a business away; removing someone who is not there changes nothing.

        Raises:
            PermissionDenied: The caller is neither its owner nor an admin, or an owner who removes another owner.
            NotFound: There is no such business; said to admins only.
        """
        caller = caller_of(call)
        require_owner_or_admin(caller, business_id)
        async with self._postgres.transaction() as tx:
            await lock_for(tx, caller, business_id)
            await repository.lock_person(tx, user_id)
            before = await repository.staff_role(tx, business_id, user_id)
            is_other_owner = before is not None and before[0] is StaffRole.OWNER and user_id != caller.subject_id
            if is_other_owner and not caller.is_admin:
                raise PermissionDenied
            if await repository.remove_staff(tx, business_id, user_id):
                await self._changed(tx, call, "STAFF_REMOVED", user_id, {"business_id": str(business_id)})
                await self._access_tokens.revoke_for_user(tx, user_id)

    async def list_staff(self, caller: Caller, business_id: UUID) -> list[StaffMember]:
        """Returns the people who work at a business, owners first, then by when they were added; at most 1,000.

        Who deleted her account is left out, and comes back when she restores it.

        Raises:
            PermissionDenied: The caller is neither its owner nor an admin, or an owner of an archived business.
            NotFound: There is no such business; said to admins only.
        """
        require_owner_or_admin(caller, business_id)
        async with self._postgres.read() as connection:
            visible_to(caller, await repository.get(connection, business_id))
            return await repository.staff(connection, business_id, MAX_STAFF)

    async def _give_role(
        self, tx: Transaction, call: Origin, business_id: UUID, user_id: UUID, role: StaffRole, *, is_new: bool
    ) -> None:
        now = self._clock.now()
        if is_new:
            await repository.add_staff(tx, business_id, user_id, role, now)
        else:
            await repository.change_staff(tx, business_id, user_id, role, now)
        details = {"business_id": str(business_id), "role": role.value}
        await self._changed(tx, call, "STAFF_ADDED", user_id, details)
        await self._access_tokens.revoke_for_user(tx, user_id)

    async def _changed(
        self, tx: Transaction, call: Origin, action: str, user_id: UUID, details: Mapping[str, object]
    ) -> None:
        """Writes down what happened to a person: her role is hers, and belongs to what she may see of herself."""
        event = event_of_call(call, action, self._clock.now(), target=("user", str(user_id)), details=details)
        await audit.append(tx, event)


async def _check_room(tx: Transaction, business_id: UUID, user_id: UUID) -> None:
    """Refuses one more role where there are as many as there may be, at the business or of the person.

    Raises:
        FailedPrecondition: STAFF_FULL.
    """
    people, businesses = await repository.count_staff(tx, business_id, user_id)
    for count, most in ((people, MAX_STAFF), (businesses, MAX_BUSINESSES_OF_A_PERSON)):
        if count >= most:
            raise FailedPrecondition("STAFF_FULL", metadata={"most": str(most)})
