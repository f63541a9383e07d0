"""Use case: an admin or a service finds users."""

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import PermissionDenied
from svoykrug_server.kit.paging import PageTokens, page_size
from svoykrug_server.storage.postgres import Postgres, ReadConnection
from svoykrug_server.users.administration import listing_repository as repository
from svoykrug_server.users.administration.model import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    NameWord,
    Position,
    Search,
    UserFilter,
    UserPage,
    position_after,
    position_key,
)
from svoykrug_server.users.administration.reading import as_seen_by, may_read_phones
from svoykrug_server.users.administration.search import check_name, read_words, search_of
from svoykrug_server.users.model import User

FIRST_WINDOW_PAGES = 20
"""How many of the newest users are looked through for a name that most likely many have; whoever is not among them is
rare, and found at once by her name."""
LEAST_WINDOW = 10_000
"""How many of them are when some have it; whoever is rarer than a page of these is few enough to find them all."""
WINDOW_PAGES = 100
"""The same for large pages, in pages."""


class UserListing:
    """Lists users, the newest first.

    Args:
        postgres: The system of record.
        page_tokens: Makes and reads page tokens.
    """

    def __init__(self, postgres: Postgres, page_tokens: PageTokens) -> None:
        self._postgres = postgres
        self._page_tokens = page_tokens

    async def page(self, caller: Caller, wanted: UserFilter, *, size: int, token: str) -> UserPage:
        """Returns a page of the users that a filter names.

        Args:
            caller: Who asks: an admin or a service.
            wanted: The filter.
            size: How many; 0 for the default.
            token: The `next_page_token` of the page before; empty for the first.

        Raises:
            PermissionDenied: A service asks for a phone that it may not read, or for deleted users.
            InvalidFields: The size is negative, the phone or name cannot be searched, or INVALID_PAGE_TOKEN.
        """
        if caller.is_service and AccountStatus.DELETED in wanted.states:
            raise PermissionDenied
        if wanted.phone and not may_read_phones(caller):
            raise PermissionDenied
        limit = page_size(size, default=DEFAULT_PAGE_SIZE, most=MAX_PAGE_SIZE)
        listing = f"users {wanted}"
        before = position_after(self._page_tokens.read(listing, token), wanted.created_until)
        async with self._postgres.read() as connection:
            search = search_of(wanted, await _words(connection, wanted.name))
            users = await _next_users(connection, search, before, limit + 1)
        shown = tuple(as_seen_by(caller, user) for user in users[:limit])
        more = len(users) > limit
        return UserPage(
            shown, self._page_tokens.make(listing, position_key(shown[-1].create_time, shown[-1].id)) if more else ""
        )


async def _words(connection: ReadConnection, name: str) -> list[NameWord]:
    if not name:
        return []
    check_name(name)
    words = read_words(*await repository.spellings(connection, name))
    return await repository.with_alike(connection, words)


async def _next_users(connection: ReadConnection, search: Search, before: Position, limit: int) -> list[User]:
    if search.phone or search.roles:
        return await repository.found(connection, search, before, limit)
    if not search.words:
        return await repository.newest(connection, search, before, limit, window=limit)
    for window in (FIRST_WINDOW_PAGES * limit, max(LEAST_WINDOW, WINDOW_PAGES * limit)):
        users = await repository.newest(connection, search, before, limit, window=window)
        if len(users) == limit:
            return users
        if not users:
            break
    return await repository.found(connection, search, before, limit)
