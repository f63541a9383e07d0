"""Words of dashboards: the figures of a period, of a day, of a cohort, and of going from one business to another."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from svoykrug_server.analytics.dashboards.calendar import Days, Month


@dataclass(frozen=True, slots=True)
class Buyers:
    """Who bought in a period, in members.

    Attributes:
        active: Bought in it.
        new: Of these, had never bought before.
        returning: Of these, had bought before, but not in the period before; None when that one is not held.
        lost: Bought in the period before and not in this one; None when that one is not held.
        repeat: Of the active, with two receipts or more.
    """

    active: int = 0
    new: int = 0
    returning: int | None = 0
    lost: int | None = 0
    repeat: int = 0

    def alone(self) -> "Buyers":
        """Returns what is known without the period before. Whoever is new is: every first purchase is held."""
        return replace(self, returning=None, lost=None)


@dataclass(frozen=True, slots=True)
class Sales:
    """What was sold, in minor units and receipts.

    Attributes:
        net_revenue_minor: Purchases less what was given back, each on its own day.
        gross_revenue_minor: Purchases alone.
        purchase_count: Receipts; giving back does not lower it.
    """

    net_revenue_minor: int = 0
    gross_revenue_minor: int = 0
    purchase_count: int = 0

    def __add__(self, other: "Sales") -> "Sales":
        """Returns both together."""
        return Sales(
            self.net_revenue_minor + other.net_revenue_minor,
            self.gross_revenue_minor + other.gross_revenue_minor,
            self.purchase_count + other.purchase_count,
        )

    @property
    def average_receipt_minor(self) -> int:
        """The mean receipt, rounded to the even one of two equally near; 0 without a receipt."""
        if not self.purchase_count:
            return 0
        whole, rest = divmod(self.gross_revenue_minor, self.purchase_count)
        return whole + (2 * rest + (whole & 1) > self.purchase_count)


@dataclass(frozen=True, slots=True)
class DaySales:
    """What was sold on one day.

    Attributes:
        day: The day.
        sales: What was sold.
        active: Members who bought.
    """

    day: date
    sales: Sales
    active: int


@dataclass(frozen=True, slots=True)
class PeriodFigures:
    """The figures of a period.

    Attributes:
        sales: What was sold; in the circle without sensitive businesses.
        buyers: Who bought; in the circle elsewhere than at sensitive businesses.
        sensitive: What sensitive businesses sold, as far as the floor lets it be seen.
        at_risk_value_minor: What the members who are likely to leave spent.
    """

    sales: Sales
    buyers: Buyers
    sensitive: Sales
    at_risk_value_minor: int


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The figures of a period beside those of the period before.

    Attributes:
        days: The period.
        period: Its figures.
        previous: Those of the equally long period before; None when it is not held.
        by_day: Those of each day of the period; sensitive businesses are in none.
        withheld: Whether a business of the circle is sensitive, so that not all that it sold is in the figures. It is
            told by the businesses alone, so that it tells nothing about what was bought.
    """

    days: Days
    period: PeriodFigures
    previous: PeriodFigures | None
    by_day: tuple[DaySales, ...]
    withheld: bool


@dataclass(frozen=True, slots=True)
class DashboardAnswer:
    """A dashboard, and up to when the warehouse was proven to hold everything."""

    dashboard: Dashboard
    watermark: datetime | None


@dataclass(frozen=True, slots=True)
class Cohort:
    """Members by the month of their first purchase in a scope.

    Attributes:
        month: That month.
        active: How many of them bought in it and in each month after.
        net_revenue_minor: What they spent in each of these months, less what was given back in it.
        withheld: Whether the figures are withheld and therefore 0.
    """

    month: Month
    active: tuple[int, ...]
    net_revenue_minor: tuple[int, ...]
    withheld: bool = False

    @property
    def member_count(self) -> int:
        """How many members it has."""
        return self.active[0] if self.active else 0


@dataclass(frozen=True, slots=True)
class Cohorts:
    """Cohorts, the earliest month first, and how far the warehouse is."""

    cohorts: tuple[Cohort, ...]
    watermark: datetime | None


@dataclass(frozen=True, slots=True)
class MatrixPlan:
    """What a matrix is computed from.

    Attributes:
        start: Purchases from this instant on count.
        end: Purchases before this instant count.
        known_time: What was ingested before this instant is known; None for everything.
        within_days: How many days of 24 hours later the next purchase comes at most.
    """

    start: datetime
    end: datetime
    known_time: datetime | None
    within_days: int


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """How buying at one business goes on to another.

    Attributes:
        from_business_id: Where they bought first.
        to_business_id: Where they bought next.
        member_count: How many members did.
        from_member_count: How many bought at the first.
        expected_member_count: How many would have by chance.
        q_value: How likely chance is, adjusted for the number of cells looked at.
        sampled_one_in: For how many members one of those stands of whom the expectation was made, rounded up.
    """

    from_business_id: UUID
    to_business_id: UUID
    member_count: int
    from_member_count: int
    expected_member_count: float
    q_value: float
    sampled_one_in: int = 1

    @property
    def lift(self) -> float:
        """How many times as many as by chance."""
        return self.member_count / self.expected_member_count

    @property
    def place(self) -> tuple[float, float, UUID, UUID]:
        """Its place among others: the least likely by chance comes first."""
        return self.q_value, -self.lift, self.from_business_id, self.to_business_id


@dataclass(frozen=True, slots=True)
class Matrix:
    """The cells, the least likely by chance first.

    Attributes:
        cells: The cells.
        permutation_count: How many permutations the expectation stands on.
        watermark: How far the warehouse is.
    """

    cells: tuple[MatrixCell, ...]
    permutation_count: int
    watermark: datetime | None
