"""Why a file could not be read, in the languages of people."""

from collections.abc import Mapping
from typing import Literal

from svoykrug_server.purchases.csv.model import Problem

_TEXTS: Mapping[Problem, Mapping[str, str]] = {
    Problem.EMPTY: {
        "en": "The file has no rows below its header.",
        "ru": "В файле нет строк под заголовком.",
    },
    Problem.ENCODING: {
        "en": "The file is not a text in {encoding}.",
        "ru": "Файл не является текстом в кодировке {encoding}.",
    },
    Problem.COLUMN_UNKNOWN: {
        "en": "The file has no column \u201c{column}\u201d.",
        "ru": "В файле нет столбца «{column}».",
    },
    Problem.COLUMN_NOT_FOUND: {
        "en": "No column was recognised as the {field}. Say which one it is.",
        "ru": "Не найден столбец: {field}. Укажите его название.",
    },
    Problem.LINE_TOO_LONG: {
        "en": "Line {line} is too long: perhaps a quotation mark is not closed.",
        "ru": "Строка {line} слишком длинная: возможно, не закрыта кавычка.",
    },
    Problem.TOO_MANY_ROWS: {
        "en": "The file has more than {most} rows.",
        "ru": "В файле больше строк, чем можно: {most}.",
    },
}
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "phone": {"en": "phone", "ru": "телефон"},
    "external_id": {"en": "receipt's number", "ru": "номер чека"},
    "amount_minor": {"en": "amount", "ru": "сумма"},
    "purchase_time": {"en": "date", "ru": "дата"},
}


def text_of(problem: Problem, facts: Mapping[str, str], locale: Literal["ru", "en"]) -> str:
    """Returns a problem in words.

    Args:
        problem: Why the file could not be read.
        facts: What it was raised with.
        locale: The language.
    """
    said = {
        name: _FIELDS.get(value, {}).get(locale, value) if name == "field" else value for name, value in facts.items()
    }
    return _TEXTS[problem][locale].format_map(said)
