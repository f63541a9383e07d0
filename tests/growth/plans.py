"""The plan of every statement that calls send, as PostgreSQL made it.

PostgreSQL's own `auto_explain` sends each plan back to the connection that asked, with the rows and the blocks that
each step read. So a plan is the one that was used: of a prepared statement the custom or the generic one, of foreign
keys and triggers what they ask themselves.
"""

import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from asyncpg.connection import Connection
from asyncpg.protocol import Protocol

from svoykrug_server.rpc.context import find_current

LARGE_ROWS = 5_000
"""A table with more rows is never read whole."""
MOST_READ_ROWS = 2_000
"""How many rows of a table one step may read: a page, a batch or one person's rows are fewer."""
BLOCKS_OF_A_ROW = 4
"""How many blocks a step may take to find its place in an index, and for each row: the levels of a tree, the row."""
MOST_BLOCKS_BETWEEN = 25
"""How many blocks a step may take beside those: entries that it only passes by. Of right plans it was 1 at most."""
SETTINGS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_level": "notice",
    "auto_explain.log_format": "json",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_parameter_max_length": "0",
}
_BEGINS_WORK = ("bind_execute", "bind_execute_many", "bind", "execute", "query", "copy_in", "copy_out")


@dataclass(frozen=True, slots=True)
class Planned:
    """A statement and its plan.

    Attributes:
        method: The path of the call it was sent for.
        statement: Its text.
        root: The first step of its plan.
    """

    method: str
    statement: str
    root: Mapping[str, Any]

    def steps(self) -> Iterator[Mapping[str, Any]]:
        """Yields every step."""
        waiting = [self.root]
        while waiting:
            step = waiting.pop()
            yield step
            waiting.extend(step.get("Plans", ()))


@dataclass(frozen=True, slots=True)
class Known:
    """What PostgreSQL knows of its tables.

    Attributes:
        row_counts: About how many rows each has, as the planner believes; None where it never looked.
        unordered: The names of the indexes that hold a list of rows for each word: to be read, not gone down.
    """

    row_counts: Mapping[str, int | None]
    unordered: Set[str]


def faults(planned: Planned, known: Known) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with a plan: the table, and `scanned`, `many rows`, `walked` or `never analysed`.

    A step is wrong when it goes through a large table from its beginning, or reads many of its rows, by an index or
    not, whatever becomes of them: a sort of a whole table, a filter that keeps few rows, a list that is only counted.
    It is also wrong when it takes more blocks than its rows explain: PostgreSQL does not count the entries of an index
    that it passes by. Of a table that was never analysed nobody knows whether it is large.
    """
    for step in planned.steps():
        table = step.get("Relation Name", "")
        row_count = known.row_counts.get(table, 0)
        if row_count is None:
            yield table, "never analysed"
        elif row_count <= LARGE_ROWS or step["Node Type"] == "ModifyTable":
            continue
        elif step["Node Type"] == "Seq Scan":
            yield table, "scanned"
        elif _rows_read(step) > MOST_READ_ROWS:
            yield table, "many rows"
        elif _blocks_between(step, known.unordered) > MOST_BLOCKS_BETWEEN:
            yield table, "walked"


def _rows_read(step: Mapping[str, Any]) -> float:
    """Returns how many rows a step read of its table, those it threw away among them."""
    thrown_away = sum(float(rows) for name, rows in step.items() if name.startswith("Rows Removed by"))
    return float(step["Actual Loops"]) * (float(step["Actual Rows"]) + thrown_away)


def _blocks_between(step: Mapping[str, Any], unordered: Set[str]) -> float:
    """Returns how many blocks a step took that neither its rows nor finding its place in its indexes explain.

    What an unordered index cannot tell apart it gives as rows, which are thrown away: those are counted as rows.
    """
    places = [part for part in _parts(step) if "Index Name" in part]
    if any(part["Index Name"] in unordered for part in places):
        return 0
    searches = sum(float(part["Actual Loops"]) for part in places)
    asked = sum(_blocks(inner) for part in _parts(step) for inner in part.get("Plans", ()) if _is_asked(inner))
    return _blocks(step) - asked - BLOCKS_OF_A_ROW * (_rows_read(step) + searches)


def _parts(step: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yields a step that reads a table and those below it that look into the table's indexes for it."""
    yield step
    for inner in step.get("Plans", ()):
        if not _is_asked(inner):
            yield from _parts(inner)


def _is_asked(inner: Mapping[str, Any]) -> bool:
    """Tells whether a step below another is a query of its own, whose blocks PostgreSQL counts for both."""
    return inner["Parent Relationship"] in ("InitPlan", "SubPlan")


def _blocks(step: Mapping[str, Any]) -> float:
    return float(step["Shared Hit Blocks"]) + float(step["Shared Read Blocks"])


async def look(connection: "asyncpg.Connection[asyncpg.Record]") -> Known:
    """Returns what PostgreSQL knows of its tables."""
    tables = await connection.fetch(
        "SELECT relname, nullif(reltuples, -1)::bigint AS row_count FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    unordered = await connection.fetch(
        "SELECT relname FROM pg_class JOIN pg_am ON pg_am.oid = relam WHERE relkind = 'i' AND amname = 'gin'"
    )
    return Known({row["relname"]: row["row_count"] for row in tables}, {row["relname"] for row in unordered})


async def explain_all(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Makes every later connection to this database tell its plans."""
    database = await connection.fetchval("SELECT current_database()")
    for name, value in SETTINGS.items():
        await connection.execute(f"ALTER DATABASE {database} SET {name} = '{value}'")


def record(monkeypatch: pytest.MonkeyPatch) -> list[Planned]:
    """Returns a list to which the plans of all statements of calls are added, as they are told."""
    seen: list[Planned] = []

    def watched(name: str) -> None:
        begin = getattr(Protocol, name)

        def begun(protocol: Any, *args: Any, **keywords: Any) -> Any:
            call = find_current()
            protocol.called_by = None if call is None else call.method
            return begin(protocol, *args, **keywords)

        monkeypatch.setattr(Protocol, name, begun)

    def told(connection: Any, fields: Mapping[str, str], _last_query: str) -> None:
        method, (_, plan, document) = connection._protocol.called_by, fields["M"].partition("plan:\n")
        if plan and method is not None:
            explained = json.loads(document)
            seen.append(Planned(method, explained["Query Text"], explained["Plan"]))

    for name in _BEGINS_WORK:
        watched(name)
    monkeypatch.setattr(Connection, "_process_log_message", told)
    return seen
