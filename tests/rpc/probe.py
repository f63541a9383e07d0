"""A service of the tests' own, with one method for every shape of call and kind of rule, made at run time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

import grpc
from buf.validate import validate_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from svoykrug.access.v1 import access_pb2
from svoykrug.common.v1 import method_options_pb2

PACKAGE = "svoykrug.probe.v1"
SERVICE = f"{PACKAGE}.ProbeService"
Servicer = Mapping[str, Callable[..., Any]]
_Field = descriptor_pb2.FieldDescriptorProto


def _request() -> descriptor_pb2.DescriptorProto:
    message = descriptor_pb2.DescriptorProto(name="ProbeRequest")
    text = message.field.add(name="text", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
    text.options.Extensions[validate_pb2.field].string.max_len = 10
    message.field.add(name="business_id", number=2, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
    rows = message.field.add(
        name="rows", number=3, type=_Field.TYPE_MESSAGE, label=_Field.LABEL_REPEATED, type_name=f".{PACKAGE}.Row"
    )
    rows.options.Extensions[validate_pb2.field].repeated.max_items = 1000
    message.field.add(name="blob", number=4, type=_Field.TYPE_BYTES, label=_Field.LABEL_OPTIONAL)
    return message


def _row() -> descriptor_pb2.DescriptorProto:
    message = descriptor_pb2.DescriptorProto(name="Row")
    amount = message.field.add(name="amount_minor", number=1, type=_Field.TYPE_INT64, label=_Field.LABEL_OPTIONAL)
    amount.options.Extensions[validate_pb2.field].int64.gte = 0
    return message


def _rule(kinds: list[access_pb2.Caller.ValueType], scope: str, business_field: str) -> access_pb2.Rule:
    return access_pb2.Rule(callers=kinds, scope=scope, business_field=business_field)


def _method(
    name: str,
    rule: access_pb2.Rule | None,
    *,
    client_streaming: bool = False,
    server_streaming: bool = False,
    deadline_ms: int = 0,
    endless: bool = False,
) -> descriptor_pb2.MethodDescriptorProto:
    method = descriptor_pb2.MethodDescriptorProto(
        name=name,
        input_type=f".{PACKAGE}.ProbeRequest",
        output_type=f".{PACKAGE}.ProbeRequest",
        client_streaming=client_streaming,
        server_streaming=server_streaming,
    )
    if rule is not None:
        method.options.Extensions[access_pb2.rule].CopyFrom(rule)
    call = method.options.Extensions[method_options_pb2.call]
    call.default_deadline.FromMilliseconds(deadline_ms)
    call.endless = endless
    return method


_PUBLIC = _rule([access_pb2.CALLER_PUBLIC], "", "")
_MEMBER = _rule([access_pb2.CALLER_MEMBER], "", "")
_PERSON = _rule([access_pb2.CALLER_MEMBER, access_pb2.CALLER_DELETED_MEMBER], "", "")
_SERVICE = _rule([access_pb2.CALLER_SERVICE, access_pb2.CALLER_ADMIN], "probe.read", "")
_SUPERADMIN = _rule([access_pb2.CALLER_SUPERADMIN], "", "")
_STAFF = _rule([access_pb2.CALLER_BUSINESS_STAFF, access_pb2.CALLER_ADMIN], "", "business_id")
_OWNER = _rule([access_pb2.CALLER_BUSINESS_OWNER], "", "business_id")
_METHODS = [
    _method("Echo", _PUBLIC),
    _method("Mine", _MEMBER),
    _method("Leave", _PERSON),
    _method("Serve", _SERVICE),
    _method("Reign", _SUPERADMIN),
    _method("Sell", _STAFF),
    _method("Own", _OWNER),
    _method("Hurry", _PUBLIC, deadline_ms=50),
    _method("Count", _PUBLIC, server_streaming=True),
    _method("Watch", _PUBLIC, server_streaming=True, endless=True),
    _method("Upload", _STAFF, client_streaming=True),
    _method("Chat", _PUBLIC, client_streaming=True, server_streaming=True),
]


def add_file(
    name: str, service: descriptor_pb2.ServiceDescriptorProto, *messages: descriptor_pb2.DescriptorProto
) -> None:
    """Adds a file with one service to the pool."""
    file = descriptor_pb2.FileDescriptorProto(
        name=name,
        package=PACKAGE,
        syntax="proto3",
        dependency=[
            "buf/validate/validate.proto",
            "svoykrug/access/v1/access.proto",
            "svoykrug/common/v1/method_options.proto",
        ],
        service=[service],
        message_type=messages,
    )
    if not messages:
        file.dependency.append("svoykrug/probe/v1/probe.proto")
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())


add_file(
    "svoykrug/probe/v1/probe.proto",
    descriptor_pb2.ServiceDescriptorProto(name="ProbeService", method=_METHODS),
    _row(),
    _request(),
)
ProbeRequest: type[Any] = message_factory.GetMessageClass(
    descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}.ProbeRequest")
)
probe_method = _method


def add_service(server: grpc.aio.Server, servicer: Servicer, service: str = SERVICE) -> None:
    """Registers a servicer as generated code does.

    Args:
        server: Where to.
        servicer: The functions of the servicer by method name; methods left out answer with their request.
        service: The full name of the service.
    """
    descriptor = descriptor_pool.Default().FindServiceByName(service)
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for method in descriptor.methods:
        proto = descriptor_pb2.MethodDescriptorProto()
        method.CopyToProto(proto)
        shape = f"{'stream' if proto.client_streaming else 'unary'}_{'stream' if proto.server_streaming else 'unary'}"
        make = getattr(grpc, f"{shape}_rpc_method_handler")
        behavior = servicer.get(method.name, _DEFAULTS[shape])
        handlers[method.name] = make(behavior, ProbeRequest.FromString, ProbeRequest.SerializeToString)
    server.add_registered_method_handlers(service, handlers)


async def _echo(request: Message, _context: object) -> Message:
    return request


async def _echo_many(request: Message, _context: object) -> AsyncIterator[Message]:
    for _ in range(3):
        yield request


async def _last(requests: AsyncIterator[Message], _context: object) -> Message:
    last = ProbeRequest()
    async for request in requests:
        last = request
    return cast(Message, last)


async def _echo_each(requests: AsyncIterator[Message], _context: object) -> AsyncIterator[Message]:
    async for request in requests:
        yield request


_DEFAULTS: Mapping[str, Callable[..., Any]] = {
    "unary_unary": _echo,
    "unary_stream": _echo_many,
    "stream_unary": _last,
    "stream_stream": _echo_each,
}


class Stub:
    """Calls the probe service.

    Args:
        channel: The channel to the server.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = next(method for method in _METHODS if method.name == name)
        shape = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        make = getattr(self.channel, shape)
        return cast(
            Callable[..., Awaitable[Any]],
            make(f"/{SERVICE}/{name}", ProbeRequest.SerializeToString, ProbeRequest.FromString),
        )
