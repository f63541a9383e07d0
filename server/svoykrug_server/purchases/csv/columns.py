"""Which column holds what: by the names that Russian CRMs give them, else by what is in them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from svoykrug_server.purchases.csv.amounts import parse_amount
from svoykrug_server.purchases.csv.cells import clean, read_phone
from svoykrug_server.purchases.csv.model import Field, Problem, UnreadableFile
from svoykrug_server.purchases.csv.moments import parse_moment

HEADER_SOUGHT_IN = 20
"""How many rows a report may print above its header."""

_NAMES: Mapping[Field, Sequence[str]] = {
    Field.PHONE: (
        "телефон", "номер телефона", "телефон клиента", "телефон покупателя", "мобильный телефон", "контактный телефон",
        "мобильный", "моб телефон", "тел", "phone", "phone number", "mobile", "mobile phone", "client phone",
        "customer phone", "telephone", "tel",
    ),
    Field.EXTERNAL_ID: (
        "чек", "номер чека", "id чека", "номер заказа", "id заказа", "заказ", "номер документа",
        "документ", "номер операции", "номер продажи", "номер", "receipt", "receipt id", "receipt number", "receipt no",
        "order id", "order number", "order no", "order", "external id", "transaction id", "invoice", "invoice number",
        "id",
    ),
    Field.AMOUNT: (
        "сумма", "итого", "сумма чека", "сумма заказа", "сумма покупки", "сумма оплаты", "сумма к оплате",
        "итоговая сумма", "оплачено", "к оплате", "всего", "стоимость", "amount", "total", "total amount",
        "grand total", "order total", "sum", "paid", "price",
    ),
    Field.TIME: (
        "дата и время", "дата/время", "дата время", "дата", "дата чека", "дата заказа", "дата покупки", "дата продажи",
        "дата визита", "дата операции", "дата оплаты", "дата документа", "date and time", "date/time", "date time",
        "datetime", "date", "purchase date", "order date", "purchase time", "timestamp", "created at", "created",
    ),
}  # fmt: skip
_TIMES_OF_DAY = ("время", "время чека", "время заказа", "время покупки", "время продажи", "время визита", "time")
_ALL_NAMES = frozenset(name for names in _NAMES.values() for name in names)
KNOWN_WORDS = frozenset(word for name in _ALL_NAMES.union(_TIMES_OF_DAY) for word in name.split())
"""The words that columns are named with, in small letters."""
_UNIT = re.compile(r"[(,\[].*$")
_NUMBER_SIGN = re.compile(r"^(?:no|n)[. ]+")
"""How № is written where the encoding has none."""
_GAP = re.compile(r"[\s_\u00a0\u202f-]+")
_MOSTLY = 0.8
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a row everything is.

    Attributes:
        header_row: Which row is the header, from 0; -1 where the file has none.
        names: The columns' names as the file has them; numbers from 1 where it has no header.
        places: Where each field is.
        time_of_day: Where the time of day is when it has a column of its own; None when it has not.
    """

    header_row: int
    names: Sequence[str]
    places: Mapping[Field, int]
    time_of_day: int | None

    def name_of(self, field: Field) -> str:
        """Returns the name of the column that holds a field, as the file has it."""
        return self.names[self.places[field]]


def known_names(cells: Sequence[str]) -> int:
    """Returns how many of some cells are names of columns that we look for."""
    return len({_normal(cell) for cell in cells} & _ALL_NAMES)


def find_columns(rows: Sequence[Sequence[str]], told: Mapping[Field, str], zone: ZoneInfo) -> Columns:
    """Finds out what each column holds.

    Args:
        rows: The first rows of the file, the header among them.
        told: The headers that the caller has told; empty where they are to be found out.
        zone: The circle's time zone.

    Raises:
        UnreadableFile: A column that was told is not there, or one that is needed cannot be found.
    """
    header_row = _header_row(rows, told)
    names = [_shown(cell) for cell in rows[header_row]]
    places = _by_name(names, told)
    body = rows[header_row + 1 :]
    if not places and _is_data(rows[header_row], zone):
        header_row, body = -1, rows
        names = [str(number) for number in range(1, len(rows[0]) + 1)]
        places = _by_name(names, told)
    _add_by_content(places, _Contents(body, len(names), zone))
    for field in Field:
        if field not in places:
            raise UnreadableFile(Problem.COLUMN_NOT_FOUND, field=field.value)
    normal = [_normal(name) for name in names]
    free = [normal.index(name) for name in _TIMES_OF_DAY if name in normal]
    return Columns(header_row, names, places, next((at for at in free if at not in places.values()), None))


def _shown(name: str) -> str:
    """Returns a column's name as a person may be shown it."""
    return "".join(filter(str.isprintable, name.replace("\u00a0", " ").strip()))[:_LONGEST_NAME]


def _normal(name: str) -> str:
    plain = name.strip(" \t\r\n\ufeff\"':*.").lower().replace("ё", "е").replace("№", "номер ").replace("#", "номер ")
    return _NUMBER_SIGN.sub("номер ", _GAP.sub(" ", _UNIT.sub("", plain)).strip(" .:"))


def _header_row(rows: Sequence[Sequence[str]], told: Mapping[Field, str]) -> int:
    wanted = {_normal(name) for name in told.values() if name}

    def score(row: Sequence[str]) -> tuple[int, int]:
        cells = {_normal(cell) for cell in row}
        return len(wanted & cells), sum(1 for names in _NAMES.values() if cells.intersection(names))

    scores = [score(row) for row in rows[:HEADER_SOUGHT_IN]]
    return scores.index(max(scores))


def _by_name(names: Sequence[str], told: Mapping[Field, str]) -> dict[Field, int]:
    """Returns the places of the fields whose columns have a known name.

    Raises:
        UnreadableFile: A column that was told is not there.
    """
    normal = [_normal(name) for name in names]
    places: dict[Field, int] = {}
    for field, name in told.items():
        if name and _normal(name) not in normal:
            raise UnreadableFile(Problem.COLUMN_UNKNOWN, column=name)
        if name:
            places[field] = names.index(name) if name in names else normal.index(_normal(name))
    for field in Field:
        found = [normal.index(name) for name in _NAMES[field] if name in normal]
        free = [at for at in found if at not in places.values()]
        if field not in places and free:
            places[field] = free[0]
    return places


def _is_data(row: Sequence[str], zone: ZoneInfo) -> bool:
    """Tells whether a row holds a phone and a date, as no header does."""
    cells = [clean(cell) for cell in row]
    return any(map(read_phone, cells)) and any(parse_moment(cell, zone) is not None for cell in cells)


@dataclass(frozen=True, slots=True)
class _Contents:
    """What is in the columns of the first rows.

    Attributes:
        rows: The rows.
        width: How many columns there are.
        zone: The circle's time zone.
    """

    rows: Sequence[Sequence[str]]
    width: int
    zone: ZoneInfo

    def best(self, fits: Callable[[str], float], taken: Sequence[int]) -> int | None:
        """Returns the column in whose cells something fits most, if it mostly does.

        Args:
            fits: How well it fits a cell: 0 not at all, 1 well, a little more where it fits especially well.
            taken: Columns that hold something else.
        """
        shares = {at: self._share(at, fits) for at in range(self.width) if at not in taken}
        best = max(shares, key=lambda at: shares[at], default=None)
        return best if best is not None and shares[best] >= _MOSTLY else None

    def likeness_to_ids(self, at: int) -> float:
        """Returns which share of a column's cells have a digit; 0 where many are empty or say the same."""
        cells = self._cells(at)
        if len(set(cells)) < _MOSTLY * len(self.rows):
            return 0.0
        return sum(any(map(str.isdecimal, cell)) for cell in cells) / len(cells) if cells else 0.0

    def _share(self, at: int, fits: Callable[[str], float]) -> float:
        cells = self._cells(at)
        return sum(map(fits, cells)) / len(cells) if cells else 0.0

    def _cells(self, at: int) -> list[str]:
        return [cell for row in self.rows if at < len(row) and (cell := clean(row[at]))]


def _add_by_content(places: dict[Field, int], contents: _Contents) -> None:
    """Adds the places of the fields that no name has told, the most telling contents first."""
    fitting: Mapping[Field, Callable[[str], float]] = {
        Field.TIME: lambda cell: parse_moment(cell, contents.zone) is not None and not cell[:5].isdecimal(),
        Field.PHONE: lambda cell: bool(read_phone(cell)) and not {",", "."} & set(cell[-3:]),
        Field.AMOUNT: lambda cell: (parse_amount(cell) is not None) + 0.5 * bool({",", "."} & set(cell[-3:])),
    }
    for field, fits in fitting.items():
        if field not in places:
            found = contents.best(fits, list(places.values()))
            if found is not None:
                places[field] = found
    if Field.EXTERNAL_ID not in places:
        free = [at for at in range(contents.width) if at not in places.values()]
        best = max(free, key=contents.likeness_to_ids, default=None)
        if best is not None and contents.likeness_to_ids(best) > 0.5:
            places[Field.EXTERNAL_ID] = best
