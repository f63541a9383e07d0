"""What the contract says of each method, read from its descriptors once."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from svoykrug.access.v1 import access_pb2
from svoykrug.analytics.v1 import analytics_service_pb2
from svoykrug.auth.v1 import auth_admin_service_pb2, auth_service_pb2
from svoykrug.businesses.v1 import businesses_service_pb2
from svoykrug.common.v1 import method_options_pb2
from svoykrug.operations.v1 import operations_service_pb2
from svoykrug.purchases.v1 import purchases_service_pb2
from svoykrug.users.v1 import users_service_pb2

DEFAULT_DEADLINE = timedelta(seconds=10)
_RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.2s",
    "maxBackoff": "3s",
    "backoffMultiplier": 2.5,
    # A server that stops answers CANCELLED to what reaches it in the last milliseconds, unseen (grpc#41785).
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}


@dataclass(frozen=True, slots=True)
class Method:
    """What a client must know of a method.

    Attributes:
        public: It is called without a token.
        deadline: The deadline of a call that names none; None for a stream that the caller ends.
        repeatable: It may be sent again when the server was unavailable.
    """

    public: bool
    deadline: timedelta | None
    repeatable: bool


@cache
def methods() -> dict[str, Method]:
    """Returns every method of the contract by its full path, such as `/svoykrug.users.v1.UsersService/GetMe`."""
    return {
        f"/{service.full_name}/{method.name}": _read(method) for service in _services() for method in service.methods
    }


@cache
def service_config() -> str:
    """Returns the gRPC service config (JSON): what a server that goes away answers is retried where it may be."""
    repeatable = [path[1:].split("/") for path, method in methods().items() if method.repeatable]
    names = [{"service": service, "method": method} for service, method in repeatable]
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": _RETRY_POLICY}]})


def _services() -> Iterable[ServiceDescriptor]:
    for module in (
        auth_service_pb2,
        auth_admin_service_pb2,
        users_service_pb2,
        businesses_service_pb2,
        purchases_service_pb2,
        analytics_service_pb2,
        operations_service_pb2,
    ):
        yield from module.DESCRIPTOR.services_by_name.values()


def _read(method: MethodDescriptor) -> Method:
    options = method.GetOptions()
    call = options.Extensions[method_options_pb2.call]
    stated = call.default_deadline.ToTimedelta() if call.HasField("default_deadline") else DEFAULT_DEADLINE
    return Method(
        public=access_pb2.CALLER_PUBLIC in options.Extensions[access_pb2.rule].callers,
        deadline=None if call.endless else stated,
        # A stream of requests cannot be sent again by the transport: `import_purchases` does it.
        repeatable=options.idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN and not method.client_streaming,
    )
