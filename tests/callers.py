"""Callers and calls for tests that start at a service instead of at the network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

from svoykrug_server.kit.caller import Caller, Role, StaffRole

FAR_AWAY = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CallBy:
    """A call in progress, as services and the audit trail see it."""

    caller: Caller | None
    request_id: str = field(default_factory=lambda: str(uuid4()))
    peer_address: str = "203.0.113.7"


def person(user_id: UUID | None = None, *roles: Role, staff: Mapping[UUID, StaffRole] | None = None) -> Caller:
    """Returns a signed-in person; a member unless roles are named."""
    return Caller(
        subject_id=user_id or uuid4(),
        token_id=str(uuid4()),
        expire_time=FAR_AWAY,
        session_id=uuid4(),
        roles=frozenset(roles or {Role.MEMBER}),
        staff=staff or {},
    )


def admin(user_id: UUID | None = None) -> Caller:
    """Returns a signed-in admin."""
    return person(user_id, Role.MEMBER, Role.ADMIN)


def service(*scopes: str) -> Caller:
    """Returns a service account with scopes."""
    return Caller(subject_id=uuid4(), token_id=str(uuid4()), expire_time=FAR_AWAY, scopes=frozenset(scopes))
