"""Use cases of freshness, and what snapshots ask of it."""

from datetime import date, datetime, timedelta
from typing import Protocol
from uuid import UUID

from svoykrug_server.analytics.freshness.model import DayRange, FreshnessReport
from svoykrug_server.analytics.freshness.repository import FreshnessRepository
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import PermissionDenied
from svoykrug_server.storage import outbox
from svoykrug_server.storage.postgres import Postgres


class Prover(Protocol):
    """Compares the two stores and keeps the proof by business and day."""

    async def prove_scope(self, business_id: UUID | None, days: tuple[date, date] | None) -> None:
        """Proves what changed since it was proven, and some days again though they did not.

        Args:
            business_id: The business whose days are proven again; None for all.
            days: From which day to before which; None for none.
        """
        ...


class FreshnessService:
    """Tells how far the warehouse is.

    Args:
        postgres: The system of record.
        proofs: SQL that reads the proof.
        prover: Compares the stores.
        clock: The time.
    """

    def __init__(self, postgres: Postgres, proofs: FreshnessRepository, prover: Prover, clock: Clock) -> None:
        self._postgres = postgres
        self._proofs = proofs
        self._prover = prover
        self._clock = clock

    async def report(self, caller: Caller, business_id: UUID | None, days: DayRange | None) -> FreshnessReport:
        """Proves what changed and the days asked for, and returns how far the warehouse is.

        What a sensitive business sells is shown to admins and to that business only.

        Raises:
            PermissionDenied: A service asks for a sensitive business.
            WarehouseUnavailable: ClickHouse is away.
        """
        with_sensitive = await self._may_see_sensitive(caller, business_id)
        # Read before the proof: what is shipped by now is in the totals, so that 0 waiting means that they are whole.
        async with self._postgres.read() as connection:
            backlog = await outbox.backlog(connection, business_id)
        await self._prover.prove_scope(business_id, None if days is None else (days.from_day, days.to_day))
        async with self._postgres.read() as connection:
            totals = await self._proofs.totals(connection, business_id, with_sensitive=with_sensitive)
            listed = (
                await self._proofs.days(connection, business_id, days, with_sensitive=with_sensitive) if days else ()
            )
        oldest = backlog.oldest_record_time
        lag_ms = 0 if oldest is None else max((self._clock.now() - oldest) // timedelta(milliseconds=1), 0)
        return FreshnessReport(backlog.watermark, backlog.waiting_count, lag_ms, totals, listed)

    async def watermark(self) -> datetime | None:
        """Returns up to when the warehouse is proven to hold everything; None before the first proof."""
        async with self._postgres.read() as connection:
            return (await outbox.backlog(connection)).watermark

    async def disputed(self, business_id: UUID | None, cutoff: datetime) -> bool:
        """Tells whether any day of a scope before a cutoff is known to disagree and waits for repair.

        Args:
            business_id: The business; None for the circle, which holds no purchases of sensitive businesses.
            cutoff: Days that begin before it count.
        """
        async with self._postgres.read() as connection:
            return await self._proofs.disputed(connection, business_id, cutoff, with_sensitive=business_id is not None)

    async def _may_see_sensitive(self, caller: Caller, business_id: UUID | None) -> bool:
        if caller.is_admin or business_id is None:
            return caller.is_admin
        if caller.owns(business_id):
            return True
        async with self._postgres.read() as connection:
            if await self._proofs.is_sensitive(connection, business_id) is not False:
                raise PermissionDenied
        return False
