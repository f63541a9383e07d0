"""SQL, markup and header text in every string of every request and every header: nothing breaks, nothing comes back."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from svoykrug_server.storage.postgres import Postgres
from tests.attacks.cast import Cast, renewed
from tests.attacks.kinds import ROW_BY_METHOD, ROWS, Kind
from tests.attacks.plausible import request_for
from tests.attacks.test_fuzz import UNFORESEEN
from tests.attacks.wire import answer_to, methods_of
from tests.rpc.rich import RichError

OURS = [service for service in ROWS if service.startswith("svoykrug.")]
TEXTS = (
    "'; DROP TABLE users; --",
    "' UNION SELECT phone FROM users --",
    "\\'; DELETE FROM auth_sessions; --",
    "$$; SELECT pg_sleep(9); $$",
    "%' OR 1=1 --",
    "{injected:String}; DROP TABLE purchases",
    "\r\ngrpc-status: 0\r\nx-injected: 1",
    "\u0000x-injected",
    "<script>alert('x-injected')</script>",
)
TOKENS = (
    "Bearer",
    "Bearer ",
    "Bearer '; DROP TABLE users; --",
    "Basic dXNlcjpwYXNzd29yZA==",
    "bearer a.b.c",
    "Bearer a.b.c, Bearer d.e.f",
    "Bearer " + "ey" * 1_000,
    "Bearer eyJhbGciOiJub25lIn0.e30.",
)
HEADERS = ("x-request-id", "accept-language", "traceparent", "x-client-version", "x-forwarded-for", "x-unknown")
# How many rows of these there are is what such texts aim at.
TABLES = ("users", "auth_sessions", "businesses", "business_staff", "purchase_entries", "audit_events")
_DEEPEST = 3


def with_text(message: Message, text: str, depth: int = 0) -> Iterator[str]:
    """Puts a text into each string of a request in turn, and yields its path while it is there."""
    for described in message.DESCRIPTOR.fields:
        if described.message_type is not None:
            if described.message_type.GetOptions().map_entry or depth >= _DEEPEST:
                continue
            yield from _within(message, described, text, depth)
        elif described.type == FieldDescriptor.TYPE_STRING:
            before = _copy(message)
            if described.is_repeated:
                getattr(message, described.name).append(text)
            else:
                setattr(message, described.name, text)
            yield described.name
            message.CopyFrom(before)


def _within(message: Message, described: Any, text: str, depth: int) -> Iterator[str]:
    before = _copy(message)
    nested = getattr(message, described.name)
    if described.is_repeated:
        nested = nested[0] if len(nested) else nested.add()
    for path in with_text(nested, text, depth + 1):
        yield f"{described.name}.{path}"
    message.CopyFrom(before)


def _copy(message: Message) -> Message:
    copied = message_factory.GetMessageClass(message.DESCRIPTOR)()  # type: ignore[arg-type]  # its types know one of two descriptors
    copied.CopyFrom(message)
    return copied


async def test_no_text_in_any_string_of_any_request_breaks_or_comes_back(
    cast: Cast, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    sent, wrong = 0, list[str]()
    for method in methods_of(OURS):
        kinds = [kind for kind in (Kind.SUPERADMIN, Kind.OWNER_HERE) if kind in ROW_BY_METHOD[method.full_name].kinds]
        for text in TEXTS:
            await renewed(cast, kinds)
            request = request_for(method, cast.here)
            for path in with_text(request, text):
                raw = request.SerializeToString()
                error = await answer_to(cast.circle.channel, method, [raw], cast.metadata_of(kinds[sent % len(kinds)]))
                wrong += [f"{method.full_name} {path} {text!r}: {what}" for what in _what_is_wrong(error, text)]
                sent += 1
    assert wrong == []
    with capsys.disabled():
        print(f"\nhostile texts: {sent} requests")  # noqa: T201 - the count is a result of this test
    async with postgres.read() as connection:
        for table in TABLES:
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") is not None  # noqa: S608 - constants only


def _what_is_wrong(error: grpc.aio.AioRpcError | None, text: str) -> Iterator[str]:
    if error is None:
        return
    if error.code() in UNFORESEEN:
        yield f"{error.code()}: {error.details()}"
    trailers = dict(error.trailing_metadata() or ())
    if "x-injected" in trailers:
        yield "a header was injected"
    told = trailers.get("grpc-status-details-bin", b"")
    shown = (error.details() or "").encode() + (told if isinstance(told, bytes) else told.encode())
    if text.encode() in shown:
        yield "the text came back"


async def test_no_text_in_any_header_breaks_or_comes_back(cast: Cast) -> None:
    stub: Any = cast.circle.channel.unary_unary("/svoykrug.users.v1.UsersService/GetMe")
    for name in HEADERS:
        for text in (*TEXTS, "1" * 300, "127.0.0.1, " * 50, "я" * 20):
            printable = "".join(character for character in text if " " <= character <= "~")
            metadata = (*cast.metadata_of(Kind.MEMBER), (name, printable))
            call = stub(b"", metadata=metadata, timeout=5)
            await call
            trailers = dict(await call.trailing_metadata())
            assert printable not in map(str, trailers.values()) or not printable, (name, text)
            assert "x-injected" not in trailers


async def test_no_text_for_a_token_is_more_than_an_invalid_token(cast: Cast) -> None:
    stub: Any = cast.circle.channel.unary_unary("/svoykrug.users.v1.UsersService/GetMe")
    for value in TOKENS:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stub(b"", metadata=(("authorization", value),))
        assert RichError.of(refusal.value).reason == "TOKEN_INVALID", value
