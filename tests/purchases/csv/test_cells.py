"""Amounts, dates and phones as Russian CRMs and Excel write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svoykrug_server.kit.phone import parse_phone
from svoykrug_server.purchases.csv.amounts import DecimalEvidence, parse_amount
from svoykrug_server.purchases.csv.cells import clean, read_external_id, read_phone
from svoykrug_server.purchases.csv.moments import OrderEvidence, parse_moment
from svoykrug_server.purchases.model import us_of_instant

MOSCOW = ZoneInfo("Europe/Moscow")
BERLIN = ZoneInfo("Europe/Berlin")

AMOUNTS = {
    "1234": 123_400,
    "1 234,56": 123_456,
    "1 234.56": 123_456,
    "1\u00a0234,56": 123_456,
    "1\u202f234,56": 123_456,
    "1,234.56": 123_456,
    "1.234,56": 123_456,
    "1'234.56": 123_456,
    "1 234,56 ₽": 123_456,
    "1234,56 руб.": 123_456,
    "1234 рублей": 123_400,
    "₽ 99,9": 9_990,
    "1 234 567,8": 123_456_780,
    "1.234.567": 123_456_700,
    "1,234,567.80": 123_456_780,
    "0": 0,
    "0,5": 50,
    "-15,00": -1_500,
    "\u221215": -1_500,
    "+15": 1_500,
    "1500.000": 150_000,
    "0,500": 50,
    "12,3400": 1_234,
}
NO_AMOUNTS = ["", "-", "много", "1,2,3", "1.23.45", "12,345,6", "1,", ",5", "1e3", "12.345", "١٢", "1" * 65, "1 USD"]


@pytest.mark.parametrize(("text", "minor"), AMOUNTS.items())
def test_an_amount_is_read_in_every_spelling(text: str, minor: int) -> None:
    assert parse_amount(text) == minor


@pytest.mark.parametrize("text", NO_AMOUNTS)
def test_what_is_no_amount_is_none(text: str) -> None:
    assert parse_amount(text, ",.") is None


def test_three_digits_behind_a_separator_mean_what_the_rest_of_the_column_says() -> None:
    def separators(*column: str) -> str:
        evidence = DecimalEvidence()
        for text in column:
            evidence.look_at(text)
        return evidence.separators

    assert parse_amount("1,234", separators("1,234", "5,678")) == 123_400
    assert parse_amount("1,230", separators("1,230", "5,67")) == 123
    assert parse_amount("1,234", separators("1,234", "5.67")) == 123_400
    assert parse_amount("1,234", separators("1,234", "5,67")) is None
    assert parse_amount("1,234", separators("7,1", "5.67")) is None
    assert parse_amount("1,234", separators("1.234.567,00")) is None


@given(st.integers(-(10**11), 10**11), st.sampled_from(["", " ", "\u00a0", "."]), st.sampled_from([" ₽", "", "руб."]))
def test_every_amount_is_read_back(minor: int, group: str, unit: str) -> None:
    whole = f"{abs(minor) // 100:,}".replace(",", group)
    assert parse_amount(f"{'-' * (minor < 0)}{whole},{abs(minor) % 100:02}{unit}") == minor


MOMENTS = {
    "01.05.2026": datetime(2026, 4, 30, 21, tzinfo=UTC),
    "1.5.26": datetime(2026, 4, 30, 21, tzinfo=UTC),
    "01/05/2026 15:00": datetime(2026, 5, 1, 12, tzinfo=UTC),
    "01-05-2026, 15:00:30": datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC),
    "2026-05-01": datetime(2026, 4, 30, 21, tzinfo=UTC),
    "2026-05-01 15:00": datetime(2026, 5, 1, 12, tzinfo=UTC),
    "2026-05-01T15:00:00.250": datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC),
    "2026-05-01T12:00:00Z": datetime(2026, 5, 1, 12, tzinfo=UTC),
    "2026-05-01T17:00:00+05:00": datetime(2026, 5, 1, 12, tzinfo=UTC),
    "2026-05-01 07:00 -0500": datetime(2026, 5, 1, 12, tzinfo=UTC),
    "2026.05.01": datetime(2026, 4, 30, 21, tzinfo=UTC),
    "45231": datetime(2023, 10, 31, 21, tzinfo=UTC),
    "45231,5": datetime(2023, 11, 1, 9, tzinfo=UTC),
    "45231.625": datetime(2023, 11, 1, 12, tzinfo=UTC),
}
NO_MOMENTS = [
    "", "вчера", "31.02.2026", "2026-13-01", "01.05.2026 25:00", "01.05/2026", "1", "4523", "01.05.2026 12:60",
    "2026-05-01 12:00 +99:00", "1.5.2026 13:00 PM", "٠١.٠٥.٢٠٢٦", "9" * 70,
]  # fmt: skip


@pytest.mark.parametrize(("text", "instant"), MOMENTS.items())
def test_a_date_is_read_in_every_spelling(text: str, instant: datetime) -> None:
    assert parse_moment(text, MOSCOW) == us_of_instant(instant)


@pytest.mark.parametrize("text", NO_MOMENTS)
def test_what_is_no_date_is_none(text: str) -> None:
    assert parse_moment(text, MOSCOW) is None


def test_the_time_of_day_may_stand_apart() -> None:
    def read(clock: str, date: str = "01.05.2026") -> datetime | None:
        found = parse_moment(date, MOSCOW, time_of_day=clock)
        return None if found is None else datetime.fromtimestamp(found / 1e6, MOSCOW).replace(tzinfo=None)

    assert read("9:05") == datetime(2026, 5, 1, 9, 5)  # noqa: DTZ001  # a wall time
    assert read("0,75") == datetime(2026, 5, 1, 18)  # noqa: DTZ001  # a wall time
    assert read(" ") == datetime(2026, 5, 1)  # noqa: DTZ001  # a wall time
    assert read("9:05", "01.05.2026 12:00") == datetime(2026, 5, 1, 12)  # noqa: DTZ001  # a wall time
    assert read("now") is None


def test_an_hour_shown_twice_is_the_first_and_a_skipped_one_is_an_hour_later() -> None:
    assert parse_moment("25.10.2026 02:30", BERLIN) == us_of_instant(datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    assert parse_moment("29.03.2026 02:30", BERLIN) == parse_moment("29.03.2026 03:30", BERLIN)


@pytest.mark.parametrize(
    ("column", "order"),
    [
        (["01/02/2026", "13/02/2026"], "day"),
        (["01/02/2026", "02/13/2026"], "month"),
        (["01/02/2026", "03/04/2026"], "day"),
        (["13/02/2026", "02/13/2026"], "day"),
        (["2026-01-02"], "year"),
        (["2026-01-02", "01.02.2026"], "day"),
        (["nothing"], "day"),
    ],
)
def test_which_number_comes_first_is_found_out_over_the_whole_column(column: list[str], order: str) -> None:
    evidence = OrderEvidence()
    for text in column:
        evidence.look_at(text)
    assert evidence.order == order


def test_the_order_says_what_an_open_date_means() -> None:
    january = us_of_instant(datetime(2026, 1, 1, 21, tzinfo=UTC))
    assert parse_moment("01/02/2026", MOSCOW, "month") == january
    assert parse_moment("26-01-02", MOSCOW, "year") == january
    assert parse_moment("02.01.26", MOSCOW, "day") == january


PHONES = {
    "+79991234567": "+79991234567",
    "8 (999) 123-45-67": "+79991234567",
    "79991234567": "+79991234567",
    "9991234567": "+79991234567",
    "8-999-123-45-67": "+79991234567",
    "8\u00a0999\u00a0123\u00a045\u00a067": "+79991234567",
    "79991234567.0": "+79991234567",
    "79991234567,0": "+79991234567",
    "+7 495 123-45-67": "+74951234567",
    "+49 30 901820": "+4930901820",
    "7.9991E+10": "",
    "7,9991E+10": "",
    "7,9991Е+10": "",
    "": "",
    "нет": "",
    "123": "",
    "8 999 123 45 67, 8 999 765 43 21": "",
    "9" * 100: "",
}


@pytest.mark.parametrize(("text", "phone"), PHONES.items())
def test_a_phone_is_read_in_every_spelling_and_never_with_lost_digits(text: str, phone: str) -> None:
    assert read_phone(text) == phone


@given(st.text(alphabet="+789 ()-.0123456789\u00a0", max_size=24))
def test_the_short_way_to_read_a_phone_agrees_with_the_long_one(text: str) -> None:
    if not text.endswith((".0", ",0")):
        assert read_phone(text) == (parse_phone(text) or "")


def test_what_a_spreadsheet_puts_around_texts_goes() -> None:
    assert clean('="89991234567"') == "89991234567"
    assert clean("'0012") == "0012"
    assert clean("\u00a0 a b\u202f") == "a b"
    assert clean("=1+1") == "=1+1"
    assert read_external_id("1,23457E+12") == ""
    assert read_external_id("1E5-17") == "1E5-17"
