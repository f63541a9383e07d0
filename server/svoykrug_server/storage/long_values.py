"""Values of any length for a statement on a ClickHouse server, which takes at most 128 KiB of each value.

(Its setting `http_max_field_value_size`, which a statement cannot raise: the values are read before it.) A long list is
therefore bound in pieces, and the statement puts them together again; in process the same happens, so that both are one
path.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

PIECE_LENGTH = 2_000
"""How many ids, each with quotes and a comma at most 40 bytes, go in one piece."""


def in_pieces(sql: str, parameters: Mapping[str, Any] | None) -> tuple[str, dict[str, Any] | None]:
    """Returns a statement and its values, none of them too long.

    Args:
        sql: A statement; values only as `{name:Type}`.
        parameters: The values; those of a long list are ids or numbers.
    """
    if parameters is None:
        return sql, None
    bound: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, list) and len(value) > PIECE_LENGTH:
            pieces = _pieces(name, value)
            sql = _joined(sql, name, pieces)
            bound |= pieces
        else:
            bound[name] = value
    return sql, bound


def _pieces(name: str, values: list[Any]) -> dict[str, list[Any]]:
    firsts = range(0, len(values), PIECE_LENGTH)
    return {f"{name}__{number}": values[at : at + PIECE_LENGTH] for number, at in zip(count(), firsts, strict=False)}


def _joined(sql: str, name: str, pieces: Iterable[str]) -> str:
    """Puts the pieces of a list, one after the other, in its place."""
    return re.sub(
        rf"\{{{name}:([^}}]+)\}}",
        lambda found: f"arrayConcat({', '.join(f'{{{piece}:{found[1]}}}' for piece in pieces)})",
        sql,
    )
