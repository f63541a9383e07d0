"""Use cases of freshness, and what snapshots ask of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Protocol
from uuid import UUID

from svoykrug_server.analytics.freshness.model import DayPage, FreshnessReport
from svoykrug_server.analytics.freshness.repository import Day, FreshnessRepository
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import PermissionDenied, Unavailable
from svoykrug_server.kit.paging import PageTokens, page_size
from svoykrug_server.storage import outbox
from svoykrug_server.storage.old_rows import reading_old_rows
from svoykrug_server.storage.postgres import Postgres

DEFAULT_DAYS = 100
MAX_DAYS = 1_000
REPAIR_DELAY = timedelta(seconds=5)


class Prover(Protocol):
    """Compares the two stores and keeps the proof by business and day."""

    async def prove_again(self, business_id: UUID | None, days: Sequence[tuple[UUID, date]]) -> None:
        """Proves what changed since it was proven, and some days again, as far as a caller can wait for it.

        Args:
            business_id: Whose changes; None for the circle.
            days: The days, each at a business.
        """
        ...


class FreshnessService:
    """Tells how far the warehouse is.

    Args:
        postgres: The system of record.
        proofs: SQL that reads the proof.
        prover: Compares the stores.
        page_tokens: Makes and reads page tokens.
        clock: The time.
    """

    def __init__(
        self,
        postgres: Postgres,
        proofs: FreshnessRepository,
        prover: Prover,
        page_tokens: PageTokens,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._proofs = proofs
        self._prover = prover
        self._page_tokens = page_tokens
        self._clock = clock

    async def report(self, caller: Caller, business_id: UUID | None, asked: DayPage | None) -> FreshnessReport:
        """Proves what changed and the page of days asked for, and returns how far the warehouse is.

        It waits for proofs a few seconds at most: what is not proven by then is told as last proven, and counted.
        What a sensitive business sells is shown to admins and to that business only.

        Raises:
            InvalidFields: The page size is negative, or the token was made for another list.
            PermissionDenied: A service asks for a sensitive business.
            WarehouseUnavailable: ClickHouse is away.
        """
        with_sensitive = await self._may_see_sensitive(caller, business_id)
        # Read before the proof: what is shipped by now is in the totals, so that 0 waiting means that they are whole.
        async with self._postgres.read() as connection:
            backlog = await outbox.backlog(connection, business_id, with_sensitive=with_sensitive)
            up_to = await outbox.shipped_up_to(connection)
        days, token = ((), "") if asked is None else await self._page(business_id, asked, with_sensitive)
        await self._prover.prove_again(business_id, days)
        async with self._postgres.read() as connection:
            totals = await self._proofs.totals(connection, business_id, up_to, with_sensitive=with_sensitive)
            compared = await self._proofs.compared(connection, days, up_to) if days else []
        oldest = backlog.oldest_record_time
        lag_ms = 0 if oldest is None else max((self._clock.now() - oldest) // timedelta(milliseconds=1), 0)
        return FreshnessReport(backlog.watermark, backlog.waiting_count, lag_ms, totals, compared, token)

    async def watermark(self) -> datetime | None:
        """Returns up to when the warehouse is proven to hold everything; None before the first proof."""
        async with self._postgres.read() as connection:
            return (await outbox.backlog(connection)).watermark

    @asynccontextmanager
    async def undisputed(
        self, business_id: UUID | None, cutoff: datetime
    ) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Keeps the rows of a scope as they are while a block computes from them: nothing is repaired meanwhile.

        Args:
            business_id: The business; None for the circle, which holds no purchases of sensitive businesses.
            cutoff: Days that begin before it count.

        Yields:
            The same question again: a day that was found to disagree meanwhile refuses what was computed.

        Raises:
            Unavailable: STORES_DISAGREE, a day of the scope before the cutoff waits for repair.
            StoreUnavailable: PostgreSQL is away.
        """
        async with reading_old_rows(self._postgres) as connection:

            async def refuse_disputed() -> None:
                if await self._proofs.disputed(connection, business_id, cutoff, with_sensitive=business_id is not None):
                    raise Unavailable("STORES_DISAGREE", retry_after=REPAIR_DELAY)

            await refuse_disputed()
            yield refuse_disputed

    async def _page(self, business_id: UUID | None, asked: DayPage, with_sensitive: bool) -> tuple[Sequence[Day], str]:
        """Returns the days of a page, and the token of the next."""
        size = page_size(asked.page_size, default=DEFAULT_DAYS, most=MAX_DAYS)
        listing = f"freshness {business_id} {asked.days.from_day} {asked.days.to_day} {with_sensitive}"
        position = self._page_tokens.read(listing, asked.page_token)
        after = None if position is None else (UUID(str(position[0])), date.fromisoformat(str(position[1])))
        async with self._postgres.read() as connection:
            found = await self._proofs.days(
                connection, business_id, asked.days, after, size + 1, with_sensitive=with_sensitive
            )
        if len(found) <= size:
            return found, ""
        last_business_id, last_day = found[size - 1]
        return found[:size], self._page_tokens.make(listing, [str(last_business_id), last_day.isoformat()])

    async def _may_see_sensitive(self, caller: Caller, business_id: UUID | None) -> bool:
        if caller.is_admin or business_id is None:
            return caller.is_admin
        if caller.owns(business_id):
            return True
        async with self._postgres.read() as connection:
            if await self._proofs.is_sensitive(connection, business_id) is not False:
                raise PermissionDenied
        return False
