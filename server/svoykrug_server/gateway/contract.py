"""What Envoy must know of the contract to turn JSON into protobuf and back."""

import base64
import re
from collections.abc import Iterator
from typing import Any

from google.api.annotations_pb2 import http

# Whatever an error may carry must be known as well: what cannot be written as JSON would leave its body empty.
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from google.rpc import error_details_pb2, status_pb2
from svoykrug.analytics.v1 import analytics_service_pb2
from svoykrug.auth.v1 import auth_admin_service_pb2, auth_service_pb2
from svoykrug.businesses.v1 import businesses_service_pb2
from svoykrug.operations.v1 import operations_service_pb2
from svoykrug.purchases.v1 import purchases_service_pb2
from svoykrug.users.v1 import users_service_pb2

_FILES: tuple[FileDescriptor, ...] = (
    analytics_service_pb2.DESCRIPTOR,
    auth_admin_service_pb2.DESCRIPTOR,
    auth_service_pb2.DESCRIPTOR,
    businesses_service_pb2.DESCRIPTOR,
    operations_service_pb2.DESCRIPTOR,
    purchases_service_pb2.DESCRIPTOR,
    users_service_pb2.DESCRIPTOR,
)
_OF_ERRORS: tuple[FileDescriptor, ...] = (status_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR)

SERVICES = tuple(sorted(name.full_name for file in _FILES for name in file.services_by_name.values()))
"""The full name of each service of ours."""


def descriptor_set() -> str:
    """Returns every file of the contract, each after those it imports, as base64."""
    known: dict[str, FileDescriptor] = {}
    for file in (*_FILES, *_OF_ERRORS):
        _add(file, known)
    protos = (descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb) for file in known.values())
    return base64.b64encode(descriptor_pb2.FileDescriptorSet(file=protos).SerializeToString()).decode()


def stream_paths() -> Iterator[str]:
    """Yields the paths that are answered with a stream, each as a regular expression."""
    for file in _FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                options: Any = method.GetOptions()
                main = options.Extensions[http]
                for rule in (main, *main.additional_bindings) if method.server_streaming else ():
                    yield re.sub(r"\{[a-z_]+\}", "[^/]+", getattr(rule, rule.WhichOneof("pattern")))


def _add(file: FileDescriptor, known: dict[str, FileDescriptor]) -> None:
    for imported in file.dependencies:
        _add(imported, known)
    known.setdefault(file.name, file)
