"""Every refusal of the domain, as one tree.

    DomainError                 any refusal; names a reason of the error catalogue
    ├── InvalidFields           one or more fields break a rule
    ├── Unauthenticated         who is calling is not known
    ├── PermissionDenied        the caller may not, or it does not exist
    ├── NotFound                it does not exist (admins and services only)
    ├── Conflict                somebody else changed or created it first
    ├── FailedPrecondition      the state of things forbids it now
    ├── Limited                 too often: wait and repeat
    └── Unavailable             a store or the server itself is away: wait and repeat

A reason is the name of a value of `svoykrug.common.v1.ErrorReason` without its prefix; the catalogue, not this
module, decides the gRPC status code and the texts. A test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that breaks a rule.

    Attributes:
        path: The field's path in the request, such as `purchases[3].amount_minor`.
        description: The rule in words; never the value.
    """

    path: str
    description: str


class DomainError(Exception):
    """A refusal that the caller can understand and act on.

    Args:
        reason: The name of an `ErrorReason` value without its prefix; by default the class's own.
        metadata: Facts for programs, such as `guesses_left`; never personal data.
        retry_after: How long to wait before the same call may succeed.
        violations: The fields that break a rule.
    """

    default_reason = "INTERNAL"

    def __init__(
        self,
        reason: str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after: timedelta | None = None,
        violations: tuple[FieldViolation, ...] = (),
    ) -> None:
        self.reason = reason or self.default_reason
        self.metadata: Mapping[str, str] = metadata or {}
        self.retry_after = retry_after
        self.violations = violations
        super().__init__(self.reason)


class InvalidFields(DomainError):
    """One or more fields of the request break a rule."""

    default_reason = "INVALID_FIELDS"

    @classmethod
    def of(cls, path: str, description: str, reason: str | None = None) -> "InvalidFields":
        """Refuses one field.

        Args:
            path: The field's path in the request.
            description: The rule in words; never the value.
            reason: A more exact reason than INVALID_FIELDS.
        """
        return cls(reason, violations=(FieldViolation(path, description),))


class Unauthenticated(DomainError):
    """Who is calling is not known: no token, or one that is not valid (any more)."""

    default_reason = "TOKEN_INVALID"


class PermissionDenied(DomainError):
    """The caller may not do this, or what it names does not exist."""

    default_reason = "PERMISSION_DENIED"


class NotFound(DomainError):
    """What the request names does not exist; said to admins and services only."""

    default_reason = "NOT_FOUND"


class Conflict(DomainError):
    """Somebody else changed or created it first."""

    default_reason = "STALE_ETAG"


class FailedPrecondition(DomainError):
    """The state of things forbids it; a precise reason is required.

    Raises:
        ValueError: No reason was given.
    """

    def __init__(
        self,
        reason: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after: timedelta | None = None,
        violations: tuple[FieldViolation, ...] = (),
    ) -> None:
        if not reason:
            raise ValueError("a failed precondition names its reason")
        super().__init__(reason, metadata=metadata, retry_after=retry_after, violations=violations)


class Limited(DomainError):
    """Too often or too many at once: wait for `retry_after` and repeat."""

    default_reason = "OVERLOADED"


class Unavailable(DomainError):
    """A store or the server itself is away: wait for `retry_after` and repeat."""

    default_reason = "STORE_UNAVAILABLE"


class StoreUnavailable(Unavailable):
    """PostgreSQL cannot be reached now."""

    def __init__(self, retry_after: timedelta = timedelta(seconds=1)) -> None:
        super().__init__("STORE_UNAVAILABLE", retry_after=retry_after)


class WarehouseUnavailable(Unavailable):
    """ClickHouse cannot be reached now."""

    def __init__(self, retry_after: timedelta = timedelta(seconds=5)) -> None:
        super().__init__("WAREHOUSE_UNAVAILABLE", retry_after=retry_after)
