"""What dashboards, cohorts and the matrix read from ClickHouse. The engine does the work: Python gets aggregates.

Only the matrix gets rows: as Arrow, a block of members at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from svoykrug_server.analytics.build_rows import Build
from svoykrug_server.analytics.churn.warehouse import Block, blocks, microseconds, sample
from svoykrug_server.analytics.dashboards.calendar import CircleCalendar, Days, Month
from svoykrug_server.analytics.dashboards.model import Buyers, DaySales, MatrixPlan, Sales
from svoykrug_server.analytics.dashboards.statements import (
    AT_RISK,
    BUSINESS,
    BUYERS,
    CIRCLE,
    COHORTS,
    DAYS,
    ENTRIES,
    ENTRIES_OF_BLOCK,
    MATRIX_BLOCK,
    MATRIX_BUSINESSES,
    SENSITIVE,
)
from svoykrug_server.analytics.model import SMALLEST_GROUP
from svoykrug_server.analytics.standing import being_remade
from svoykrug_server.storage.warehouse import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

_FAR_FUTURE_US = 7_000_000_000_000_000
BUYERS_BLOCK_ENTRIES = 10_000_000
COHORTS_BLOCK_ENTRIES = 2_000_000
"""Entries of the ledger that one statement groups by member: with more, members are asked for in blocks."""
COUNTED_OF = 16
"""One in so many members is looked at for how many entries a business has: to count ten million, all would be read."""


@dataclass(frozen=True, slots=True)
class OpenBusiness:
    """A business that is not sensitive, in the window of a matrix.

    Attributes:
        business_id: Which.
        purchase_count: Purchases that were not wholly given back.
        member_count: Members who made them.
        fingerprint: A hash of who made which.
    """

    business_id: UUID
    purchase_count: int
    member_count: int
    fingerprint: int


class DashboardWarehouse:
    """What dashboards read from the warehouse.

    Args:
        warehouse: The analytics copy.
        calendar: What a day is.
    """

    def __init__(self, warehouse: Warehouse, calendar: CircleCalendar) -> None:
        self._warehouse = warehouse
        self._calendar = calendar

    async def sales(self, business_id: UUID | None, days: Days) -> tuple[Sales, Sales, tuple[DaySales, ...]]:
        """Returns what was sold in the days, in as many days before, and on each of the days."""
        rows = await self._warehouse.query(_in_scope(DAYS, business_id), self._values(business_id, days))
        found = {_day(row[0]): DaySales(_day(row[0]), Sales(row[1], row[2], row[3]), row[4]) for row in rows}
        by_day = tuple(found.get(day, DaySales(day, Sales(), 0)) for day in days.each())
        previous = sum((sold.sales for day, sold in found.items() if day < days.from_day), Sales())
        return sum((sold.sales for sold in by_day), Sales()), previous, by_day

    async def buyers(self, business_id: UUID | None, days: Days) -> tuple[Buyers, Buyers]:
        """Returns who bought in the days, and in as many days before."""
        values, counted = self._values(business_id, days), [0] * 10
        for block in await self._blocks(business_id, BUYERS_BLOCK_ENTRIES):
            rows = await self._warehouse.query(_in_scope(BUYERS, business_id), {**values, **block.parameters()})
            counted = [count + more for count, more in zip(counted, rows[0], strict=True)]
        return Buyers(*counted[:5]), Buyers(*counted[5:])

    async def sensitive(self, days: Days) -> tuple[Sales, Sales]:
        """Returns what sensitive businesses sold in the whole weeks of the days, and in those of as many days before.

        Of each week that is counted which at least five members made: see `statements.SENSITIVE`.
        """
        now, previous = days.whole_weeks(), days.before.whole_weeks()
        values = {
            "zone": self._calendar.zone.key,
            "floor": SMALLEST_GROUP,
            **self._instants(start_us=now.from_day, end_us=now.to_day),
            **self._instants(previous_us=previous.from_day, before_us=previous.to_day),
        }
        found = {bool(row[0]): Sales(*row[1:]) for row in await self._warehouse.query(SENSITIVE, values)}
        return found.get(True, Sales()), found.get(False, Sales())

    async def at_risk_value(self, scorings: Sequence[Build]) -> dict[UUID, int]:
        """Returns what the members spent whom scorings give 50 % or more to leave, by scoring.

        Args:
            scorings: The scorings with their builds that count.

        Raises:
            Unavailable: RESULT_BEING_REMADE, rows of one are gone and are being made again.
        """
        if not scorings:
            return {}
        values = {"scoring_ids": [each.key for each in scorings], "build_ids": [each.id for each in scorings]}
        found = {UUID(str(row[0])): row[1:] for row in await self._warehouse.query(AT_RISK, values)}
        if any(found.get(each.key, (0,))[0] != each.row_count for each in scorings):
            raise being_remade()
        return {scoring_id: value for scoring_id, (_, value) in found.items()}

    async def cohorts(
        self, business_id: UUID | None, first: Month, last: Month, present: Month
    ) -> dict[tuple[Month, Month], tuple[int, int]]:
        """Returns how many members of a cohort bought in a month and their net spend, by cohort and month."""
        values = {
            **_scope(business_id),
            "zone": self._calendar.zone.key,
            "first_month": first.number,
            "last_month": last.number,
            "present_month": present.number,
        }
        found: dict[tuple[Month, Month], tuple[int, int]] = {}
        for block in await self._blocks(business_id, COHORTS_BLOCK_ENTRIES):
            rows = await self._warehouse.query(_in_scope(COHORTS, business_id), {**values, **block.parameters()})
            for cohort, month, active, net_minor in rows:
                place = Month(cohort), Month(month)
                before = found.get(place, (0, 0))
                found[place] = before[0] + active, before[1] + net_minor
        return found

    async def open_businesses(self, plan: MatrixPlan) -> list[OpenBusiness]:
        """Returns the businesses of a matrix in the order of their ids."""
        rows = await self._warehouse.query(MATRIX_BUSINESSES, _matrix(plan), background=True)
        return [OpenBusiness(UUID(str(row[0])), *row[1:]) for row in rows]

    async def matrix_block(self, plan: MatrixPlan, business_ids: Sequence[UUID], block: Block) -> "pa.Table":
        """Returns `member_id`, `time_us` and `business`, its place in `business_ids`, of a block of members."""
        values = {**_matrix(plan), **block.parameters(), "business_ids": list(business_ids)}
        return await self._warehouse.query_arrow(MATRIX_BLOCK, values, background=True)

    async def _blocks(self, business_id: UUID | None, most_entries: int) -> list[Block]:
        """Returns blocks of members with about so many entries of the scope at most: memory grows with no scope."""
        if business_id is None:
            entries = (await self._warehouse.query(ENTRIES))[0][0]
        else:
            values = {**_scope(business_id), **sample(1 / COUNTED_OF).parameters()}
            entries = COUNTED_OF * (await self._warehouse.query(ENTRIES_OF_BLOCK, values))[0][0]
        return blocks(max(1, -(-entries // most_entries)))

    def _values(self, business_id: UUID | None, days: Days) -> dict[str, Any]:
        starts = {"start_us": days.from_day, "previous_us": days.before.from_day, "end_us": days.to_day}
        before = {"before_us": days.before.before.from_day}
        return {**_scope(business_id), "zone": self._calendar.zone.key, **self._instants(**starts, **before)}

    def _instants(self, **days: date) -> dict[str, int]:
        return {name: microseconds(self._calendar.start_of(day)) for name, day in days.items()}


def _in_scope(sql: str, business_id: UUID | None) -> str:
    return sql.replace("__SCOPE__", CIRCLE if business_id is None else BUSINESS)


def _scope(business_id: UUID | None) -> dict[str, Any]:
    return {} if business_id is None else {"business_id": business_id}


def _matrix(plan: MatrixPlan) -> dict[str, Any]:
    return {
        "start_us": microseconds(plan.start),
        "end_us": microseconds(plan.end),
        "known_us": _FAR_FUTURE_US if plan.known_time is None else microseconds(plan.known_time),
    }


def _day(value: Any) -> date:
    return date(value.year, value.month, value.day)
