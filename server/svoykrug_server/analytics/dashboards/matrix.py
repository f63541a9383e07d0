"""Use case of the cross-business matrix: where members go on to buy, against chance.

An owner gets one answer a month: the twelve whole months before the present one, within 30 days, as it was known when
the month began, with noise (`blur`). Could she choose the days, or see each purchase come in, two answers would differ
by one member of hers, and tell whether that member bought elsewhere.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from svoykrug_server.analytics.churn.warehouse import blocks
from svoykrug_server.analytics.dashboards.blur import blurred
from svoykrug_server.analytics.dashboards.calendar import AskedDays, CircleCalendar, Month
from svoykrug_server.analytics.dashboards.model import Matrix, MatrixCell, MatrixPlan
from svoykrug_server.analytics.dashboards.permutations import Judged, Ways, judge
from svoykrug_server.analytics.dashboards.repository import DashboardRepository
from svoykrug_server.analytics.dashboards.warehouse import DashboardWarehouse, OpenBusiness
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.model import SMALLEST_GROUP
from svoykrug_server.analytics.small_groups import sees_small_groups
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import InvalidFields, PermissionDenied

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT_DAYS = 365
MOST_DAYS = 1_098
DEFAULT_WITHIN_DAYS = 30
OWNERS_MONTHS = 12
BLOCK_PURCHASES = 250_000
"""About how many purchases Python holds at a time."""
DRAWN_PURCHASES = 10_000_000
"""About how many purchases are put in another order in all permutations together."""
LEAST_PERMUTATIONS = 25
"""With so many the mean of the permutations is five times as sure as the count that it is compared with."""
MOST_PERMUTATIONS = 999
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class AskedMatrix:
    """What a caller asks for.

    Attributes:
        business_id: Only cells from or to this business; None for all.
        days: When both purchases were made.
        within_days: How soon the next purchase must follow; 0 for 30.
    """

    business_id: UUID | None
    days: AskedDays
    within_days: int


class MatrixService:
    """The matrix as owners, admins and services see it.

    Args:
        repository: What PostgreSQL knows of a scope.
        warehouse: The purchases.
        calendar: What a day is.
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
        self._one_at_a_time = asyncio.Lock()

    async def get(self, caller: Caller, asked: AskedMatrix) -> Matrix:
        """Returns the cells with at least five members, the least likely by chance first; sensitive businesses never.

        Raises:
            InvalidFields: There are no days, too many, or an owner chose them.
            FailedPrecondition: HISTORY_NOT_KEPT, the first day is not held.
            PermissionDenied: A service asks for a sensitive business.
            Unavailable: STORES_DISAGREE, a day waits for proof or repair.
            WarehouseUnavailable: The warehouse is away.
        """
        plan = self._plan(caller, asked)
        standing = await self._repository.standing(asked.business_id)
        if standing.is_sensitive and caller.is_service:
            raise PermissionDenied
        await self._history.refuse_before(plan.start)
        await self._repository.refuse_disputed(None)
        async with self._one_at_a_time:
            businesses = await self._warehouse.open_businesses(plan)
            permutations, drawn_blocks, block_count = _effort(sum(business.purchase_count for business in businesses))
            ways = await self._count(plan, businesses, permutations, drawn_blocks, block_count)
        await self._history.refuse_before(plan.start)
        await self._repository.refuse_disputed(None)
        judged = await asyncio.to_thread(judge, ways, permutations, SMALLEST_GROUP)
        cells = _cells(businesses, ways, judged, asked.business_id)
        if not sees_small_groups(caller, None):
            cells = blurred(cells, {business.business_id: business.fingerprint for business in businesses})
        return Matrix(cells, permutations, standing.watermark)

    def _plan(self, caller: Caller, asked: AskedMatrix) -> MatrixPlan:
        today = self._calendar.today()
        if sees_small_groups(caller, None):
            days = asked.days.on(today, DEFAULT_DAYS, MOST_DAYS)
            start, end = self._calendar.start_of(days.from_day), self._calendar.start_of(days.to_day)
            return MatrixPlan(start, end, None, asked.within_days or DEFAULT_WITHIN_DAYS)
        if asked.days != AskedDays():
            raise InvalidFields.of("from_date", "an owner is given the twelve months before the present one")
        if asked.within_days not in (0, DEFAULT_WITHIN_DAYS):
            raise InvalidFields.of("within_days", f"an owner is given {DEFAULT_WITHIN_DAYS} days")
        month = Month.of(today)
        start = self._calendar.start_of(month.plus(-OWNERS_MONTHS).first_day)
        end = self._calendar.start_of(month.first_day)
        return MatrixPlan(start, end, end, DEFAULT_WITHIN_DAYS)

    async def _count(
        self,
        plan: MatrixPlan,
        businesses: list[OpenBusiness],
        permutations: int,
        drawn_blocks: int,
        block_count: int,
    ) -> Ways:
        ways = Ways(len(businesses))
        business_ids = [business.business_id for business in businesses]
        for number, block in enumerate(blocks(block_count) if businesses else []):
            rows = await self._warehouse.matrix_block(plan, business_ids, block)
            drawn = permutations if number < drawn_blocks else 0
            await asyncio.to_thread(_add, ways, rows, plan.within_days * _DAY_US, drawn, number)
        return ways


def _effort(purchase_count: int) -> tuple[int, int, int]:
    """Returns how many permutations, of how many blocks, of how many there are.

    Member ids are random, so the first blocks are a random sample of the members. The observed is compared with chance
    on that sample alone, so it is a fair test.
    """
    block_count = max(1, -(-purchase_count // BLOCK_PURCHASES))
    permutations = min(MOST_PERMUTATIONS, max(LEAST_PERMUTATIONS, DRAWN_PURCHASES // max(1, purchase_count)))
    drawn = DRAWN_PURCHASES // permutations
    return permutations, min(block_count, max(1, round(block_count * drawn / max(1, purchase_count)))), block_count


def _add(ways: Ways, rows: "pa.Table", within_us: int, permutations: int, block: int) -> None:
    member_ids, times_us, businesses = (rows.column(name).to_numpy() for name in ("member_id", "time_us", "business"))
    ways.add_block(member_ids, times_us, businesses, within_us, permutations, block)


def _cells(
    businesses: list[OpenBusiness], ways: Ways, judged: Judged, business_id: UUID | None
) -> tuple[MatrixCell, ...]:
    cells = [
        MatrixCell(
            businesses[here].business_id,
            businesses[there].business_id,
            int(ways.observed[here, there]),
            businesses[here].member_count,
            float(judged.expected[here, there]),
            float(judged.q_values[here, there]),
            -int(-ways.shared[here, there] // ways.drawn_shared[here, there]),
        )
        for here in range(len(businesses))
        for there in range(len(businesses))
        if here != there
        and ways.observed[here, there] >= SMALLEST_GROUP
        and ways.drawn_shared[here, there] >= SMALLEST_GROUP
        and business_id in (None, businesses[here].business_id, businesses[there].business_id)
    ]
    return tuple(sorted(cells, key=lambda cell: cell.place))
