"""Use cases of dashboards: look at one, and watch it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from uuid import UUID

from svoykrug_server.analytics.dashboards.cache import DashboardCache
from svoykrug_server.analytics.dashboards.calendar import DEFAULT_DAYS, MOST_DAYS, AskedDays, CircleCalendar, Days
from svoykrug_server.analytics.dashboards.changes import Changes
from svoykrug_server.analytics.dashboards.model import Buyers, Dashboard, DashboardAnswer, PeriodFigures, Sales
from svoykrug_server.analytics.dashboards.repository import DashboardRepository, Standing
from svoykrug_server.analytics.dashboards.warehouse import DashboardWarehouse
from svoykrug_server.analytics.dashboards.watchers import Watchers
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import PermissionDenied, Unavailable

LOOK_SECONDS = 5.0
"""How long a watcher waits at most before her standing and the day are looked at again."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which dashboard a caller asks for.

    Attributes:
        business_id: The business; None for the circle.
        days: The period.
    """

    business_id: UUID | None
    days: AskedDays


@dataclass(frozen=True, slots=True)
class _Held:
    """Which of the periods that a period is compared with are held.

    Attributes:
        before: The equally long one before it.
        before_that: The one before that one.
    """

    before: bool
    before_that: bool

    def told_by_before(self, buyers: Buyers) -> Buyers:
        """Returns what is known of the buyers of the period."""
        return buyers if self.before else buyers.alone()

    def previous(self, figures: PeriodFigures) -> PeriodFigures | None:
        """Returns what is known of the period before."""
        if not self.before:
            return None
        return figures if self.before_that else replace(figures, buyers=figures.buyers.alone())


class DashboardService:
    """Dashboards as owners, admins and services see them.

    The edge has checked that the caller owns the business that the request names, or may see the circle. A sensitive
    business's dashboard is for admins and that business; what it sold is in the circle's for admins alone, as one sum.

    Args:
        repository: What PostgreSQL knows of a scope.
        warehouse: The figures.
        calendar: What a day is.
        history: From when on purchases are held.
        changes: Which scope was last touched by which batch.
        cache: Remembers dashboards.
        watchers: The bound on those who watch.
        look_seconds: How long a watcher waits at most before her standing and the day are looked at again.
    """

    def __init__(
        self,
        repository: DashboardRepository,
        warehouse: DashboardWarehouse,
        calendar: CircleCalendar,
        history: KeptHistory,
        changes: Changes,
        cache: DashboardCache,
        watchers: Watchers,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._repository = repository
        self._warehouse = warehouse
        self._calendar = calendar
        self._history = history
        self._changes = changes
        self._cache = cache
        self._watchers = watchers
        self._look_seconds = look_seconds

    async def get(self, caller: Caller, asked: Asked) -> DashboardAnswer:
        """Returns a dashboard that holds everything that was shipped when the call began.

        Raises:
            InvalidFields: The period is empty, too long, or lies outside the years 2000 to 2199.
            FailedPrecondition: HISTORY_NOT_KEPT, not all of the period is held.
            PermissionDenied: A service asks for a sensitive business.
            Unavailable: STORES_DISAGREE, a day of the scope waits for proof or repair.
            WarehouseUnavailable: The warehouse is away.
        """
        days = asked.days.on(self._calendar.today(), DEFAULT_DAYS, MOST_DAYS)
        batch_id = await self._changes.last_batch(asked.business_id)
        ends = [self._calendar.start_of(days.to_day), self._calendar.start_of(days.from_day)]
        standing = await self._repository.standing(asked.business_id, ends)
        if standing.is_sensitive and caller.is_service:
            raise PermissionDenied
        await self._history.refuse_before(self._calendar.start_of(days.from_day))
        with_sensitive = asked.business_id is None and standing.any_sensitive and caller.is_admin
        await self._refuse_disputed(asked.business_id, with_sensitive)
        key = (asked.business_id, days, with_sensitive, standing.any_sensitive, standing.scorings)
        dashboard = await self._cache.get(
            key, batch_id, lambda: self._compute(asked.business_id, days, standing, with_sensitive)
        )
        return DashboardAnswer(dashboard, standing.watermark)

    async def watch(
        self, caller: Caller, asked: Asked, still_allowed: Callable[[], Awaitable[None]]
    ) -> AsyncGenerator[DashboardAnswer, None]:
        """Gives a dashboard at once, then after each change; a reader who is slow gets the newest.

        Args:
            caller: Who watches.
            asked: What.
            still_allowed: Raises once the caller may not watch any more; asked before each answer, and every few
                seconds.

        Raises:
            Limited: OVERLOADED, too many watch already.
            InvalidFields: The period is empty, too long, or lies outside the years 2000 to 2199.
            FailedPrecondition: HISTORY_NOT_KEPT, not all of the period is held.
            PermissionDenied: A service asks for a sensitive business.
            Unavailable: STORES_DISAGREE, a day of the scope waits for proof or repair.
            WarehouseUnavailable: The warehouse is away.
        """
        with self._watchers.admit(caller.subject_id):
            self._changes.enter()
            try:
                async with aclosing(self._changing(caller, asked, still_allowed)) as answers:
                    async for answer in answers:
                        yield answer
            finally:
                self._changes.leave()

    async def _changing(
        self, caller: Caller, asked: Asked, still_allowed: Callable[[], Awaitable[None]]
    ) -> AsyncGenerator[DashboardAnswer, None]:
        shown: Dashboard | None = None
        while True:
            change = self._changes.expect(asked.business_id)
            answer = await self.get(caller, asked)
            await still_allowed()
            if answer.dashboard != shown:
                shown = answer.dashboard
                yield answer
            await _wait(change, self._look_seconds)

    async def _compute(
        self, business_id: UUID | None, days: Days, standing: Standing, with_sensitive: bool
    ) -> Dashboard:
        scorings = [scoring for scoring in dict.fromkeys(standing.scorings) if scoring is not None]
        (sales, previous_sales, by_day), buyers, at_risk, sensitive = await asyncio.gather(
            self._warehouse.sales(business_id, days),
            self._warehouse.buyers(business_id, days),
            self._warehouse.at_risk_value(scorings),
            self._sensitive(days, with_sensitive),
        )
        held = await self._held(days)
        await self._refuse_disputed(business_id, with_sensitive)
        values = [0 if scoring is None else at_risk.get(scoring.key, 0) for scoring in standing.scorings]
        return Dashboard(
            days=days,
            period=PeriodFigures(sales, held.told_by_before(buyers[0]), sensitive[0], values[0]),
            previous=held.previous(PeriodFigures(previous_sales, buyers[1], sensitive[1], values[1])),
            by_day=by_day,
            withheld=business_id is None and standing.any_sensitive,
        )

    async def _held(self, days: Days) -> _Held:
        """Returns which periods before some days are held, asked when all has been read.

        Raises:
            FailedPrecondition: HISTORY_NOT_KEPT, not all of the days themselves.
        """
        earliest = await self._history.refuse_before(self._calendar.start_of(days.from_day))
        starts = [self._calendar.start_of(before.from_day) for before in (days.before, days.before.before)]
        return _Held(*(earliest is None or start >= earliest for start in starts))

    async def _refuse_disputed(self, business_id: UUID | None, with_sensitive: bool) -> None:
        """Refuses figures while the stores disagree, and forgets what is remembered: rows may have been wrong then."""
        try:
            await self._repository.refuse_disputed(business_id, with_sensitive=with_sensitive)
        except Unavailable:
            self._cache.clear()
            raise

    async def _sensitive(self, days: Days, with_sensitive: bool) -> tuple[Sales, Sales]:
        return await self._warehouse.sensitive(days) if with_sensitive else (Sales(), Sales())


async def _wait(change: asyncio.Event, at_most_seconds: float) -> None:
    try:
        async with asyncio.timeout(at_most_seconds):
            await change.wait()
    except TimeoutError:
        return
