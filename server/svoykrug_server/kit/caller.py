"""Who is calling: what a verified access token says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """A role of a person in the whole circle."""

    MEMBER = "member"
    ADMIN = "admin"
    SUPERADMIN = "superadmin"


class StaffRole(StrEnum):
    """A role of a person at one business."""

    STAFF = "staff"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Caller:
    """A person or a service that proved who it is.

    Attributes:
        subject_id: The user's id, or the service account's.
        token_id: The access token's `jti`.
        expire_time: When the access token dies by itself.
        session_id: The person's session; None for a service.
        roles: The person's roles in the circle; empty for a service.
        staff: The person's role at each business she works for.
        scopes: The service's scopes; empty for a person.
        deleted: Whether the person deleted her account and is not erased yet; then she has neither roles nor staff.
    """

    subject_id: UUID
    token_id: str
    expire_time: datetime
    session_id: UUID | None = None
    roles: frozenset[Role] = frozenset()
    staff: Mapping[UUID, StaffRole] = field(default_factory=dict)
    scopes: frozenset[str] = frozenset()
    deleted: bool = False

    @property
    def is_service(self) -> bool:
        """Whether a service account is calling."""
        return self.session_id is None

    @property
    def is_admin(self) -> bool:
        """Whether an admin or a superadmin is calling."""
        return Role.ADMIN in self.roles or Role.SUPERADMIN in self.roles

    def works_at(self, business_id: UUID) -> bool:
        """Tells whether the person is staff or owner of a business."""
        return business_id in self.staff

    def owns(self, business_id: UUID) -> bool:
        """Tells whether the person owns a business."""
        return self.staff.get(business_id) is StaffRole.OWNER


SYSTEM_ID = UUID("00000000-0000-0000-0000-000000000001")
"""Who has started what the schedule starts: no user and no service account has this id."""


def system_caller() -> Caller:
    """Returns the server itself, which does what the schedule says: no scopes, for nobody checks it."""
    return Caller(SYSTEM_ID, token_id="", expire_time=datetime.max.replace(tzinfo=UTC))
