"""All SQL that reads the audit trail."""

import json
from datetime import datetime
from typing import Any

from svoykrug_server.storage.postgres import ReadConnection
from svoykrug_server.users.administration.model import Position, RecordedEvent, TrailFilter

_COLUMNS = """
    event_id, event_time, action, result, actor_kind, actor_id, target_kind, target_id, peer_address, request_id,
    details::text AS details
"""

# What happened before this position? (the newest first; with actions, the newest of each, merged)
_EVENTS = """
    SELECT {columns} FROM audit_events
    WHERE (event_time, event_id) < ($1, $2) AND event_time >= $3 {conditions}
    ORDER BY event_time DESC, event_id DESC LIMIT $4
"""
_MERGED = "SELECT * FROM ({lists}) lists ORDER BY event_time DESC, event_id DESC LIMIT $4"


async def events(
    connection: ReadConnection, wanted: TrailFilter, before: Position, since: datetime, limit: int
) -> list[RecordedEvent]:
    """Returns the audit events that a filter names, the newest first.

    Each filter has an index that holds the order too, so that a page costs the same at any size of the trail; several
    actions are as many lists, merged.

    Args:
        connection: A connection of the hot pool.
        wanted: The filter.
        before: Only events before this position.
        since: Only events of this instant or later.
        limit: The most to return.
    """
    values: list[object] = [*before, since, limit]
    conditions = ""
    if wanted.actor_id is not None:
        values.append(wanted.actor_id)
        conditions += f" AND actor_id = ${len(values)}"
    if wanted.target_id:
        values.append(wanted.target_id)
        conditions += f" AND target_id = ${len(values)}"
    lists = []
    for action in wanted.actions:
        values.append(action)
        lists.append(_EVENTS.format(columns=_COLUMNS, conditions=f"{conditions} AND action = ${len(values)}"))
    one_list = _EVENTS.format(columns=_COLUMNS, conditions=conditions)
    statement = _MERGED.format(lists=" UNION ALL ".join(f"({part})" for part in lists)) if lists else one_list
    return [_event(row) for row in await connection.fetch(statement, *values)]


def _event(row: Any) -> RecordedEvent:
    return RecordedEvent(
        id=row["event_id"],
        action=row["action"],
        event_time=row["event_time"],
        actor_kind=row["actor_kind"],
        actor_id=row["actor_id"],
        target_kind=row["target_kind"] or "",
        target_id=row["target_id"] or "",
        refused=row["result"] == "refused",
        peer_address="" if row["peer_address"] is None else str(row["peer_address"]),
        request_id=row["request_id"] or "",
        details=json.loads(row["details"]),
    )
