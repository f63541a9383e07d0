"""How the server logs: structured events with the request id, and nothing that tells who a person is."""

import json
import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

from svoykrug_server.rpc.context import find_current

EventDict = MutableMapping[str, Any]
_HIDDEN = "***"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode
# What an exception's message may repeat of a request or a row: quoted text, Postgres' `(column)=(value)`, SQLAlchemy's
# parameters, phones and other long numbers, e-mail addresses, tokens.
_PERSONAL = re.compile(
    r"""'[^']*'|"[^"]*"|=\([^)]*\)|\[parameters:.*?\]|\+?\d[\d\s().-]{4,}\d|[^\s@]+@[^\s@]+|[A-Za-z0-9_.+/=-]{24,}""",
    re.DOTALL,
)
TOLD_BY_US = ("clickhouse_connect", "urllib3")
"""Whose warnings say, at every attempt, what a line of ours says once: that ClickHouse is away."""


def configure_logging(*, human: bool, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Sets up structlog and sends the standard library's log through it.

    Args:
        human: Coloured lines for a person at a terminal; otherwise one JSON object a line.
        level: The least severe level that is written, such as `INFO`.
        stream: Where lines go; standard error by default.
    """
    target = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        describe_exception,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=target.isatty()) if human else render_json
    )
    severity = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(severity),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        # Whoever logs for every call binds a logger once; then caching would only keep old settings alive.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(severity, logging.WARNING), force=True)
    for name in TOLD_BY_US:
        logging.getLogger(name).setLevel(logging.ERROR)


def add_request_id(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Names the call for which a line is written, when there is one."""
    call = find_current()
    if call is not None:
        event["request_id"] = call.request_id
    return event


def render_json(_logger: object, _method: str, event: EventDict) -> str:
    """Prints an event as one line of JSON."""
    return _encode(event)


def describe_exception(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Replaces `exc_info` by the traceback, with every exception's message stripped of what may be personal."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["exception"] = safe_traceback(error)
    return event


def safe_traceback(error: BaseException) -> str:
    """Formats an exception and its causes: places in the code in full, messages stripped of what may be personal."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        parts.append(f"{type(current).__qualname__}: {_safe(str(current))}\n{_frames(current.__traceback__)}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\ncaused by ".join(parts)


def _safe(message: str) -> str:
    return _PERSONAL.sub(_HIDDEN, message[:2000])


def _frames(trace: TracebackType | None) -> str:
    return "\n".join(
        f"  {frame.filename}:{frame.lineno} {frame.name}: {frame.line}" for frame in traceback.extract_tb(trace)
    )
