"""What callers mean by days and months, and when a day begins in a zone."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from svoykrug_server.analytics.dashboards.calendar import AskedDays, AskedMonths, CircleCalendar, Days, Month
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import InvalidFields

TODAY = date(2026, 6, 1)


def test_an_open_period_is_the_last_28_days_with_today() -> None:
    assert AskedDays().on(TODAY, 28, 366) == Days(date(2026, 5, 5), date(2026, 6, 2))
    assert AskedDays(date(2026, 6, 1)).on(TODAY, 28, 366).each() == [TODAY]
    assert AskedDays(None, date(2026, 3, 1)).on(TODAY, 28, 366).from_day == date(2026, 2, 1)


@pytest.mark.parametrize(
    "asked",
    [
        AskedDays(date(2026, 6, 2)),
        AskedDays(date(2026, 5, 2), date(2026, 5, 2)),
        AskedDays(date(2025, 1, 1), date(2026, 1, 3)),
        AskedDays(date(1, 1, 1), date(1, 1, 2)),
        AskedDays(date(9999, 12, 30), date(9999, 12, 31)),
        AskedDays(date(1999, 12, 31), date(2000, 1, 5)),
    ],
)
def test_no_days_too_many_and_days_beyond_the_calendar_are_refused(asked: AskedDays) -> None:
    with pytest.raises(InvalidFields):
        asked.on(TODAY, 28, 366)


def test_the_period_before_is_as_long() -> None:
    assert Days(date(2026, 3, 1), date(2026, 3, 31)).before == Days(date(2026, 1, 30), date(2026, 3, 1))


@pytest.mark.parametrize(
    ("days", "weeks"),
    [
        (Days(date(2026, 5, 4), date(2026, 5, 11)), Days(date(2026, 5, 4), date(2026, 5, 11))),
        (Days(date(2026, 5, 5), date(2026, 5, 31)), Days(date(2026, 5, 11), date(2026, 5, 25))),
        (Days(date(2026, 5, 5), date(2026, 5, 8)), Days(date(2026, 5, 11), date(2026, 5, 11))),
    ],
)
def test_whole_weeks_lie_within(days: Days, weeks: Days) -> None:
    assert days.whole_weeks() == weeks


def test_months_are_counted_over_the_year() -> None:
    months = AskedMonths().on(TODAY)
    assert (months[0].first_day, months[-1].first_day, len(months)) == (date(2025, 6, 1), date(2026, 6, 1), 13)
    assert Month.of(date(2025, 12, 31)).plus(1).first_day == date(2026, 1, 1)


@pytest.mark.parametrize(
    "asked",
    [
        AskedMonths(date(2026, 7, 1)),
        AskedMonths(date(2023, 6, 30)),
        AskedMonths(date(2, 1, 1), date(2, 2, 1)),
        AskedMonths(None, date(9999, 1, 1)),
    ],
)
def test_no_months_too_many_and_months_beyond_the_calendar_are_refused(asked: AskedMonths) -> None:
    with pytest.raises(InvalidFields):
        asked.on(TODAY)


def test_a_day_begins_at_midnight_of_the_circle(clock: ManualClock) -> None:
    moscow = CircleCalendar(ZoneInfo("Europe/Moscow"), clock)
    assert moscow.start_of(date(2026, 6, 1)) == datetime(2026, 5, 31, 21, tzinfo=UTC)
    assert CircleCalendar(ZoneInfo("Pacific/Auckland"), clock).today() == date(2026, 6, 2)


def test_a_day_whose_midnight_the_clocks_skip_begins_when_they_do(clock: ManualClock) -> None:
    beirut = CircleCalendar(ZoneInfo("Asia/Beirut"), clock)
    assert beirut.start_of(date(2026, 3, 29)) == datetime(2026, 3, 28, 22, tzinfo=UTC)
