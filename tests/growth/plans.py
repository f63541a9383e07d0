"""The plan of every statement that calls send, as PostgreSQL made it.

PostgreSQL's own `auto_explain` sends each plan back to the connection that asked, with the rows that each step read.
So a plan is the one that was used: of a prepared statement the custom or the generic one, of foreign keys and triggers
what they ask themselves.
"""

import json
from collections.abc import Iterator, Mapping
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
SETTINGS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_level": "notice",
    "auto_explain.log_format": "json",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_analyze": "on",
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


def faults(planned: Planned, row_counts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with a plan: the table, and `scanned` or `many rows`.

    A step is wrong when it goes through a large table from its beginning, or reads many of its rows, by an index or
    not, whatever becomes of them: a sort of a whole table, a filter that keeps few rows, a list that is only counted.

    Args:
        planned: The statement.
        row_counts: How many rows each table has.
    """
    for step in planned.steps():
        table = step.get("Relation Name", "")
        if row_counts.get(table, 0) <= LARGE_ROWS or step["Node Type"] == "ModifyTable":
            continue
        if step["Node Type"] == "Seq Scan":
            yield table, "scanned"
        elif _rows_read(step) > MOST_READ_ROWS:
            yield table, "many rows"


def _rows_read(step: Mapping[str, Any]) -> float:
    """Returns how many rows a step read of its table, those it threw away among them."""
    thrown_away = sum(float(rows) for name, rows in step.items() if name.startswith("Rows Removed by"))
    return float(step["Actual Loops"]) * (float(step["Actual Rows"]) + thrown_away)


async def row_counts(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, int]:
    """Returns about how many rows each table has, as the planner believes."""
    rows = await connection.fetch(
        "SELECT relname, reltuples::bigint AS row_count FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    return {row["relname"]: row["row_count"] for row in rows}


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
