"""Step: who may call a method, by the rule that stands in its proto."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast
from uuid import UUID

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.message import Message
from svoykrug.access.v1 import access_pb2

from svoykrug_server.kit.caller import Caller, Role, StaffRole
from svoykrug_server.kit.errors import FailedPrecondition, PermissionDenied, Unauthenticated

HEADER = "authorization"
_BUSINESS_ROLES: Mapping[int, frozenset[StaffRole]] = {
    access_pb2.CALLER_BUSINESS_STAFF: frozenset({StaffRole.STAFF, StaffRole.OWNER}),
    access_pb2.CALLER_BUSINESS_OWNER: frozenset({StaffRole.OWNER}),
}
_CIRCLE_ROLES: Mapping[int, frozenset[Role]] = {
    access_pb2.CALLER_MEMBER: frozenset({Role.MEMBER}),
    access_pb2.CALLER_ADMIN: frozenset({Role.ADMIN, Role.SUPERADMIN}),
    access_pb2.CALLER_SUPERADMIN: frozenset({Role.SUPERADMIN}),
}


class TokenVerifier(Protocol):
    """Tells who holds an access token."""

    async def verify(self, token: str) -> Caller:
        """Returns who holds the token.

        Raises:
            Unauthenticated: TOKEN_INVALID, TOKEN_EXPIRED, ACCESS_TOKEN_REVOKED or SESSION_REVOKED.
            Unavailable: It cannot be told now whether the token was revoked.
        """
        ...


class AccessRuleError(ValueError):
    """A method has no access rule, or one that contradicts itself: the server must not start."""


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Who may call one method.

    Attributes:
        public: Anyone, also without a token; the other fields are empty.
        roles: Any of these roles in the circle admits.
        scope: A service with this scope is admitted; empty admits no service.
        business_roles: Any of these roles at the business that the request names admits.
        business_path: The path of the request's field that names the business; empty without `business_roles`.
        deleted: A person whose account is deleted is admitted; she is admitted by nothing else.
        loopback_only: Callers from other machines are refused, whoever they are.
    """

    public: bool = False
    roles: frozenset[Role] = frozenset()
    scope: str = ""
    business_roles: frozenset[StaffRole] = frozenset()
    business_path: tuple[str, ...] = ()
    deleted: bool = False
    loopback_only: bool = False

    def admits(self, caller: Caller) -> bool:
        """Tells whether a caller may call whatever the request says."""
        if not self.roles.isdisjoint(caller.roles):
            return True
        return bool(self.scope) and caller.is_service and self.scope in caller.scopes

    def admits_at_business(self, caller: Caller, request: Message) -> bool:
        """Tells whether a caller may call because of its role at the business that the request names."""
        if not self.business_roles or not caller.staff:
            return False
        named: object = request
        for name in self.business_path:
            named = getattr(named, name)
        try:
            return caller.staff.get(UUID(cast(str, named))) in self.business_roles
        except ValueError:
            return False

    def check(self, caller: Caller, request: Message | None) -> None:
        """Refuses a caller that matches no kind of the rule.

        Args:
            caller: Who is calling.
            request: The request, or a stream's first one; None when the stream ended before it.

        Raises:
            FailedPrecondition: USER_DELETED, to a person whose account is deleted.
            PermissionDenied: Also when the business does not exist: the two cannot be told apart.
        """
        if caller.deleted:
            if not self.deleted:
                raise FailedPrecondition("USER_DELETED")
            return
        if not self.admits(caller) and (request is None or not self.admits_at_business(caller, request)):
            raise PermissionDenied


@dataclass(frozen=True, slots=True)
class StandardService:
    """A service of gRPC's own, whose proto cannot carry our rule.

    Attributes:
        rule: Who may call all its methods.
        endless: The methods that run until the caller ends them.
    """

    rule: AccessRule
    endless: frozenset[str] = frozenset()


# The one table of services without a rule in their proto. Being here does not switch one on: settings do.
STANDARD_SERVICES: Mapping[str, StandardService] = {
    "grpc.health.v1.Health": StandardService(AccessRule(public=True), frozenset({"Watch"})),
    "grpc.reflection.v1alpha.ServerReflection": StandardService(
        AccessRule(public=True), frozenset({"ServerReflectionInfo"})
    ),
    "grpc.channelz.v1.Channelz": StandardService(AccessRule(public=True, loopback_only=True)),
}


def rule_of(method: MethodDescriptor) -> AccessRule:
    """Reads a method's rule from its proto.

    Raises:
        AccessRuleError: There is none, or it contradicts itself; the message says what is wrong.
    """
    options = method.GetOptions()
    if not options.HasExtension(access_pb2.rule):
        raise AccessRuleError(f"{method.full_name}: has no (svoykrug.access.v1.rule)")
    rule = options.Extensions[access_pb2.rule]
    wrong = _contradiction(rule, method.input_type)
    if wrong:
        raise AccessRuleError(f"{method.full_name}: {wrong}")
    return AccessRule(
        public=access_pb2.CALLER_PUBLIC in rule.callers,
        roles=_union(_CIRCLE_ROLES, rule),
        scope=rule.scope,
        business_roles=_union(_BUSINESS_ROLES, rule),
        deleted=access_pb2.CALLER_DELETED_MEMBER in rule.callers,
        business_path=tuple(rule.business_field.split(".")) if rule.business_field else (),
    )


def scopes_of(files: Iterable[FileDescriptor]) -> frozenset[str]:
    """Returns every scope that a method of these files asks of a service.

    Raises:
        AccessRuleError: A method has no rule, or one that contradicts itself.
    """
    services = [service for file in files for service in file.services_by_name.values()]
    return frozenset(rule_of(method).scope for service in services for method in service.methods) - {""}


def bearer_token(header: str | None) -> str:
    """Returns the token of an `authorization` header.

    Raises:
        Unauthenticated: TOKEN_MISSING without a header, TOKEN_INVALID when it is not `Bearer <token>`.
    """
    if not header:
        raise Unauthenticated("TOKEN_MISSING")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("TOKEN_INVALID")
    return token


def _contradiction(rule: access_pb2.Rule, request: Descriptor) -> str:
    """Returns what is wrong with a rule, or nothing."""
    kinds = set(rule.callers)
    if not kinds or access_pb2.CALLER_UNSPECIFIED in kinds:
        return "the rule names no caller, or an unspecified one"
    if access_pb2.CALLER_PUBLIC in kinds and len(kinds) > 1:
        return "CALLER_PUBLIC does not stand alone"
    if (access_pb2.CALLER_SERVICE in kinds) != bool(rule.scope):
        return "a scope is named exactly when CALLER_SERVICE may call"
    if kinds.isdisjoint(_BUSINESS_ROLES) == bool(rule.business_field):
        return "a business_field is named exactly when a business kind may call"
    if rule.business_field and not _is_string_field(request, rule.business_field):
        return f"{request.full_name} has no string field {rule.business_field}"
    return ""


def _is_string_field(message: Descriptor, path: str) -> bool:
    """Tells whether a dotted path leads to a single string."""
    field: FieldDescriptor | None = None
    within: Descriptor | None = message
    for name in path.split("."):
        field = within.fields_by_name.get(name) if within is not None else None
        if field is None or field.is_repeated:
            return False
        within = field.message_type
    return field is not None and field.type == FieldDescriptor.TYPE_STRING


def _union(roles_by_kind: Mapping[int, frozenset[Any]], rule: access_pb2.Rule) -> frozenset[Any]:
    return frozenset().union(*(roles_by_kind.get(kind, frozenset()) for kind in rule.callers))
