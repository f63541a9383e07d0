"""The audit trail: who did what, on whom, from where, with which result.

Append-only: the database itself refuses to change or delete an event; it lets only an address go, of a person who is
erased. An event is written in the transaction of what it
tells of, so neither exists without the other. No phone, name, e-mail, code or token is ever part of one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_interface
from typing import Protocol
from uuid import UUID

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.storage.postgres import Transaction
from svoykrug_server.storage.schema.audit import audit_events


class ActorKind(StrEnum):
    """Who acted."""

    USER = "user"
    SERVICE = "service"
    OPERATOR = "operator"
    SYSTEM = "system"


class AuditResult(StrEnum):
    """How it ended."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that happened.

    Attributes:
        action: What was done, in capitals: SIGNED_IN, SESSION_COMPROMISED, ROLE_GRANTED.
        event_time: When; aware.
        actor_kind: Who acted; OPERATOR is a person at the server's command line.
        actor_id: The user's or service account's id; None for an operator, the system, and a caller not signed in.
        target_kind: What it was done to: user, session, business, service_account, ...
        target_id: The id of that.
        result: Whether it was done or refused.
        peer_address: Where the call came from: an IPv4 or IPv6 address without a port.
        request_id: The call's x-request-id.
        details: Further facts as JSON values; never personal data.
    """

    action: str
    event_time: datetime
    actor_kind: ActorKind = ActorKind.SYSTEM
    actor_id: UUID | None = None
    target_kind: str | None = None
    target_id: str | None = None
    result: AuditResult = AuditResult.DONE
    peer_address: str | None = None
    request_id: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)


class Origin(Protocol):
    """The call in which something was done; `rpc.context.CallContext` is one."""

    @property
    def caller(self) -> Caller | None:
        """Who proved to be calling; None when nobody was asked."""
        ...

    @property
    def request_id(self) -> str:
        """The call's x-request-id."""
        ...

    @property
    def peer_address(self) -> str:
        """Where the call came from; not always an address: `unix`."""
        ...


def event_of_call(
    origin: Origin,
    action: str,
    event_time: datetime,
    *,
    target: tuple[str, str] | None = None,
    details: Mapping[str, object] | None = None,
) -> AuditEvent:
    """Returns the event of something that was done in a call.

    Args:
        origin: The call.
        action: What was done, in capitals.
        event_time: When; aware.
        target: The kind and the id of what it was done to.
        details: Further facts as JSON values; never personal data.
    """
    caller = origin.caller
    kind = ActorKind.SERVICE if caller is not None and caller.is_service else ActorKind.USER
    return AuditEvent(
        action,
        event_time,
        actor_kind=kind,
        actor_id=None if caller is None else caller.subject_id,
        target_kind=None if target is None else target[0],
        target_id=None if target is None else target[1],
        peer_address=address_of(origin),
        request_id=origin.request_id,
        details=details or {},
    )


def address_of(origin: Origin) -> str | None:
    """Returns where a call came from as the audit trail keeps it; None where that is no address."""
    text = origin.peer_address
    try:
        return str(ip_interface(text)) if "/" in text else str(ip_interface(text).ip)
    except ValueError:
        return None


APPEND = """
    INSERT INTO audit_events (
        event_id, event_time, action, result, actor_kind, actor_id, target_kind, target_id, peer_address, request_id,
        details
    )
    SELECT CAST($1 AS uuid), CAST($2 AS timestamptz), CAST($3 AS text), CAST($4 AS text),
        CAST($5 AS text), CAST($6 AS uuid), CAST($7 AS text), CAST($8 AS text),
        CAST(CAST($9 AS text) AS inet), CAST($10 AS text), CAST(CAST($11 AS text) AS jsonb)
    FROM done
"""
"""Writes an event in the statement that does what it tells of, if it does: if `done` has a row. `$2` is when."""


APPEND_PARAMETERS = 11


def parameters_of(event: AuditEvent) -> tuple[object, ...]:
    """Returns an event as the parameters of `APPEND`, the first ones of its statement."""
    return uuid7(event.event_time), *{**_values(event), "details": json.dumps(dict(event.details))}.values()


async def append(tx: Transaction, event: AuditEvent) -> UUID:
    """Writes an event in the transaction of what it tells of, and returns its id."""
    event_id = uuid7(event.event_time)
    # What happened? (appended once, never changed)
    await tx.execute(audit_events.insert().values(event_id=event_id, **_values(event)))
    return event_id


async def append_all(tx: Transaction, events: Sequence[AuditEvent]) -> None:
    """Writes many events, or none, in the transaction of what they tell of."""
    if events:
        rows = [{"event_id": uuid7(event.event_time), **_values(event)} for event in events]
        # What happened? (appended once, never changed)
        await tx.execute(audit_events.insert(), rows)


def _values(event: AuditEvent) -> dict[str, object]:
    return {
        "event_time": event.event_time,
        "action": event.action,
        "result": event.result.value,
        "actor_kind": event.actor_kind.value,
        "actor_id": event.actor_id,
        "target_kind": event.target_kind,
        "target_id": event.target_id,
        "peer_address": event.peer_address,
        "request_id": event.request_id,
        "details": dict(event.details),
    }
