"""Businesses that leave the circle, and may come back: their people's rights go and come with them."""

from dataclasses import replace
from uuid import UUID

from svoykrug_server.businesses import repository
from svoykrug_server.businesses.model import Business, BusinessStatus
from svoykrug_server.businesses.ports import AccessTokens
from svoykrug_server.businesses.service import caller_of, lock_for, target_of
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import Conflict, PermissionDenied
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import Origin, event_of_call
from svoykrug_server.storage.postgres import Postgres

_ACTIONS = {BusinessStatus.ARCHIVED: "BUSINESS_ARCHIVED", BusinessStatus.ACTIVE: "BUSINESS_UNARCHIVED"}


class BusinessArchive:
    """Archives businesses and takes them back.

    The roles at an archived business stay as they are, and give no rights: what an access token says leaves them out.

    Args:
        postgres: The system of record.
        clock: Tells what time it is.
        access_tokens: Ended for everybody who works there, so that the next refresh brings the rights of now.
    """

    def __init__(self, postgres: Postgres, clock: Clock, access_tokens: AccessTokens) -> None:
        self._postgres = postgres
        self._clock = clock
        self._access_tokens = access_tokens

    async def archive(self, call: Origin, business_id: UUID, etag: str) -> Business:
        """Archives a business and returns it; archived already, nothing changes.

        Args:
            call: The call in progress.
            business_id: The business.
            etag: The etag last read; empty to archive whatever is there.

        Raises:
            PermissionDenied: The caller is no admin.
            NotFound: There is no such business.
            Conflict: STALE_ETAG.
        """
        return await self._move(call, business_id, BusinessStatus.ARCHIVED, etag)

    async def unarchive(self, call: Origin, business_id: UUID, etag: str) -> Business:
        """Takes a business out of the archive and returns it; active already, nothing changes.

        Raises:
            DomainError: As `archive`.
        """
        return await self._move(call, business_id, BusinessStatus.ACTIVE, etag)

    async def _move(self, call: Origin, business_id: UUID, status: BusinessStatus, etag: str) -> Business:
        caller = caller_of(call)
        if not caller.is_admin:
            raise PermissionDenied
        now = self._clock.now()
        async with self._postgres.transaction() as tx:
            business = await lock_for(tx, caller, business_id)
            if business.status is status:
                return business
            if etag and etag != business.etag:
                raise Conflict("STALE_ETAG")
            staff_ids = await repository.lock_staff(tx, business_id)
            await repository.change(tx, business_id, {"status": status.value}, now)
            await audit.append(tx, event_of_call(call, _ACTIONS[status], now, target=target_of(business_id)))
            for user_id in staff_ids:
                await self._access_tokens.revoke_for_user(tx, user_id)
        return replace(business, status=status, version=business.version + 1, update_time=now)
