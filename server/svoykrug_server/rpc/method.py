"""What the edge must know of one method, read from the descriptors when the server starts."""

from dataclasses import dataclass, field

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from svoykrug.common.v1 import method_options_pb2

from svoykrug_server.rpc.access import STANDARD_SERVICES, AccessRule, AccessRuleError, rule_of

DEFAULT_DEADLINE_SECONDS = 10.0
TURNS = {"svoykrug.analytics.v1.AnalyticsService": 4}
"""Of services whose calls count as several where it is bounded how often one caller calls: as many times the processor
time of the others they take, in the warehouse's threads."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a registered service.

    Attributes:
        service: The service's full name.
        name: The method's name within it.
        rule: Who may call it.
        default_deadline_seconds: The deadline of a call that brings none; None for an endless stream.
        is_standard: Whether it is of gRPC's own services: never shed, and logged only for debugging.
        turns: How many calls one counts as where it is bounded how often one caller calls.
        path: The name on the wire, such as `/svoykrug.users.v1.UsersService/GetMe`.
    """

    service: str
    name: str
    rule: AccessRule
    default_deadline_seconds: float | None = DEFAULT_DEADLINE_SECONDS
    is_standard: bool = False
    turns: int = 1
    path: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", f"/{self.service}/{self.name}")


def methods_of(service: str) -> dict[str, Method]:
    """Reads every method of a service.

    Args:
        service: The full name; its descriptor is in the default pool.

    Raises:
        AccessRuleError: Methods without a rule, or with one that contradicts itself: all of them are named.
    """
    descriptor = descriptor_pool.Default().FindServiceByName(service)
    if service in STANDARD_SERVICES:
        return _standard_methods(descriptor)
    methods: dict[str, Method] = {}
    wrong: list[str] = []
    for method in descriptor.methods:
        try:
            rule = rule_of(method)
        except AccessRuleError as error:
            wrong.append(str(error))
        else:
            deadline_seconds = _default_deadline_seconds(method)
            methods[method.name] = Method(service, method.name, rule, deadline_seconds, turns=TURNS.get(service, 1))
    if wrong:
        raise AccessRuleError("; ".join(wrong))
    return methods


def _standard_methods(service: ServiceDescriptor) -> dict[str, Method]:
    standard = STANDARD_SERVICES[service.full_name]
    return {
        method.name: Method(
            service.full_name,
            method.name,
            standard.rule,
            None if method.name in standard.endless else DEFAULT_DEADLINE_SECONDS,
            is_standard=True,
        )
        for method in service.methods
    }


def _default_deadline_seconds(method: MethodDescriptor) -> float | None:
    call = method.GetOptions().Extensions[method_options_pb2.call]
    if call.endless:
        return None
    seconds = call.default_deadline.ToTimedelta().total_seconds()
    return seconds or DEFAULT_DEADLINE_SECONDS
