"""Use case: an admin reads the audit trail."""

from svoykrug_server.kit.paging import PageTokens, page_size
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.administration import trail_repository as repository
from svoykrug_server.users.administration.model import (
    BEGINNING,
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    EventPage,
    TrailFilter,
    position_after,
    position_key,
)


class AuditTrail:
    """Lists audit events, the newest first.

    Args:
        postgres: The system of record.
        page_tokens: Makes and reads page tokens.
    """

    def __init__(self, postgres: Postgres, page_tokens: PageTokens) -> None:
        self._postgres = postgres
        self._page_tokens = page_tokens

    async def page(self, wanted: TrailFilter, *, size: int, token: str) -> EventPage:
        """Returns a page of the events that a filter names.

        Args:
            wanted: The filter.
            size: How many; 0 for the default.
            token: The `next_page_token` of the page before; empty for the first.

        Raises:
            InvalidFields: The size is negative, or INVALID_PAGE_TOKEN.
        """
        limit = page_size(size, default=DEFAULT_PAGE_SIZE, most=MAX_PAGE_SIZE)
        listing = f"audit events {wanted}"
        before = position_after(self._page_tokens.read(listing, token), wanted.until)
        async with self._postgres.read() as connection:
            since = wanted.since or BEGINNING
            events = await repository.events(connection, wanted, before, since, limit + 1)
        more = len(events) > limit
        last = events[limit - 1] if more else None
        key = [] if last is None else position_key(last.event_time, last.id)
        return EventPage(tuple(events[:limit]), self._page_tokens.make(listing, key) if more else "")
