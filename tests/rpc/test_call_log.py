"""The line of a call is the same however it is printed, and goes where the log goes."""

import asyncio
import io
import json
from collections.abc import Iterator
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import structlog
from structlog.testing import capture_logs

from svoykrug_server.kit.caller import Caller
from svoykrug_server.rpc.call_log import GATHER_SECONDS, CallLog
from svoykrug_server.rpc.context import CallContext, enter
from svoykrug_server.rpc.logs import configure_logging
from tests.callers import person
from tests.rpc.conftest import LogLines, StartEdge, TokenTable
from tests.rpc.probe import ProbeRequest

CALLER = Caller(uuid4(), "token", datetime.max.replace(tzinfo=UTC), uuid4())


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes."""
    yield io.StringIO()
    structlog.reset_defaults()


def call_of(caller: Caller | None) -> CallContext:
    return CallContext("/probe.Service/Method", "0123456789abcdef", "ru", lambda: "", lambda: None, caller)


def write(call: CallContext, ending: tuple[str, str] = ("OK", "")) -> None:
    """Writes the line of a call, during the call."""

    def during() -> None:
        enter(call)
        lines = CallLog(asyncio.get_running_loop())
        lines.ended(call, *ending, seconds=0.0123456)
        lines.flush()

    copy_context().run(during)


@pytest.mark.parametrize("caller", [CALLER, None])
@pytest.mark.parametrize("ending", [("OK", ""), ("NOT_FOUND", "NOT_FOUND")])
async def test_the_line_printed_by_hand_is_the_one_structlog_would_print(
    stream: io.StringIO, caller: Caller | None, ending: tuple[str, str]
) -> None:
    def also_json(_logger: object, _method: str, event: Any) -> str:
        return json.dumps(event, separators=(",", ":"))

    configure_logging(human=False, stream=stream)
    write(call_of(caller), ending)
    structlog.get_config()["processors"][-1] = also_json
    write(call_of(caller), ending)
    by_hand, by_structlog = (json.loads(line) for line in stream.getvalue().splitlines())
    assert list(by_hand) == list(by_structlog)
    for line in (by_hand, by_structlog):
        assert datetime.fromisoformat(line.pop("timestamp")).tzinfo == UTC
    assert by_hand == by_structlog
    assert by_hand["ms"] == 12.35


async def test_a_log_without_information_has_no_line(stream: io.StringIO) -> None:
    configure_logging(human=False, level="WARNING", stream=stream)
    write(call_of(CALLER))
    assert stream.getvalue() == ""


async def test_a_log_for_people_has_the_line_too(stream: io.StringIO) -> None:
    configure_logging(human=True, stream=stream)
    write(call_of(CALLER))
    assert "/probe.Service/Method" in stream.getvalue()
    assert str(CALLER.subject_id) in stream.getvalue()


async def test_who_captures_the_log_captures_the_line(stream: io.StringIO) -> None:
    configure_logging(human=False, stream=stream)
    with capture_logs() as lines:
        write(call_of(CALLER))
    assert [line["method"] for line in lines] == ["/probe.Service/Method"]
    assert stream.getvalue() == ""


async def test_lines_are_written_together_a_moment_later(stream: io.StringIO) -> None:
    configure_logging(human=False, stream=stream)
    lines = CallLog(asyncio.get_running_loop())
    for reason in ("", "NOT_FOUND"):
        lines.ended(call_of(CALLER), "OK", reason, seconds=0.001)
    assert stream.getvalue() == ""
    await asyncio.sleep(2 * GATHER_SECONDS)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert ("reason" in first, second["reason"]) == (False, "NOT_FOUND")
    lines.ended(call_of(None), "OK", "", seconds=0.001)
    await asyncio.sleep(2 * GATHER_SECONDS)
    assert len(stream.getvalue().splitlines()) == 3
    lines.end()
    lines.ended(call_of(None), "OK", "", seconds=0.001)
    assert len(stream.getvalue().splitlines()) == 4


async def test_a_server_that_stops_leaves_no_line_behind(
    log_lines: LogLines, start_edge: StartEdge, tokens: TokenTable
) -> None:
    edge = await start_edge()
    await edge.stub.Mine(ProbeRequest(), metadata=tokens.sign_in(person()))
    await edge.server.stop()
    assert sum(event["event"] == "call" for event in log_lines.events) == 1
