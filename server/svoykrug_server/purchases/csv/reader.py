"""Reads a CSV file as rows to write down, whatever it looks like, in memory that does not grow with the file.

The file is read twice: once to find out what it looks like, with every row for what only the whole file can say (which
number comes first in a date, which separator an amount's decimals have), and once for its rows.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO
from zoneinfo import ZoneInfo

from svoykrug_server.purchases.csv.amounts import DecimalEvidence, parse_amount
from svoykrug_server.purchases.csv.cells import clean, read_external_id, read_phone
from svoykrug_server.purchases.csv.columns import HEADER_SOUGHT_IN, Columns, find_columns, known_names
from svoykrug_server.purchases.csv.encodings import find_encoding, told_name
from svoykrug_server.purchases.csv.model import MAX_ROWS, CsvFormat, Field, Problem, ReportedRow, UnreadableFile
from svoykrug_server.purchases.csv.moments import OrderEvidence, parse_moment
from svoykrug_server.purchases.model import MAX_EXTERNAL_ID_LENGTH, Fault, PurchaseRows

BATCH_ROWS = 5_000
DELIMITERS = (";", ",", "\t", "|")

_LONGEST_LINE = 1 << 17
_SAMPLE_ROWS = 200
_SEPARATOR_LINE = "sep="

Record = tuple[int, list[str]]
"""Where a row begins in the file, from 1, and its cells."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything that was found out about a file.

    Attributes:
        encoding: A codec.
        delimiter: What stands between cells.
        columns: What each column holds.
        date_order: Which number comes first in dates.
        decimal_separators: See `amounts.DecimalEvidence`.
        row_count: How many rows there are, without the header.
    """

    encoding: str
    delimiter: str
    columns: Columns
    date_order: str
    decimal_separators: str
    row_count: int

    @property
    def format(self) -> CsvFormat:
        """What a caller is told."""
        name_of = self.columns.name_of
        return CsvFormat(
            told_name(self.encoding),
            self.delimiter,
            name_of(Field.PHONE),
            name_of(Field.EXTERNAL_ID),
            name_of(Field.AMOUNT),
            name_of(Field.TIME),
            self.date_order,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file, one after the other.

    Attributes:
        rows: Those that could be read, numbered by their lines.
        faulty: Those that could not.
        row_count: How many both are.
    """

    rows: PurchaseRows
    faulty: Sequence[ReportedRow]
    row_count: int


def inspect(file: BinaryIO, told: CsvFormat, zone: ZoneInfo) -> Layout:
    """Finds out what a file looks like; reads it whole.

    Args:
        file: The file.
        told: What the caller says about it.
        zone: The circle's time zone.

    Raises:
        UnreadableFile: It cannot be read.
    """
    encoding = find_encoding(file, told.encoding)
    delimiter = told.delimiter or _find_delimiter(file, encoding)
    sample = [cells for _, cells in islice(_records(file, encoding, delimiter), HEADER_SOUGHT_IN + _SAMPLE_ROWS)]
    if not sample:
        raise UnreadableFile(Problem.EMPTY)
    columns = find_columns(sample, told.columns, zone)
    decimals, order, row_count = DecimalEvidence(), OrderEvidence(), 0
    for _, cells in _body(file, encoding, delimiter, columns):
        row_count += 1
        decimals.look_at(_cell(cells, columns.places[Field.AMOUNT]))
        order.look_at(_cell(cells, columns.places[Field.TIME]))
        if row_count > MAX_ROWS:
            raise UnreadableFile(Problem.TOO_MANY_ROWS, most=f"{MAX_ROWS:,}")
    if not row_count:
        raise UnreadableFile(Problem.EMPTY)
    return Layout(encoding, delimiter, columns, told.date_order or order.order, decimals.separators, row_count)


def batches(file: BinaryIO, layout: Layout, zone: ZoneInfo, skip_rows: int = 0) -> Iterator[Batch]:
    """Yields the rows of a file in batches of 5,000.

    Args:
        file: The file.
        layout: What it looks like.
        zone: The circle's time zone.
        skip_rows: How many rows to leave out at the beginning: a multiple of a batch's, or all.

    Raises:
        UnreadableFile: It cannot be read any further.
    """
    records = islice(_body(file, layout.encoding, layout.delimiter, layout.columns), skip_rows, None)
    while batch := list(islice(records, BATCH_ROWS)):
        yield _read_batch(batch, layout, zone)


def _read_batch(records: Sequence[Record], layout: Layout, zone: ZoneInfo) -> Batch:
    numbers, external_ids, phones, amounts_minor, times_us = [], [], [], [], []
    faulty: list[ReportedRow] = []
    for line_number, cells in records:
        external_id, phone, amount_minor, time_us = _read_row(cells, layout, zone)
        if not external_id or not phone or amount_minor is None or time_us is None:
            shown_id = "".join(filter(str.isprintable, external_id))[:MAX_EXTERNAL_ID_LENGTH]
            column, *others = map(layout.columns.name_of, _unreadable(external_id, phone, amount_minor, time_us))
            further = tuple(Fault("INVALID_FIELDS", other) for other in others)
            faulty.append(ReportedRow(line_number, shown_id, "INVALID_FIELDS", column, phone, further))
            continue
        numbers.append(line_number)
        external_ids.append(external_id)
        phones.append(phone)
        amounts_minor.append(amount_minor)
        times_us.append(time_us)
    nothing = [""] * len(numbers)
    rows = PurchaseRows(numbers, external_ids, nothing, phones, amounts_minor, nothing, times_us)
    return Batch(rows, faulty, len(records))


def _read_row(cells: Sequence[str], layout: Layout, zone: ZoneInfo) -> tuple[str, str, int | None, int | None]:
    """Returns receipt id, phone, amount and time of a row; empty or None where a cell cannot be read."""
    columns = layout.columns
    clock = "" if columns.time_of_day is None else _cell(cells, columns.time_of_day)
    return (
        read_external_id(_cell(cells, columns.places[Field.EXTERNAL_ID])),
        read_phone(_cell(cells, columns.places[Field.PHONE])),
        parse_amount(_cell(cells, columns.places[Field.AMOUNT]), layout.decimal_separators),
        parse_moment(_cell(cells, columns.places[Field.TIME]), zone, layout.date_order, clock),
    )


def _unreadable(external_id: str, phone: str, amount_minor: int | None, time_us: int | None) -> list[Field]:
    """Returns the fields of a row that could not be read."""
    is_read = {
        Field.EXTERNAL_ID: bool(external_id),
        Field.PHONE: bool(phone),
        Field.AMOUNT: amount_minor is not None,
        Field.TIME: time_us is not None,
    }
    return [field for field, read in is_read.items() if not read]


def _cell(cells: Sequence[str], place: int) -> str:
    return clean(cells[place]) if place < len(cells) else ""


def _body(file: BinaryIO, encoding: str, delimiter: str, columns: Columns) -> Iterator[Record]:
    return islice(_records(file, encoding, delimiter), columns.header_row + 1, None)


def _records(file: BinaryIO, encoding: str, delimiter: str) -> Iterator[Record]:
    """Yields the rows that are not empty.

    Raises:
        UnreadableFile: The bytes are not of the encoding, or a line or a cell is too long: a quote is not closed.
    """
    file.seek(0)
    # The wrapper would close the file when it goes; the file is read again.
    text = io.TextIOWrapper(io.BufferedReader(_Unclosed(file)), encoding=encoding, newline="")
    rows = csv.reader(_lines(text), delimiter=delimiter)
    begins_at = 1
    try:
        for cells in rows:
            begun_at, begins_at = begins_at, rows.line_num + 1
            if any(map(str.strip, cells)) and not (begun_at == 1 and _is_separator_line(cells, delimiter)):
                yield begun_at, cells
    except csv.Error as error:
        raise UnreadableFile(Problem.LINE_TOO_LONG, line=str(begins_at)) from error
    except UnicodeError as error:
        raise UnreadableFile(Problem.ENCODING, encoding=told_name(encoding)) from error


class _Unclosed(io.RawIOBase):
    """A file that stays open when what reads it is closed.

    Args:
        file: The file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any buffer: ours is a memoryview
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    number = 1
    while line := text.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise UnreadableFile(Problem.LINE_TOO_LONG, line=str(number))
        number += 1
        yield line


def _is_separator_line(cells: Sequence[str], delimiter: str) -> bool:
    """Tells whether a first line only tells Excel the delimiter: `sep=;`."""
    return delimiter.join(cells).strip().lower() == f"{_SEPARATOR_LINE}{delimiter}".strip()


def _find_delimiter(file: BinaryIO, encoding: str) -> str:
    """Returns the delimiter by which the file makes most sense: known names first, then rows of one width."""

    def sense(delimiter: str) -> tuple[int, float, int]:
        rows = [cells for _, cells in islice(_records(file, encoding, delimiter), HEADER_SOUGHT_IN + _SAMPLE_ROWS)]
        widths = [len(cells) for cells in rows if len(cells) > 1]
        usual = max(set(widths), key=widths.count, default=0)
        names = max((known_names(cells) for cells in rows[:HEADER_SOUGHT_IN]), default=0)
        return names if usual else 0, widths.count(usual) / max(1, len(rows)), usual

    senses = {}
    for delimiter in DELIMITERS:
        try:
            senses[delimiter] = sense(delimiter)
        except UnreadableFile:
            senses[delimiter] = (0, 0.0, 0)
    return max(senses, key=lambda delimiter: senses[delimiter])
