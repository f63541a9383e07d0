"""Dates and times in any spelling of a CRM, read in the circle's time zone.

A clock that is put back shows an hour twice: the first of the two is meant. A clock that is put forward skips an hour:
a time in it is read as if the clock had not been put forward yet, so that 02:30 becomes 03:30.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

from svoykrug_server.purchases.model import us_of_instant

DAY, MONTH, YEAR = "day", "month", "year"

_LONGEST = 64
_CLOCK = r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?(?:\s*([AaPp])[Mm])?"
_WHEN = re.compile(rf"(.+?)(?:(?:[Tt]|,?\s+){_CLOCK}\s*([Zz]|[+-]\d{{2}}(?::?\d{{2}})?)?)?", re.ASCII)
_TIME_OF_DAY = re.compile(_CLOCK, re.ASCII)
_YEAR_FIRST = re.compile(r"(\d{4})([-./])(\d{1,2})\2(\d{1,2})", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-./])(\d{1,2})\2(\d{4}|\d{2})", re.ASCII)
_SERIAL = re.compile(r"(\d{5})(?:[.,](\d{1,12}))?", re.ASCII)
_DAY_SHARE = re.compile(r"0?[.,](\d{1,12})", re.ASCII)
_SERIAL_ORIGIN = date(1899, 12, 30)
"""Day 0 of Excel, which counts a 29 February 1900 that never was."""


@dataclass(slots=True)
class OrderEvidence:
    """What a column says about which number comes first in its dates.

    Attributes:
        day_first: Whether a first number is too large for a month somewhere.
        month_first: Whether a second number is too large for a month somewhere.
        year_last: Whether there is a date with the year at its end.
        year_first: Whether there is one with four digits of a year at its beginning.
    """

    day_first: bool = False
    month_first: bool = False
    year_last: bool = False
    year_first: bool = False

    def look_at(self, text: str) -> None:
        """Learns from one date."""
        found = _WHEN.fullmatch(text.strip()) if len(text) <= _LONGEST else None
        if found is None:
            return
        self.year_first = self.year_first or bool(_YEAR_FIRST.fullmatch(found[1]))
        if numbers := _YEAR_LAST.fullmatch(found[1]):
            self.year_last = True
            self.day_first = self.day_first or int(numbers[1]) > 12
            self.month_first = self.month_first or int(numbers[3]) > 12

    @property
    def order(self) -> str:
        """Which number comes first; the day where dates with the year at the end leave it open or disagree."""
        if self.month_first and not self.day_first:
            return MONTH
        return YEAR if self.year_first and not self.year_last else DAY


def parse_moment(text: str, zone: ZoneInfo, order: str = DAY, time_of_day: str = "") -> int | None:
    """Returns an instant in microseconds since 1970, or None where the text is no date.

    Args:
        text: A date, or a date with the time of day.
        zone: The circle's time zone; for texts without an offset of their own.
        order: Which number comes first in dates that do not begin with a year of four digits.
        time_of_day: The time of day where it has a column of its own; counts when the date comes without one.
    """
    stripped = text.strip()
    if len(stripped) > _LONGEST or len(time_of_day) > _LONGEST:
        return None
    found = _WHEN.fullmatch(stripped)
    if found is None:
        return None
    day, share = _day(found[1], order)
    clock = _clock(found.groups()[1:6]) if found[2] else _separate_clock(time_of_day, share)
    if day is None or clock is None:
        return None
    return _instant_us(day, clock, found[7] or "", zone)


@lru_cache(maxsize=4096)
def _day(text: str, order: str) -> tuple[date | None, timedelta]:
    """Returns a date, and the share of a day that Excel's number of it has behind the separator."""
    if serial := _SERIAL.fullmatch(text):
        return _SERIAL_ORIGIN + timedelta(days=int(serial[1])), _share_of_day(serial[2])
    if found := _YEAR_FIRST.fullmatch(text):
        return _date(int(found[1]), int(found[3]), int(found[4])), timedelta(0)
    if found := _YEAR_LAST.fullmatch(text):
        return _year_last_date(found, order), timedelta(0)
    return None, timedelta(0)


def _year_last_date(found: "re.Match[str]", order: str) -> date | None:
    first, second, third = int(found[1]), int(found[3]), int(found[4])
    if order == YEAR and len(found[4]) == 2:
        return _date(2000 + first, second, third)
    year = third if len(found[4]) == 4 else 2000 + third
    return _date(year, first, second) if order == MONTH else _date(year, second, first)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _share_of_day(digits: str | None) -> timedelta:
    """Returns the share of a day that some decimals are, to the second: Excel has no more."""
    return timedelta(seconds=round(86_400 * int(digits) / 10 ** len(digits))) if digits else timedelta(0)


def _separate_clock(text: str, share: timedelta) -> timedelta | None:
    """Returns the time of day in a text of its own, such as `14:05` or Excel's `0,5868`; `share` where it is empty."""
    stripped = text.strip()
    if not stripped:
        return share
    if found := _TIME_OF_DAY.fullmatch(stripped):
        return _clock(found.groups())
    part = _DAY_SHARE.fullmatch(stripped)
    return _share_of_day(part[1]) if part else None


def _clock(parts: tuple[str | None, ...]) -> timedelta | None:
    hours, minutes, seconds, fraction, half = parts
    hour = int(hours or 0)
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "Pp" else 0)
    try:
        clock = time(hour, int(minutes or 0), int(seconds or 0), int((fraction or "0")[:6].ljust(6, "0")))
    except ValueError:
        return None
    return timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second, microseconds=clock.microsecond)


def _instant_us(day: date, clock: timedelta, offset: str, zone: ZoneInfo) -> int | None:
    """Returns the instant of a wall time; None where it lies outside the years that can be counted."""
    try:
        return us_of_instant((datetime.combine(day, time()) + clock).replace(tzinfo=_zone(offset, zone)))
    except (OverflowError, ValueError):
        return None


@lru_cache(maxsize=64)
def _zone(offset: str, zone: ZoneInfo) -> timezone | ZoneInfo:
    if not offset:
        return zone
    if offset in "Zz":
        return UTC
    digits = offset[1:].replace(":", "").ljust(4, "0")
    span = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(span if offset[0] == "+" else -span)
