"""Periods in the circle's time zone: which one is due now, and when the next one is.

A moment is found from a local date and hour, never by adding 24 hours, so a day of 23 or 25 hours is one period like
any other. An hour that a day does not have is taken as the hour after the clocks went on; of one that it has twice, the
first counts.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class Cadence(StrEnum):
    """How often something is done."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True, slots=True)
class Period:
    """A day, week or month of the circle for which something is done once.

    Attributes:
        name: `2026-11-22`, `2026-W47` or `2026-11`: of one cadence, later ones sort later.
        begin_time: Its first instant: midnight in the circle's time zone.
        due_time: From when on it is done.
    """

    name: str
    begin_time: datetime
    due_time: datetime


@dataclass(frozen=True, slots=True)
class Slot:
    """When in a period something is due.

    Attributes:
        cadence: How often.
        hour: The hour of the period's first day, in the circle's time zone.
        zone: The circle's time zone.

    Raises:
        ValueError: A day has no such hour.
    """

    cadence: Cadence
    hour: int
    zone: ZoneInfo

    def __post_init__(self) -> None:
        if not 0 <= self.hour <= 23:
            raise ValueError("an hour of a day is between 0 and 23")

    def latest(self, now: datetime) -> Period:
        """Returns the last period that is due."""
        period = self._period(self._first_day(now.astimezone(self.zone).date()))
        if period.due_time > now:
            period = self._period(self._first_day(period.begin_time.astimezone(self.zone).date() - timedelta(days=1)))
        return period

    def following(self, period: Period) -> Period:
        """Returns the period after one."""
        first = period.begin_time.astimezone(self.zone).date()
        if self.cadence is Cadence.DAILY:
            return self._period(first + timedelta(days=1))
        if self.cadence is Cadence.WEEKLY:
            return self._period(first + timedelta(days=7))
        return self._period((first.replace(day=1) + timedelta(days=31)).replace(day=1))

    def _first_day(self, day: date) -> date:
        if self.cadence is Cadence.WEEKLY:
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self.cadence is Cadence.MONTHLY else day

    def _period(self, first: date) -> Period:
        return Period(self._name(first), self._instant(first, 0), self._instant(first, self.hour))

    def _name(self, first: date) -> str:
        if self.cadence is Cadence.WEEKLY:
            year, week, _ = first.isocalendar()
            return f"{year:04}-W{week:02}"
        return first.isoformat() if self.cadence is Cadence.DAILY else f"{first.year:04}-{first.month:02}"

    def _instant(self, day: date, hour: int) -> datetime:
        return datetime.combine(day, time(hour), self.zone).astimezone(UTC)
