"""Use case of cohorts: who came in a month, and how many of them came back in each month after."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from svoykrug_server.analytics.dashboards.calendar import AskedMonths, CircleCalendar, Month
from svoykrug_server.analytics.dashboards.model import Cohort, Cohorts
from svoykrug_server.analytics.dashboards.repository import DashboardRepository
from svoykrug_server.analytics.dashboards.warehouse import DashboardWarehouse
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.model import SMALLEST_GROUP
from svoykrug_server.analytics.small_groups import hidden_groups, sees_small_groups
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import PermissionDenied


class CohortService:
    """Cohorts as owners, admins and services see them.

    Args:
        repository: What PostgreSQL knows of a scope.
        warehouse: The figures.
        calendar: What a month is.
        history: From when on purchases are held.
    """

    def __init__(
        self,
        repository: DashboardRepository,
        warehouse: DashboardWarehouse,
        calendar: CircleCalendar,
        history: KeptHistory,
    ) -> None:
        self._repository = repository
        self._warehouse = warehouse
        self._calendar = calendar
        self._history = history

    async def get(self, caller: Caller, business_id: UUID | None, asked: AskedMonths) -> Cohorts:
        """Returns a cohort for each month, also the empty ones; the circle's hold no sensitive purchases.

        Raises:
            InvalidFields: There are no months, too many, or they lie outside the years 2000 to 2199.
            FailedPrecondition: HISTORY_NOT_KEPT, the first month is not held.
            PermissionDenied: A service asks for a sensitive business.
            Unavailable: STORES_DISAGREE, a day of the scope waits for proof or repair.
            WarehouseUnavailable: The warehouse is away.
        """
        today = self._calendar.today()
        months, present = asked.on(today), Month.of(today)
        standing = await self._repository.standing(business_id)
        if standing.is_sensitive and caller.is_service:
            raise PermissionDenied
        start = self._calendar.start_of(months[0].first_day)
        await self._history.refuse_before(start)
        await self._repository.refuse_disputed(business_id)
        found = await self._warehouse.cohorts(business_id, months[0], months[-1], present)
        await self._history.refuse_before(start)
        await self._repository.refuse_disputed(business_id)
        cohorts = tuple(_cohort(month, present, found) for month in months)
        if not sees_small_groups(caller, business_id):
            cohorts = without_small_cohorts(cohorts)
        return Cohorts(cohorts, standing.watermark)


def without_small_cohorts(cohorts: Sequence[Cohort]) -> tuple[Cohort, ...]:
    """Returns the cohorts with small ones withheld, and never one alone.

    In the others a month in which fewer than five bought counts as one in which nobody did.
    """
    hidden = hidden_groups([cohort.member_count for cohort in cohorts])
    return tuple(
        _withheld(cohort) if index in hidden else _without_small_months(cohort) for index, cohort in enumerate(cohorts)
    )


def _cohort(month: Month, present: Month, found: Mapping[tuple[Month, Month], tuple[int, int]]) -> Cohort:
    each = [found.get((month, Month(number)), (0, 0)) for number in range(month.number, present.number + 1)]
    return Cohort(month, tuple(active for active, _ in each), tuple(net for _, net in each))


def _withheld(cohort: Cohort) -> Cohort:
    nothing = (0,) * len(cohort.active)
    return Cohort(cohort.month, nothing, nothing, withheld=True)


def _without_small_months(cohort: Cohort) -> Cohort:
    is_shown = [active >= SMALLEST_GROUP for active in cohort.active]
    return Cohort(
        cohort.month,
        tuple(active * shown for active, shown in zip(cohort.active, is_shown, strict=True)),
        tuple(net * shown for net, shown in zip(cohort.net_revenue_minor, is_shown, strict=True)),
    )
