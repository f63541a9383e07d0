"""How often a field of a request may be repeated, looked at before anything looks into its elements.

Validating one element costs tens of microseconds; a request of 4 MB has room for two million empty ones, and whoever
validated them all would answer nobody else for minutes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.message import Message

MOST_WITHOUT_RULE = 1_000
"""For a field whose proto is not ours to bound, such as the paths of a field mask."""


@dataclass(frozen=True, slots=True)
class Excess:
    """A field that is repeated too often.

    Attributes:
        path: Its path in the request.
        most: How often it may be.
    """

    path: str
    most: int


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    most: int | None
    message: Any


# The fields to look at of every message type seen so far; most types have none, and cost one look-up.
_fields_by_type: dict[str, tuple[_Field, ...]] = {}


def excess_of(request: Message) -> Excess | None:
    """Returns the first field of a request that is repeated too often, or None."""
    return next(_excesses(request, ""), None)


def _excesses(message: Message, prefix: str) -> Iterator[Excess]:
    for field in _fields_of(message.DESCRIPTOR):
        value: Any = getattr(message, field.name)
        if field.most is None:
            if message.HasField(field.name):
                yield from _excesses(value, f"{prefix}{field.name}.")
        elif len(value) > field.most:
            yield Excess(f"{prefix}{field.name}", field.most)
        elif field.message is not None and _fields_of(field.message):
            for index, element in enumerate(value):
                yield from _excesses(element, f"{prefix}{field.name}[{index}].")


def _fields_of(message_type: Any) -> tuple[_Field, ...]:
    known = _fields_by_type.get(message_type.full_name)
    if known is None:
        # A type within itself is looked into no further.
        _fields_by_type[message_type.full_name] = ()
        known = _fields_by_type[message_type.full_name] = tuple(_found(message_type))
    return known


def _found(message_type: Any) -> Iterator[_Field]:
    for field in message_type.fields:
        nested = field.message_type
        if field.is_repeated:
            is_map = nested is not None and nested.GetOptions().map_entry
            rules = field.GetOptions().Extensions[validate_pb2.field].repeated
            most = rules.max_items if rules.HasField("max_items") else MOST_WITHOUT_RULE
            yield _Field(field.name, most, None if is_map else nested)
        elif nested is not None and _fields_of(nested):
            yield _Field(field.name, None, nested)
