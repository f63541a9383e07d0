"""What can be done with businesses and their staff: rules and order, no SQL and no protobuf."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from svoykrug_server.businesses import repository
from svoykrug_server.businesses.model import (
    ALWAYS_SENSITIVE,
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    Business,
    BusinessChange,
    BusinessPage,
    BusinessStatus,
    Category,
    NewBusiness,
)
from svoykrug_server.businesses.repository import NameTaken
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import Conflict, InvalidFields, NotFound, PermissionDenied, Unauthenticated
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.kit.paging import PageTokens, page_size
from svoykrug_server.storage import audit, idempotency
from svoykrug_server.storage.audit import Origin, event_of_call
from svoykrug_server.storage.idempotency import Answer, RequestKey
from svoykrug_server.storage.postgres import Postgres, Transaction

_CREATE = "/svoykrug.businesses.v1.BusinessesService/CreateBusiness"


class BusinessesService:
    """Partner businesses.

    Args:
        postgres: The system of record.
        clock: Tells what time it is.
        page_tokens: Makes and reads page tokens.
    """

    def __init__(self, postgres: Postgres, clock: Clock, page_tokens: PageTokens) -> None:
        self._postgres = postgres
        self._clock = clock
        self._page_tokens = page_tokens

    async def create_business(self, call: Origin, request_id: UUID, new: NewBusiness) -> Business:
        """Creates a business; the same request id again returns the business as it was created.

        Raises:
            PermissionDenied: The caller is no admin.
            InvalidFields: REQUEST_ID_REUSED, the id was used for another business.
            Conflict: BUSINESS_EXISTS, the name is taken.
        """
        caller = caller_of(call)
        if not caller.is_admin:
            raise PermissionDenied
        now = self._clock.now()
        body = {"name": new.name, "category": new.category, "sensitive": new.sensitive}
        key = RequestKey(str(caller.subject_id), _CREATE, request_id, idempotency.hash_of(body))
        business = Business(uuid7(now), new.name, new.category, new.is_sensitive, BusinessStatus.ACTIVE, 1, now, now)
        async with self._postgres.transaction() as tx:
            answer = await idempotency.claim(tx, key, now)
            if answer is not None:
                return _business_from_answer(answer)
            if not await repository.add(tx, business):
                raise Conflict("BUSINESS_EXISTS")
            await idempotency.remember(tx, key, _answer_of(business))
            await audit.append(tx, event_of_call(call, "BUSINESS_CREATED", now, target=target_of(business.id)))
        return business

    async def get_business(self, caller: Caller, business_id: UUID) -> Business:
        """Returns a business to its people, to an admin, or to a service.

        Raises:
            PermissionDenied: The caller does not work there, whether or not there is such a business, or it is archived
                and the caller no admin and no service.
            NotFound: There is no such business; said to admins and services only.
        """
        if not (_may_know(caller) or caller.works_at(business_id)):
            raise PermissionDenied
        async with self._postgres.read() as connection:
            business = await repository.get(connection, business_id)
        return visible_to(caller, business)

    async def list_businesses(
        self, caller: Caller, *, size: int, token: str, category: Category | None
    ) -> BusinessPage:
        """Returns a page of businesses by name; archived ones only to admins and services.

        Args:
            caller: Who asks.
            size: How many; 0 for the default.
            token: The `next_page_token` of the page before; empty for the first.
            category: Only this category; None for all.

        Raises:
            InvalidFields: The size is negative, or INVALID_PAGE_TOKEN.
        """
        limit = page_size(size, default=DEFAULT_PAGE_SIZE, most=MAX_PAGE_SIZE)
        archived_too = _may_know(caller)
        listing = f"businesses category={category or ''} archived={archived_too}"
        position = self._page_tokens.read(listing, token)
        after = None if position is None else UUID(str(position[0]))
        async with self._postgres.read() as connection:
            rows = await repository.page(connection, after, category, archived_too=archived_too, limit=limit + 1)
        more = len(rows) > limit
        shown = tuple(rows[:limit])
        return BusinessPage(shown, self._page_tokens.make(listing, [str(shown[-1].id)]) if more else "")

    async def update_business(self, call: Origin, business_id: UUID, change: BusinessChange, etag: str) -> Business:
        """Changes a business and returns it. The same values twice are the same business, also with the etag of before.

        Args:
            call: The call in progress.
            business_id: The business.
            change: The new values.
            etag: The etag last read; empty to change whatever is there.

        Raises:
            PermissionDenied: The caller is neither its owner nor an admin, or an owner of an archived business.
            NotFound: There is no such business; said to admins only.
            InvalidFields: It would become dental or medical without being sensitive.
            Conflict: STALE_ETAG, or BUSINESS_EXISTS: the name is taken.
        """
        caller = caller_of(call)
        require_owner_or_admin(caller, business_id)
        now = self._clock.now()
        try:
            async with self._postgres.transaction() as tx:
                business = await lock_for(tx, caller, business_id)
                changed = _changed(business, change)
                if changed == business:
                    return business
                if etag and etag != business.etag:
                    raise Conflict("STALE_ETAG")
                await repository.change(tx, business_id, change.values(), now)
                details = {"fields": sorted(change.values())}
                event = event_of_call(call, "BUSINESS_UPDATED", now, target=target_of(business_id), details=details)
                await audit.append(tx, event)
        except NameTaken as error:
            raise Conflict("BUSINESS_EXISTS") from error
        return replace(changed, version=business.version + 1, update_time=now)


def caller_of(call: Origin) -> Caller:
    """Returns who is calling.

    Raises:
        Unauthenticated: TOKEN_MISSING, nobody proved to be anyone.
    """
    if call.caller is None:
        raise Unauthenticated("TOKEN_MISSING")
    return call.caller


def require_owner_or_admin(caller: Caller, business_id: UUID) -> None:
    """Lets the business's owner and admins pass.

    Raises:
        PermissionDenied: The caller is neither.
    """
    if not (caller.is_admin or caller.owns(business_id)):
        raise PermissionDenied


def visible_to(caller: Caller, business: Business | None) -> Business:
    """Returns a business that a caller may know; the people of an archived one may not, whatever a token says.

    Raises:
        NotFound: There is none; said to admins and services.
        PermissionDenied: The same, said to all others, who cannot tell it from an archived one.
    """
    if business is None:
        raise NotFound if _may_know(caller) else PermissionDenied
    if business.status is BusinessStatus.ARCHIVED and not _may_know(caller):
        raise PermissionDenied
    return business


async def lock_for(tx: Transaction, caller: Caller, business_id: UUID) -> Business:
    """Returns a business that a caller may know and that nobody else changes before the transaction ends.

    Raises:
        DomainError: As `visible_to`.
    """
    return visible_to(caller, await repository.lock(tx, business_id))


def target_of(business_id: UUID) -> tuple[str, str]:
    """Returns a business as the target of an audit event."""
    return "business", str(business_id)


def _may_know(caller: Caller) -> bool:
    return caller.is_admin or caller.is_service


def _changed(business: Business, change: BusinessChange) -> Business:
    if change.category in ALWAYS_SENSITIVE and not business.sensitive:
        raise InvalidFields.of("business.category", "a business that is not sensitive cannot become dental or medical")
    return replace(business, name=change.name or business.name, category=change.category or business.category)


def _answer_of(business: Business) -> Answer:
    return {
        "id": str(business.id),
        "name": business.name,
        "category": business.category.value,
        "sensitive": business.sensitive,
        "create_time": business.create_time.isoformat(),
    }


def _business_from_answer(answer: Answer) -> Business:
    created = datetime.fromisoformat(answer["create_time"])
    return Business(
        id=UUID(answer["id"]),
        name=answer["name"],
        category=Category(answer["category"]),
        sensitive=answer["sensitive"],
        status=BusinessStatus.ACTIVE,
        version=1,
        create_time=created,
        update_time=created,
    )
