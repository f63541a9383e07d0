"""Amounts in any spelling of a CRM: `1 234,56`, `1,234.56`, `1.234,56 ₽`, `1234`.

One separator with exactly three digits behind it says nothing by itself: `1,234` is a thousand in one file and not in
another. The column as a whole says it: a separator that has one or two digits behind it anywhere is the decimal one
everywhere. In a column that says nothing at all three digits are a group, for money has no thousandths; in one that
contradicts itself such an amount is refused.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_LONGEST = 64
_SPACES = re.compile(r"[\s\u00a0\u2007\u2009\u202f'’]+")
_CURRENCY = re.compile(r"(?:₽|руб(?:лей|ля|ль)?\.?|р\.?|ru[br]\.?)", re.IGNORECASE)
_NUMBER = re.compile(r"([+\-\u2212\u2013]?)([0-9.,]+)")
_GROUPED = {",": re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+"), ".": re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+")}
_MINOR_DIGITS = 2


@dataclass(slots=True)
class DecimalEvidence:
    """What a column says about its decimal separator.

    Attributes:
        comma: Whether a comma is one somewhere.
        point: Whether a point is one somewhere.
    """

    comma: bool = False
    point: bool = False

    def look_at(self, text: str) -> None:
        """Learns from one amount."""
        number = _number(text)
        decimal = None if number is None else _obvious_decimal(number[1])
        self.comma = self.comma or decimal == ","
        self.point = self.point or decimal == "."

    @property
    def separators(self) -> str:
        """The decimal separators of the column: none, one, or both where it contradicts itself."""
        return "," * self.comma + "." * self.point


@lru_cache(maxsize=4096)
def parse_amount(text: str, separators: str = "") -> int | None:
    """Returns an amount in minor units, or None where the text is no amount, or not one alone.

    Args:
        text: The amount in major units.
        separators: The decimal separators of its column; see `DecimalEvidence`.
    """
    number = _number(text)
    if number is None:
        return None
    sign, digits = number
    decimal = _obvious_decimal(digits)
    if decimal is None:
        decimal = _decimal_of_column(digits, separators)
    if decimal is None:
        return None
    whole, fraction = _split(digits, decimal)
    if not whole.isdecimal() or len(fraction.rstrip("0")) > _MINOR_DIGITS:
        return None
    minor = int(whole + fraction.rstrip("0").ljust(_MINOR_DIGITS, "0"))
    return minor if sign in ("", "+") else -minor


def _number(text: str) -> tuple[str, str] | None:
    """Returns sign and digits with their separators, without spaces and currency."""
    if len(text) > _LONGEST:
        return None
    bare = _CURRENCY.sub("", _SPACES.sub("", text), count=1)
    found = _NUMBER.fullmatch(bare)
    return (found[1], found[2]) if found else None


def _obvious_decimal(digits: str) -> str | None:
    """Returns the decimal separator of a number that says it by itself; empty for a number without, None for doubt."""
    signs = {sign for sign in ",." if sign in digits}
    if not signs:
        return ""
    last = max(signs, key=digits.rfind)
    if len(signs) == 2:
        return last
    if digits.count(last) > 1:
        return ""
    whole, _, fraction = digits.partition(last)
    in_doubt = len(fraction) == 3 and _GROUPED[last].fullmatch(digits) and not whole.startswith("0")
    return None if in_doubt else last


def _decimal_of_column(digits: str, separators: str) -> str | None:
    """Returns the decimal separator of a number like `1,234`; empty where it makes groups, None in doubt."""
    if len(separators) == 2:
        return None
    return separators if separators in digits else ""


def _split(digits: str, decimal: str) -> tuple[str, str]:
    """Returns the whole part without groups, and the fraction; the whole part is no number where groups are wrong."""
    whole, fraction = digits, "00"
    if decimal:
        whole, _, fraction = digits.rpartition(decimal)
        if not fraction:
            return "", ""
    for sign, grouped in _GROUPED.items():
        if sign in whole and sign != decimal and grouped.fullmatch(whole):
            return whole.replace(sign, ""), fraction
    return whole, fraction
