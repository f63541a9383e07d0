"""Who changes service accounts and keys: an admin in a call, or an operator at the machine's command line."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from svoykrug_server.storage import idempotency
from svoykrug_server.storage.audit import ActorKind, AuditEvent, Origin, event_of_call
from svoykrug_server.storage.idempotency import RequestKey

Author = Origin | None
"""The call of an admin; None for an operator, who needs no account to be believed."""

_OPERATOR = "operator"
_SERVICE = "/svoykrug.auth.v1.AuthAdminService/"


def event_by(
    author: Author,
    action: str,
    event_time: datetime,
    target: tuple[str, str],
    details: Mapping[str, object] | None = None,
) -> AuditEvent:
    """Returns the event of a change.

    Args:
        author: Who made it.
        action: What was done, in capitals.
        event_time: When; aware.
        target: The kind and the id of what it was done to.
        details: Further facts as JSON values; never personal data.
    """
    if author is not None:
        return event_of_call(author, action, event_time, target=target, details=details)
    kind, target_id = target
    return AuditEvent(
        action, event_time, ActorKind.OPERATOR, target_kind=kind, target_id=target_id, details=details or {}
    )


def request_key(author: Author, method: str, request_id: UUID, body: Mapping[str, object]) -> RequestKey:
    """Returns which request this is.

    Args:
        author: Who asks.
        method: The name of the method in AuthAdminService.
        request_id: What the author chose.
        body: Everything in the request that matters.
    """
    caller = None if author is None else author.caller
    subject = _OPERATOR if caller is None else str(caller.subject_id)
    return RequestKey(subject, f"{_SERVICE}{method}", request_id, idempotency.hash_of(body))
