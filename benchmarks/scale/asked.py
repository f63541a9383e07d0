"""What every engine is asked, and the shapes in which it answers, so that answers can be compared."""

from datetime import date, datetime, timedelta
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.scale.circle import END

CUTOFF = END
"""Of snapshots and features."""
WINDOW_DAYS = 365
HORIZON_DAYS = 28
FIRST_DAY, END_DAY = date(2026, 5, 5), date(2026, 6, 2)
"""Of dashboards: 28 days."""
FIRST_MONTH, LAST_MONTH, PRESENT_MONTH = date(2025, 6, 1), date(2026, 5, 1), date(2026, 6, 1)
"""Of cohorts: twelve, followed up to the present month."""
MATRIX_FIRST_DAY, MATRIX_END_DAY, WITHIN_DAYS = date(2025, 6, 2), date(2026, 6, 2), 30
NOW = END + timedelta(hours=9)
DAY = timedelta(days=1)

Places: TypeAlias = dict[int, tuple[int, ...]]
"""By member: segment, recency days, purchases, net spend, and the scores of recency, frequency and monetary value."""
Features: TypeAlias = NDArray[np.float64]
"""A row a member in the order of their numbers: the columns `features.RAW`, and net spend in a year."""
Dashboard: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], dict[date, tuple[int, int, int]]]
"""Of the period and the one before: net, gross, receipts, active, new, returning, lost, repeat. Of each day of the
period: net, receipts, active."""
Cohorts: TypeAlias = dict[tuple[int, int], tuple[int, int]]
"""By the cohort's month and the month, both counted from the year 0: active members and net revenue."""
Ways: TypeAlias = dict[tuple[int, int], int]
"""By the businesses' numbers: how many members went from one to the other, where at least five did."""


def microseconds(instant: datetime) -> int:
    """Returns microseconds since 1970."""
    return round(instant.timestamp() * 1_000_000)
