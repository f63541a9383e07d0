"""What the code under test told the world outside during a whole test run, and the personal values it was given.

`tests/conftest.py` starts it: every test's log is written as in production, at its most talkative level; every test's
output is kept, and so are the metrics of every server before it stops. Every phone, name, e-mail, code and token that
went into or out of a method, or that was made, is noted. `tests/attacks/test_nothing_personal_is_told.py` runs last and
searches one for the other.

The console SMS sender is left out by its frames: it is how a code reaches a person, not something that is told of her.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry, generate_latest

from svoykrug_server.auth.access_tokens import AccessTokens
from svoykrug_server.auth.codes import Codes
from svoykrug_server.auth.refresh_tokens import RefreshToken
from svoykrug_server.rpc.interceptor import Interceptor
from svoykrug_server.rpc.metrics import RpcMetrics
from svoykrug_server.rpc.server import RpcServer

_FRAME = re.compile(r"╭─* SMS to [^\n]*╮\n(?:│[^\n]*\n)*╰[^\n]*", re.DOTALL)
# What looks like a phone, an e-mail address or a token is looked for whether or not anybody knows it.
_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "phone": re.compile(r"\+7\d{10}\b"),
    "email": re.compile(r"[\w.+-]+@[\w-]+\.[a-z]{2,}"),
    "token": re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
}
_KINDS: Mapping[str, str] = {
    "access_token": "token",
    "assertion": "token",
    "code": "code",
    "display_name": "name",
    "email": "email",
    "phone": "phone",
    "referral_code": "code",
    "refresh_token": "token",
    "token": "token",
    "wallet_code": "code",
}
_MOST_ENTRIES = 100
_WORDS = re.compile(r"[\w@.+~=-]+")
_REQUEST_ID = re.compile(r'"request_id":"[^"]*"')


def _is_telling(kind: str, value: str) -> bool:
    """Tells whether a value could be told from other texts: hostile and trivial ones are everywhere."""
    match kind:
        case "phone":
            digits = re.sub(r"\D", "", value)[-10:]
            spelled_as_phone = re.fullmatch(r"[\d\s()+.-]*", value) is not None and not _is_id(value)
            # Hostile tests send rows of one digit as phones, and every id and figure may hold such a row.
            return spelled_as_phone and len(digits) == 10 and len(set(digits)) > 2
        case "code":
            return re.fullmatch(r"\d{6}|[0-9A-Z]{6,10}", value) is not None
        case "token":
            return len(value) >= 24 and re.fullmatch(r"[\w.~+/=-]*", value, re.ASCII) is not None and not _is_id(value)
        case "email":
            return "@" in value[1:-1] and len(value) >= 6
        case _:
            return len(value) <= 100 and value.isprintable() and re.search(r"[^\W\d_]{4,}", value) is not None


def _is_id(value: str) -> bool:
    """Tells whether a value is one of our ids, which attackers put in every place."""
    return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) is not None


@dataclass(slots=True)
class Capture:
    """What was told, and what must not have been.

    Attributes:
        told: Everything that was printed, logged or measured.
        values: The personal values by kind.
    """

    told: list[str] = field(default_factory=list)
    values: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in set(_KINDS.values())})

    def tell(self, text: str) -> None:
        """Keeps something that was told."""
        self.told.append(_FRAME.sub("", text))

    def note(self, kind: str, value: str) -> None:
        """Notes a personal value."""
        if _is_telling(kind, value):
            self.values[kind].add(value)

    def note_message(self, message: Message) -> None:
        """Notes the personal values of a request or a response."""
        for described in _fields_with_values(message.DESCRIPTOR):
            value: Any = getattr(message, described.name)
            for entry in value[:_MOST_ENTRIES] if described.is_repeated else [value]:
                if isinstance(entry, Message):
                    self.note_message(entry)
                else:
                    self.note(_KINDS[described.name], entry)

    @property
    def line_count(self) -> int:
        """How many lines were told."""
        return sum(text.count("\n") for text in self.told)

    @property
    def value_count(self) -> int:
        """How many personal values are known."""
        return sum(map(len, self.values.values()))

    def found(self) -> list[str]:
        """Returns every personal value that was told, by its kind, with the beginning of a line that tells it."""
        text = _REQUEST_ID.sub("", "".join(self.told))
        words = "\n".join(sorted(set(_WORDS.findall(text))))
        wholes = set(words.split("\n"))
        return [
            f"{kind} {value!r}: {_line_with(text, value)}"
            for kind, value in self._suspects(text)
            if _is_among(kind, value, text, words, wholes)
        ]

    def _suspects(self, text: str) -> Iterator[tuple[str, str]]:
        for kind, values in self.values.items():
            yield from ((kind, value) for value in sorted(values))
        for kind, pattern in _PATTERNS.items():
            yield from ((kind, value) for value in sorted(set(pattern.findall(text))))


def _is_among(kind: str, value: str, text: str, words: str, wholes: set[str]) -> bool:
    """Tells whether a value was told, whole or in pieces: a phone by its last ten digits, a name by all its words."""
    match kind:
        case "code":
            return value in wholes
        case "phone":
            return re.sub(r"\D", "", value)[-10:] in words or value in text
        case "name":
            return value in text or wholes.issuperset(_WORDS.findall(value))
        case _:
            return value in text


def _line_with(text: str, value: str) -> str:
    place = text.find(value)
    return text[text.rfind("\n", 0, place) + 1 :].split("\n", 1)[0][:300] if place >= 0 else "spelled otherwise"


_FIELDS: dict[str, tuple[FieldDescriptor, ...]] = {}


def _fields_with_values(message: Any) -> tuple[FieldDescriptor, ...]:
    """Returns the fields of a message that are personal or hold messages with such fields."""
    known = _FIELDS.get(message.full_name)
    if known is None:
        _FIELDS[message.full_name] = ()  # A message within itself adds nothing.
        known = _FIELDS[message.full_name] = tuple(_found_fields(message))
    return known


def _found_fields(message: Descriptor) -> Iterator[FieldDescriptor]:
    for described in message.fields:
        if described.message_type is not None:
            if described.message_type.full_name.startswith("svoykrug.") and _fields_with_values(described.message_type):
                yield described
        elif described.name in _KINDS and described.type == FieldDescriptor.TYPE_STRING:
            yield described


CAPTURE = Capture()
"""What the whole test run told."""


def watch(monkeypatch: pytest.MonkeyPatch, capture: Capture) -> None:
    """Notes what every server is given, gives and makes, and its metrics before it stops."""
    _watch_messages(monkeypatch, capture)
    _watch_results(monkeypatch, capture)
    _watch_metrics(monkeypatch, capture)


def _watch_messages(monkeypatch: pytest.MonkeyPatch, capture: Capture) -> None:
    add = Interceptor.add_registered_method_handlers

    def added(self: Interceptor, service: str, handlers: Mapping[str, Any]) -> None:
        add(self, service, {name: _noted(handler, capture) for name, handler in handlers.items()})

    monkeypatch.setattr(Interceptor, "add_registered_method_handlers", added)


def _noted(handler: Any, capture: Capture) -> "grpc.RpcMethodHandler[Any, Any]":
    deserialize, serialize = handler.request_deserializer, handler.response_serializer

    def read(raw: bytes) -> Any:
        message = deserialize(raw)
        capture.note_message(message)
        return message

    def written(message: Message) -> Any:
        capture.note_message(message)
        return serialize(message)

    noted: grpc.RpcMethodHandler[Any, Any] = handler._replace(
        request_deserializer=deserialize and read, response_serializer=serialize and written
    )
    return noted


def _watch_results(monkeypatch: pytest.MonkeyPatch, capture: Capture) -> None:
    """Notes what is made also where a test begins behind the network."""
    derive, sign, render = Codes.derive, AccessTokens._sign, RefreshToken.render

    def derived(*arguments: Any, **named: Any) -> str | None:
        code = derive(*arguments, **named)
        capture.note("code", code or "")
        return code

    def signed(*arguments: Any, **named: Any) -> Any:
        token, expire_time = sign(*arguments, **named)
        capture.note("token", token)
        return token, expire_time

    def rendered(self: RefreshToken) -> str:
        token = str(render(self))
        capture.note("token", token)
        return token

    for owner, name, replacement in (
        (Codes, "derive", derived),
        (AccessTokens, "_sign", signed),
        (RefreshToken, "render", rendered),
    ):
        monkeypatch.setattr(owner, name, replacement)


def _watch_metrics(monkeypatch: pytest.MonkeyPatch, capture: Capture) -> None:
    registries: dict[int, CollectorRegistry] = {}
    begin, stop = RpcMetrics.__init__, RpcServer.stop

    def begun(self: RpcMetrics, registry: CollectorRegistry) -> None:
        registries[id(self)] = registry
        begin(self, registry)

    async def stopped(self: RpcServer, *arguments: Any) -> None:
        registry = registries.pop(id(self._interceptor._metrics), None)
        if registry is not None:
            capture.tell(generate_latest(registry).decode())
        await stop(self, *arguments)

    monkeypatch.setattr(RpcMetrics, "__init__", begun)
    monkeypatch.setattr(RpcServer, "stop", stopped)
