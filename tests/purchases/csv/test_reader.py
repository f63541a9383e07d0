"""Files as CRMs write them: each encoding, delimiter and format, and bytes that are no file at all."""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from svoykrug_server.purchases.csv.model import CsvFormat, Field, Problem, ReportedRow, UnreadableFile
from svoykrug_server.purchases.csv.reader import Batch, Layout, batches, inspect
from svoykrug_server.purchases.csv.texts import text_of
from svoykrug_server.purchases.model import Fault, us_of_instant

MOSCOW = ZoneInfo("Europe/Moscow")
ENCODINGS = ("utf-8", "utf-8-sig", "windows-1251", "koi8-r", "utf-16", "utf-16-le")
DELIMITERS = (";", ",", "\t", "|")
HEADERS = {
    "russian": ("Клиент", "Номер телефона", "Номер чека", "Сумма, руб.", "Дата и время"),
    "a 1C report": ("Контрагент", "Телефон", "№ документа", "Итого", "Дата"),
    "english": ("Customer", "Phone", "Order ID", "Total", "Date"),
    "shouting": ("ФИО", "ТЕЛЕФОН", "ЧЕК", "СУММА", "ДАТА"),
}
PHONES = ("8 (999) 123-45-67", "+79991234568", "9991234569")
AMOUNTS = (("1 234,56", "50", "0,5"), ("1,234.56", "50.00", "0.50"), ("1.234,56 руб.", "50 руб.", "0,50р"))
DATES = (
    ("01.05.2026 15:00", "02.05.2026", "31.12.2025 23:59:59"),
    ("05/01/2026 3:00 PM", "05/02/2026", "12/31/2025 11:59:59 PM"),
    ("2026-05-01T15:00:00", "2026-05-02", "2025-12-31 20:59:59Z"),
    ("46143,625", "46144", "46022,999988426"),
)
RECEIPTS = ("А-1", 'дом "5"; кв, 1', "из двух\nстрок")
EXPECTED = (
    ("+79991234567", RECEIPTS[0], 123_456, datetime(2026, 5, 1, 12, tzinfo=UTC)),
    ("+79991234568", RECEIPTS[1], 5_000, datetime(2026, 5, 1, 21, tzinfo=UTC)),
    ("+79991234569", RECEIPTS[2], 50, datetime(2025, 12, 31, 20, 59, 59, tzinfo=UTC)),
)


def written(rows: Sequence[Sequence[str]], encoding: str = "utf-8", delimiter: str = ";") -> bytes:
    """Returns a file as a spreadsheet writes it."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().replace("№", "No" if encoding == "koi8-r" else "№").encode(encoding)


def read(content: bytes, told: CsvFormat | None = None) -> tuple[Layout, list[Batch]]:
    """Reads a file."""
    file = io.BytesIO(content)
    layout = inspect(file, told or CsvFormat(), MOSCOW)
    return layout, list(batches(file, layout, MOSCOW))


def rows_in(read_batches: Sequence[Batch]) -> list[tuple[str, str, int, int]]:
    """Returns phone, receipt, amount and time of each row."""
    return [
        row
        for batch in read_batches
        for row in zip(
            batch.rows.phones, batch.rows.external_ids, batch.rows.amounts_minor, batch.rows.times_us, strict=True
        )
    ]


def body(amounts: Sequence[str] = AMOUNTS[0], dates: Sequence[str] = DATES[0]) -> list[tuple[str, ...]]:
    """Returns the three rows, with what nobody asked for in the first column."""
    names = ("Анна Иванова", "Ольга", "Юлия Щукина")
    return list(zip(names, PHONES, RECEIPTS, amounts, dates, strict=True))


WANTED = [(*row[:3], us_of_instant(row[3])) for row in EXPECTED]


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_file_of_each_encoding_delimiter_and_format_gives_the_same_rows(
    encoding: str, delimiter: str, header: tuple[str, ...]
) -> None:
    for amounts, dates in product(AMOUNTS, DATES):
        content = written([header, *body(amounts, dates)], encoding, delimiter)
        layout, found = read(content)
        assert rows_in(found) == WANTED, (amounts, dates)
        assert layout.format.delimiter == delimiter
        assert layout.format.encoding == {"utf-8-sig": "utf-8", "utf-16-le": "utf-16"}.get(encoding, encoding)


def test_columns_without_a_known_name_are_found_by_what_is_in_them() -> None:
    header = ("Кто", "Куда звонить", "Бумажка", "Деньги", "Когда")

    layout, found = read(written([header, *body()]))

    assert rows_in(found) == WANTED
    assert layout.format == CsvFormat("utf-8", ";", "Куда звонить", "Бумажка", "Деньги", "Когда", "day")


def test_a_file_without_a_header_begins_with_its_first_row() -> None:
    layout, found = read(written(body()))

    assert rows_in(found) == WANTED
    assert (layout.format.phone_column, layout.format.time_column) == ("2", "5")
    assert layout.row_count == 3


def test_a_report_may_print_a_title_above_its_header_and_empty_rows_anywhere() -> None:
    title = [("Отчёт по продажам",), ("Период:", "01.05.2026 - 31.05.2026"), ("", "", "", "", "")]
    table = [HEADERS["russian"], body()[0], ("",), body()[1], (" ", "", "", "", ""), body()[2]]

    _, found = read(written([*title, *table]))

    assert rows_in(found) == WANTED
    assert found[0].rows.numbers == [5, 7, 9]


def test_a_line_for_excel_that_names_the_delimiter_is_no_row() -> None:
    for delimiter in DELIMITERS:
        content = f"sep={delimiter}\r\n".encode() + written([HEADERS["english"], *body()], delimiter=delimiter)
        assert rows_in(read(content)[1]) == WANTED


def test_what_the_caller_says_counts_more_than_what_is_found() -> None:
    header = ("Телефон", "Телефон друга", "Чек", "Сумма", "Сумма без скидки", "Дата")
    rows = [header, ("нет", "89991234567", "1", "1", "2,5", "01/02/2026")]
    told = CsvFormat(phone_column="телефон друга", amount_column="Сумма без скидки", date_order="month")

    layout, found = read(written(rows), told)

    assert rows_in(found) == [("+79991234567", "1", 250, us_of_instant(datetime(2026, 1, 1, 21, tzinfo=UTC)))]
    assert layout.format.date_order == "month"


def unreadable(*columns: str) -> tuple[Fault, ...]:
    return tuple(Fault("INVALID_FIELDS", column) for column in columns)


def test_a_row_that_cannot_be_read_names_every_wrong_column() -> None:
    rows = [
        HEADERS["english"],
        ("", "7,9991E+10", "1", "1", "01.05.2026"),
        ("", "89991234567", "\x01\x02", "", "01.05.2026"),
        ("", "89991234567", "3", "1", "soon"),
        ("a", "b"),
    ]

    _, [batch] = read(written([*rows, *body()]))

    assert batch.faulty == [
        ReportedRow(2, "1", "INVALID_FIELDS", "Phone"),
        ReportedRow(3, "", "INVALID_FIELDS", "Total", "+79991234567"),
        ReportedRow(4, "3", "INVALID_FIELDS", "Date", "+79991234567"),
        ReportedRow(5, "", "INVALID_FIELDS", "Order ID", further=unreadable("Phone", "Total", "Date")),
    ]
    assert batch.row_count == 7


PROBLEMS = {
    "nothing": (b"", CsvFormat(), Problem.EMPTY),
    "blank lines": (b"\r\n\r\n;;;\r\n", CsvFormat(), Problem.EMPTY),
    "only a header": (written([HEADERS["russian"]]), CsvFormat(), Problem.EMPTY),
    "no phone": (b"a;b;c\r\n1;2;3\r\n", CsvFormat(), Problem.COLUMN_NOT_FOUND),
    "another column": (written([HEADERS["english"], *body()]), CsvFormat(phone_column="Tel"), Problem.COLUMN_UNKNOWN),
    "no utf-8": (written([HEADERS["russian"], *body()], "koi8-r"), CsvFormat("utf-8"), Problem.ENCODING),
    "half a character": ("Чек".encode("utf-16") + b"\x04", CsvFormat(), Problem.ENCODING),
    "no end of line": (b"phone;receipt;amount;date\r\n" + b"x" * 300_000, CsvFormat(), Problem.LINE_TOO_LONG),
    "an open quote": (
        written([HEADERS["english"]]) + b'1;"2;3\r\n' + b"4;5;6;7\r\n" * 50_000,
        CsvFormat(),
        Problem.LINE_TOO_LONG,
    ),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, CsvFormat(), Problem.ENCODING),
}


@pytest.mark.parametrize(("content", "told", "problem"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_a_file_that_cannot_be_read_says_why_in_both_languages(
    content: bytes, told: CsvFormat, problem: Problem
) -> None:
    with pytest.raises(UnreadableFile) as refused:
        read(content, told)

    assert refused.value.problem is problem
    english, russian = (text_of(problem, refused.value.facts, locale) for locale in ("en", "ru"))
    assert english != russian
    assert "{" not in english + russian


FORMATS = st.builds(
    CsvFormat,
    encoding=st.sampled_from(["", "utf-8", "windows-1251", "utf-16", "koi8-r"]),
    delimiter=st.sampled_from(["", *DELIMITERS]),
    phone_column=st.sampled_from(["", "Телефон", "a"]),
    date_order=st.sampled_from(["", "day", "month", "year"]),
)
PIECES = st.sampled_from(
    [
        *(written([header]) for header in HEADERS.values()),
        *(written(body(amounts, dates)) for amounts, dates in product(AMOUNTS, DATES)),
        *(piece.encode() for piece in (";", ",", "\t", "|", '"', "\r", "\n", "\x00", "45231", "1e9", "sep=;\n", "=")),
        *("Телефон;Чек;Сумма;Дата\n".encode(encoding) for encoding in ENCODINGS),
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
    ]
)


@settings(max_examples=400)
@given(st.one_of(st.binary(max_size=300), st.lists(PIECES | st.binary(max_size=8), max_size=12).map(b"".join)), FORMATS)
@example(b"\xff\xfe", CsvFormat())
@example(b"phone;id;sum;date\n" + b"9" * 5000 + b";1;" + b"9" * 5000 + b";" + b"9" * 5000, CsvFormat())
def test_no_bytes_make_the_reader_fail_but_in_a_way_that_has_a_name(content: bytes, told: CsvFormat) -> None:
    try:
        layout, found = read(content, told)
    except UnreadableFile as error:
        text_of(error.problem, error.facts, "ru")
        return
    assert sum(batch.row_count for batch in found) == layout.row_count
    assert all(len(batch.rows) + len(batch.faulty) == batch.row_count for batch in found)
    lines = [line for batch in found for line in (*batch.rows.numbers, *(row.line_number for row in batch.faulty))]
    assert len(set(lines)) == len(lines)
    assert all(name.isprintable() for name in layout.columns.names)
    assert layout.columns.places.keys() == set(Field)


def test_rows_that_were_handled_can_be_left_out() -> None:
    rows = [("", "89991234567", str(number), "1", "01.05.2026") for number in range(5_003)]
    file = io.BytesIO(written([HEADERS["english"], *rows]))
    layout = inspect(file, CsvFormat(), MOSCOW)

    whole = list(batches(file, layout, MOSCOW))

    assert [batch.row_count for batch in whole] == [5_000, 3]
    assert list(batches(file, layout, MOSCOW, skip_rows=5_000)) == whole[1:]
    assert list(batches(file, layout, MOSCOW, skip_rows=5_003)) == []
