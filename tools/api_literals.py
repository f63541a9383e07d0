"""A message written as a literal of a programming language.

Why this exists: an example that builds its request from JSON text would teach neither the names of the generated types
nor those of their fields. What differs between languages is a subclass of `Literals`.
"""

import base64
import json
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from api_examples import snake
from api_schema import Json
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

_WIDEST = 72


class Literals(ABC):
    """Writes messages, and keeps what they need to be imported.

    Attributes:
        indent: What a line within brackets begins with.
        imports: Where from -> what; for a language that imports a whole, what is the name that the whole gets.
    """

    indent = "    "

    def __init__(self) -> None:
        self.imports: dict[str, set[str]] = {}

    @abstractmethod
    def message(self, kind: Descriptor, value: Json) -> str:
        """Return a message."""

    @abstractmethod
    def enum(self, kind: EnumDescriptor, name: str) -> str:
        """Return a value of an enum."""

    @abstractmethod
    def octets(self, value: bytes) -> str:
        """Return bytes."""

    @abstractmethod
    def time(self, value: str) -> str:
        """Return an instant, which is given as RFC 3339 in UTC, in whole minutes."""

    @abstractmethod
    def mask(self, paths: list[str]) -> str:
        """Return a mask of fields."""

    def long(self, value: int) -> str:
        """Return a number of 64 bits."""
        return str(value)

    def truth(self, *, value: bool) -> str:
        """Return a bool."""
        return str(value).lower()

    def use(self, where: str, what: str) -> str:
        """Note something to import, and return its name."""
        self.imports.setdefault(where, set()).add(what)
        return what

    def value(self, field: FieldDescriptor, value: Any) -> str:
        """Return the value of a field."""
        if field.is_repeated:
            return grouped("[", [self.single(field, item) for item in value], "]", self.indent)
        return self.single(field, value)

    def single(self, field: FieldDescriptor, value: Any) -> str:
        """Return one value of a field."""
        if field.enum_type is not None:
            return self.enum(field.enum_type, value)
        if field.message_type is not None:
            return self._message(field.message_type, value)
        if field.type == field.TYPE_BYTES:
            return self.octets(base64.b64decode(value))
        if field.type in {field.TYPE_INT64, field.TYPE_UINT64}:
            return self.long(int(value))
        if field.type == field.TYPE_BOOL:
            return self.truth(value=value)
        return json.dumps(value, ensure_ascii=False)

    def _message(self, kind: Descriptor, value: Any) -> str:
        if kind.full_name == "google.protobuf.Timestamp":
            return self.time(value)
        if kind.full_name == "google.protobuf.FieldMask":
            return self.mask([snake(path) for path in value.split(",")])
        return self.message(kind, value)


def grouped(opening: str, items: Iterable[str], closing: str, indent: str = "    ", inside: str = "") -> str:
    """Return items within brackets, on one line where they fit, else one a line.

    Args:
        opening: The opening bracket, and what stands before it.
        items: The items.
        closing: The closing bracket.
        indent: What a line within brackets begins with.
        inside: What parts brackets and items on one line.
    """
    items = list(items)
    inside = inside if items else ""
    line = f"{opening}{inside}{', '.join(items)}{inside}{closing}"
    if len(line) <= _WIDEST and "\n" not in line:
        return line
    lines = "".join(f"{item},\n" for item in items)
    return f"{opening}\n{textwrap.indent(lines, indent)}{closing}"


def oneof_of(field: FieldDescriptor) -> str:
    """Return the name of the oneof that a field belongs to; empty when it belongs to none."""
    return field.containing_oneof.name if field.containing_oneof is not None else ""
