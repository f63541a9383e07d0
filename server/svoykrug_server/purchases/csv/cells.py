"""What a cell of a table can hold besides its value, and phones."""

import re

from svoykrug_server.kit.phone import parse_phone

_FORMULA = re.compile(r'="([^"]*)"')
_LOST_DIGITS = re.compile(r"\+?[0-9]+(?:[.,][0-9]+)?[eEеЕ]\+?[0-9]+")
"""Excel's `7,9991E+10`, also with a Cyrillic E: the digits behind are lost for good."""
_MOBILE = re.compile(r"\+?[78][ \u00a0().-]*9(?:[ \u00a0().-]*[0-9]){9}[ \u00a0().-]*")
_NOT_A_DIGIT = re.compile(r"[^0-9]")
_ZERO_DECIMALS = re.compile(r"(\+?[0-9]{7,15})[.,]0")
_LONGEST_PHONE = 64


def clean(cell: str) -> str:
    """Returns the value of a cell, without what spreadsheets put around texts: `="8999..."` and `'8999...`."""
    value = cell.strip(" \t\r\n\u00a0\u202f\ufeff")
    if value.startswith("="):
        found = _FORMULA.fullmatch(value)
        return found[1].strip() if found else value
    return value.removeprefix("'")


def lost_digits(value: str) -> bool:
    """Tells whether a value is a long number that a spreadsheet has rounded."""
    return _LOST_DIGITS.fullmatch(value) is not None


def read_phone(value: str) -> str:
    """Returns a phone in E.164, or empty where the value is none."""
    if len(value) > _LONGEST_PHONE or lost_digits(value):
        return ""
    if _MOBILE.fullmatch(value):
        return "+7" + _NOT_A_DIGIT.sub("", value)[1:]
    whole = _ZERO_DECIMALS.fullmatch(value)
    return parse_phone(whole[1] if whole else value) or ""


def read_external_id(value: str) -> str:
    """Returns a receipt's id, or empty where its digits are lost."""
    return "" if lost_digits(value) else value
