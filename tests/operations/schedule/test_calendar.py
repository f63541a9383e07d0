"""Periods: one after another without gaps, in the circle's time zone, whatever its clocks do."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svoykrug_server.operations.schedule.calendar import Cadence, Slot

MOSCOW = ZoneInfo("Europe/Moscow")
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_night_is_due_at_its_hour_in_the_circles_time_zone() -> None:
    nightly = Slot(Cadence.DAILY, 3, MOSCOW)
    assert nightly.latest(at("2026-11-22T23:59:59")).name == "2026-11-22"
    due = nightly.latest(at("2026-11-23T00:00:00"))
    assert (due.name, due.begin_time, due.due_time) == (
        "2026-11-23",
        at("2026-11-22T21:00:00"),
        at("2026-11-23T00:00:00"),
    )


def test_a_week_is_due_on_monday_and_belongs_to_the_year_of_its_thursday() -> None:
    weekly = Slot(Cadence.WEEKLY, 6, MOSCOW)
    assert weekly.latest(at("2027-01-03T12:00:00")).name == "2026-W53"
    assert weekly.latest(at("2027-01-04T02:59:59")).name == "2026-W53"
    assert weekly.latest(at("2027-01-04T03:00:00")).name == "2027-W01"


def test_a_month_is_due_on_its_first_day_also_after_the_shortest() -> None:
    monthly = Slot(Cadence.MONTHLY, 5, MOSCOW)
    january = monthly.latest(at("2027-01-31T23:00:00"))
    assert january.name == "2027-01"
    february = monthly.following(january)
    assert (february.name, february.due_time) == ("2027-02", at("2027-02-01T02:00:00"))
    assert monthly.following(february).name == "2027-03"
    assert monthly.latest(at("2027-03-01T01:59:59")).name == "2027-02"
    assert monthly.latest(at("2027-03-01T02:00:00")).name == "2027-03"


def test_a_day_without_the_hour_is_due_when_the_clocks_have_gone_on() -> None:
    nightly = Slot(Cadence.DAILY, 2, BERLIN)
    due = nightly.latest(at("2026-03-29T12:00:00"))
    assert (due.name, due.due_time) == ("2026-03-29", at("2026-03-29T01:00:00"))
    assert nightly.latest(at("2026-03-29T00:59:59")).name == "2026-03-28"
    assert nightly.following(due).begin_time - due.begin_time == timedelta(hours=23)


def test_a_day_that_has_the_hour_twice_is_due_once_at_the_first() -> None:
    nightly = Slot(Cadence.DAILY, 2, BERLIN)
    first, second = at("2026-10-25T00:00:00"), at("2026-10-25T01:00:00")
    assert [nightly.latest(moment).name for moment in (first, second)] == ["2026-10-25", "2026-10-25"]
    assert nightly.latest(first).due_time == first
    assert nightly.following(nightly.latest(first)).begin_time - nightly.latest(first).begin_time == timedelta(hours=25)


@given(
    seconds=st.integers(0, 40 * 365 * 86_400),
    cadence=st.sampled_from(Cadence),
    hour=st.integers(0, 23),
    zone=st.sampled_from([MOSCOW, BERLIN, ZoneInfo("America/Sao_Paulo"), ZoneInfo("Pacific/Apia")]),
)
def test_the_latest_period_is_due_and_the_one_after_it_is_not_and_sorts_later(
    seconds: int, cadence: Cadence, hour: int, zone: ZoneInfo
) -> None:
    moment = at("2000-01-01T00:00:00") + timedelta(seconds=seconds)
    slot = Slot(cadence, hour, zone)
    latest = slot.latest(moment)
    following = slot.following(latest)
    assert latest.due_time <= moment < following.due_time
    assert latest.name < following.name
    assert slot.latest(following.due_time) == following


def test_a_day_has_no_hour_24() -> None:
    with pytest.raises(ValueError, match="between 0 and 23"):
        Slot(Cadence.DAILY, 24, MOSCOW)
