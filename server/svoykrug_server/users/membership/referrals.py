"""The members whom a person brought."""

from datetime import UTC, datetime
from uuid import UUID

from svoykrug_server.kit.paging import PageTokens, page_size
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.membership import referral_repository
from svoykrug_server.users.membership.model import ReferralPage

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 500
_LATEST = (datetime(9999, 1, 1, tzinfo=UTC), UUID(int=(1 << 128) - 1))


class Referrals:
    """Lists whom a person brought.

    Args:
        postgres: The system of record.
        page_tokens: Makes and reads page tokens.
    """

    def __init__(self, postgres: Postgres, page_tokens: PageTokens) -> None:
        self._postgres = postgres
        self._page_tokens = page_tokens

    async def list_of(self, user_id: UUID, asked_size: int, page_token: str) -> ReferralPage:
        """Returns a page of the members whom a person brought, the newest first.

        Members who deleted their account are left out and not counted: nobody is shown them.

        Raises:
            InvalidFields: The page size is negative, or the token of another list.
        """
        listing = f"referrals of user {user_id}"
        size = page_size(asked_size, default=_DEFAULT_PAGE_SIZE, most=_MAX_PAGE_SIZE)
        position = self._page_tokens.read(listing, page_token)
        before = _LATEST if position is None else _place(position)
        async with self._postgres.read() as connection:
            found = await referral_repository.brought_by(connection, user_id, before, size + 1)
            total_count = await referral_repository.count_brought_by(connection, user_id)
        if len(found) <= size:
            return ReferralPage(found, "", total_count)
        last = found[size - 1]
        token = self._page_tokens.make(listing, [last.join_time.isoformat(), last.user_id.hex])
        return ReferralPage(found[:size], token, total_count)


def _place(position: list[str | int]) -> tuple[datetime, UUID]:
    join_time, user_id = position
    return datetime.fromisoformat(str(join_time)), UUID(str(user_id))
