"""What freshness tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum, auto
from uuid import UUID

MOST_DAYS = 366


@dataclass(frozen=True, slots=True)
class StoreTotals:
    """What one store holds of some entries.

    Attributes:
        entry_count: How many purchases, refunds and reversals.
        sum_minor: Their signed sum in minor units.
        hash: The sum modulo 2^64 of the hashes of the entries.
    """

    entry_count: int
    sum_minor: int
    hash: int


class ProofState(Enum):
    """What is known of a day."""

    EQUAL = auto()
    UNPROVEN = auto()
    DISPUTED = auto()


@dataclass(frozen=True, slots=True)
class DayComparison:
    """The two stores for one business and day, as they were last compared.

    Attributes:
        business_id: The business.
        day: The day in the circle's time zone.
        postgres: What PostgreSQL held of what was shipped.
        clickhouse: What ClickHouse held.
        state: Whether that still stands.
        proven_time: When it was; None when the day was never compared, and nothing is known of it.
    """

    business_id: UUID
    day: date
    postgres: StoreTotals
    clickhouse: StoreTotals
    state: ProofState
    proven_time: datetime | None


@dataclass(frozen=True, slots=True)
class DayRange:
    """Days to list.

    Attributes:
        from_day: The first.
        to_day: The day after the last.
    """

    from_day: date
    to_day: date

    def __post_init__(self) -> None:
        if not 0 < (self.to_day - self.from_day).days <= MOST_DAYS:
            raise ValueError("a range has 1 to 366 days")


@dataclass(frozen=True, slots=True)
class DayPage:
    """A page of days to list.

    Attributes:
        days: The days.
        page_size: How many to list, each of one business; 0 for as many as is usual.
        page_token: Of the page before; empty for the first.
    """

    days: DayRange
    page_size: int = 0
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The two stores for a scope, each day as it was last compared.

    Attributes:
        postgres: What PostgreSQL held of what was shipped.
        clickhouse: What ClickHouse held.
        disputed_day_count: How many days are known or feared to disagree.
        unproven_day_count: How many days changed since they were compared, or are to be compared again.
        proven_time: When the day was compared that was compared longest ago; None before the first comparison.
    """

    postgres: StoreTotals
    clickhouse: StoreTotals
    disputed_day_count: int
    unproven_day_count: int
    proven_time: datetime | None

    @property
    def equal(self) -> bool:
        """Whether both stores are proven to hold the same now."""
        return self.postgres == self.clickhouse and not self.disputed_day_count and not self.unproven_day_count


@dataclass(frozen=True, slots=True)
class FreshnessReport:
    """How far the warehouse is, and the proof.

    Attributes:
        watermark: Up to here the warehouse holds everything; None before the first seal.
        waiting_count: How many entries are not shipped yet.
        lag_ms: How old the oldest of them is; 0 when none waits.
        totals: The whole scope.
        days: A page of the days asked for, by business and day.
        next_page_token: Asks for the next page; empty on the last.
    """

    watermark: datetime | None
    waiting_count: int
    lag_ms: int
    totals: Comparison
    days: Sequence[DayComparison]
    next_page_token: str
