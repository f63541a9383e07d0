"""Phone numbers in E.164, from any spelling a Russian CRM writes."""

import re

import phonenumbers

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_NOT_A_DIGIT = re.compile(r"\D")


def is_e164(text: str) -> bool:
    """Tells whether a text has the form of E.164: a plus and 7 to 15 digits."""
    return _E164.fullmatch(text) is not None


def parse_phone(text: str) -> str | None:
    """Returns a number in E.164, or None where the text is no possible number.

    A number without a plus is read as Russian: `8 999 ...` and `7999...` are `+7999...`.

    Args:
        text: A number in any spelling: spaces, brackets, dashes, with or without the country prefix.
    """
    stripped = text.strip()
    digits = _NOT_A_DIGIT.sub("", stripped)
    if not 7 <= len(digits) <= 15:
        return None
    if not stripped.startswith("+") and len(digits) == 11 and digits[0] in "78":
        stripped = "+7" + digits[1:]
    try:
        number = phonenumbers.parse(stripped, "RU")
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def calling_code(phone: str) -> str:
    """Returns the calling code of a number's country, such as `7` for +79991234567.

    Args:
        phone: E.164.
    """
    return str(phonenumbers.parse(phone).country_code)
