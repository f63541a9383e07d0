"""The call that a use case works for, as the use case sees it."""

from dataclasses import replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from svoykrug_server.storage.audit import AuditEvent, AuditResult, Origin, event_of_call


class Call(Origin, Protocol):
    """Where a call came from and in which language to answer; `rpc.context.CallContext` is one.

    `peer_address` is what the limits of sends count: an IPv4 address, the /64 of an IPv6 address, or `unix`.
    """

    @property
    def locale(self) -> str:
        """The language of texts for a person: `ru` or `en`."""
        ...


def event_of(
    call: Call,
    action: str,
    event_time: datetime,
    *,
    target: tuple[str, str],
    actor_id: UUID | None = None,
    result: AuditResult = AuditResult.DONE,
    details: dict[str, object] | None = None,
) -> AuditEvent:
    """Returns the event of something done or refused in a call.

    Args:
        call: The call.
        action: What was done, in capitals.
        event_time: When; aware.
        target: The kind and the id of what it was done to.
        actor_id: Who acted, where the call itself did not know yet.
        result: Whether it was done or refused.
        details: Further facts as JSON values; never personal data.
    """
    event = event_of_call(call, action, event_time, target=target, details=details)
    return replace(event, result=result, actor_id=actor_id or event.actor_id)
