"""What the commands print."""

import re
from typing import Any

from rich.console import Console

# What is a result goes to standard output, what is said about the work to standard error: a pipe gets results alone.
# Results are as wide as they are: an id that is cut to the width of a window is of no use.
RESULTS = Console(width=10_000, markup=False, emoji=False, highlight=False)
PROGRESS = Console(stderr=True, markup=False, emoji=False, highlight=False)
_UPPER = re.compile(r"(?<!^)(?=[A-Z])")


def shown(text: str) -> str:
    """Returns a text of somebody's without the characters that would steer the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def name_of(enum: Any, number: int) -> str:
    """Returns the name of an enum's value without the prefix; of a value that a newer server has, its number."""
    values = enum.DESCRIPTOR.values_by_number
    if number not in values:
        return str(number)
    name: str = values[number].name
    return name.removeprefix(f"{_UPPER.sub('_', enum.DESCRIPTOR.name).upper()}_")
