"""Days and months of the circle: what a caller means by a date, and at which instant a day begins."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import InvalidFields

EARLIEST_DAY = date(2000, 1, 1)
LATEST_DAY = date(2200, 1, 1)
DEFAULT_DAYS = 28
MOST_DAYS = 366
MOST_MONTHS = 36
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Days:
    """Some days.

    Attributes:
        from_day: The first.
        to_day: The day after the last.
    """

    from_day: date
    to_day: date

    @property
    def length(self) -> timedelta:
        """How many days these are."""
        return self.to_day - self.from_day

    @property
    def before(self) -> "Days":
        """The equally many days before."""
        return Days(self.from_day - self.length, self.from_day)

    def each(self) -> list[date]:
        """Returns every one of the days."""
        return [self.from_day + number * ONE_DAY for number in range(self.length.days)]

    def whole_weeks(self) -> "Days":
        """Returns the weeks from Monday to Sunday that lie within; no days when there is none."""
        first = self.from_day + (-self.from_day.weekday() % 7) * ONE_DAY
        return Days(first, max(first, self.to_day - self.to_day.weekday() * ONE_DAY))


@dataclass(frozen=True, slots=True)
class AskedDays:
    """The days that a caller asks for: an end left open moves with the days.

    Attributes:
        from_day: The first; None for so many days before `to_day` as is usual.
        to_day: The day after the last; None for tomorrow.
    """

    from_day: date | None = None
    to_day: date | None = None

    def on(self, today: date, default_days: int, most_days: int) -> Days:
        """Returns the days that are meant on a day.

        Raises:
            InvalidFields: There are none or too many, or they lie outside the years 2000 to 2199.
        """
        to_day = self.to_day or today + ONE_DAY
        if not EARLIEST_DAY < to_day <= LATEST_DAY:
            raise InvalidFields.of("to_date", "must lie in the years 2000 to 2199")
        from_day = self.from_day or max(EARLIEST_DAY, to_day - default_days * ONE_DAY)
        if from_day < EARLIEST_DAY or not 0 < (to_day - from_day).days <= most_days:
            raise InvalidFields.of("from_date", f"must lie 1 to {most_days} days before to_date, after the year 1999")
        return Days(from_day, to_day)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of the calendar, as the number of months since the year 0."""

    number: int

    @classmethod
    def of(cls, day: date) -> "Month":
        """Returns the month that a day lies in."""
        return cls(day.year * 12 + day.month - 1)

    @property
    def first_day(self) -> date:
        """The first day."""
        return date(self.number // 12, self.number % 12 + 1, 1)

    def plus(self, months: int) -> "Month":
        """Returns the month so many months later."""
        return Month(self.number + months)


@dataclass(frozen=True, slots=True)
class AskedMonths:
    """The months that a caller asks for, by any day of each.

    Attributes:
        from_day: In the first; None for 12 months before the last.
        to_day: In the last; None for the present one.
    """

    from_day: date | None = None
    to_day: date | None = None

    def on(self, today: date) -> list[Month]:
        """Returns the months that are meant on a day, the earliest first.

        Raises:
            InvalidFields: There are none or too many, or they lie outside the years 2000 to 2199.
        """
        last_day = self.to_day or today
        if not EARLIEST_DAY <= last_day < LATEST_DAY:
            raise InvalidFields.of("to_month", "must lie in the years 2000 to 2199")
        last = Month.of(last_day)
        first = Month.of(self.from_day) if self.from_day else last.plus(-12)
        count = last.number - first.number + 1
        if not 0 < count <= MOST_MONTHS or (self.from_day and self.from_day < EARLIEST_DAY):
            raise InvalidFields.of("from_month", f"must make 1 to {MOST_MONTHS} months with to_month, after 1999")
        return [first.plus(number) for number in range(count)]


class CircleCalendar:
    """The circle's calendar.

    Args:
        zone: Its time zone: a day is a day there.
        clock: Tells the time.
    """

    def __init__(self, zone: ZoneInfo, clock: Clock) -> None:
        self.zone = zone
        self._clock = clock

    def today(self) -> date:
        """Returns the present day."""
        return self._clock.now().astimezone(self.zone).date()

    def start_of(self, day: date) -> datetime:
        """Returns the instant at which a day begins."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)
