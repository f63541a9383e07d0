"""Calls as an attacker makes them: any method by its path, any bytes, any metadata."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

Metadata = tuple[tuple[str, str], ...]
DEADLINE_SECONDS = 5.0
# Where the server ends a call into which grpc.aio still writes, grpc.aio may say this in place of what the server said
# (grpc/grpc#36066).
ANSWER_LOST = "Internal error from Core"


def path_of(method: MethodDescriptor) -> str:
    """Returns a method's path on the wire."""
    return f"/{method.containing_service.full_name}/{method.name}"


def shape_of(method: MethodDescriptor) -> tuple[bool, bool]:
    """Returns whether the client and whether the server streams."""
    proto = descriptor_pb2.MethodDescriptorProto()
    method.CopyToProto(proto)
    return proto.client_streaming, proto.server_streaming


async def answer_to(
    channel: grpc.aio.Channel,
    method: MethodDescriptor,
    messages: Sequence[bytes],
    metadata: Metadata,
    *,
    seconds: float = DEADLINE_SECONDS,
    most_answers: int = 1,
) -> grpc.aio.AioRpcError | None:
    """Calls a method with bytes, and returns the error it ends with; None when it answers.

    A stream whose answer grpc.aio lost while writing is sent again with a message less.

    Args:
        channel: A channel to the server.
        method: The method.
        messages: The requests, each as bytes; exactly one where the client does not stream.
        metadata: What is sent along.
        seconds: The deadline.
        most_answers: After how many messages a stream of answers is cancelled.
    """
    error = await _answer_to(channel, method, messages, metadata, seconds, most_answers)
    while error is not None and error.details() == ANSWER_LOST and len(messages) > 1:
        messages = messages[:-1]
        error = await _answer_to(channel, method, messages, metadata, seconds, most_answers)
    return error


async def _answer_to(
    channel: grpc.aio.Channel,
    method: MethodDescriptor,
    messages: Sequence[bytes],
    metadata: Metadata,
    seconds: float,
    most_answers: int,
) -> grpc.aio.AioRpcError | None:
    client_streams, server_streams = shape_of(method)
    shape = f"{'stream' if client_streams else 'unary'}_{'stream' if server_streams else 'unary'}"
    call: Callable[..., Any] = getattr(channel, shape)(path_of(method))
    running = call(_stream(messages) if client_streams else messages[0], metadata=metadata, timeout=seconds)
    try:
        if server_streams:
            await _read(running, most_answers)
        else:
            await running
    except grpc.aio.AioRpcError as error:
        return error
    return None


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Returns the reason that an error names."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it needs code, details and trailers: an aio error has them
    info = error_details_pb2.ErrorInfo()
    for detail in [] if status is None else status.details:
        detail.Unpack(info)
    return info.reason


async def _read(running: Any, most_answers: int) -> None:
    for _ in range(most_answers):
        if await running.read() is grpc.aio.EOF:
            break
    else:
        running.cancel()
        return
    code = await running.code()
    if code is not grpc.StatusCode.OK:
        raise grpc.aio.AioRpcError(
            code, await running.initial_metadata(), await running.trailing_metadata(), await running.details()
        )


async def _stream(messages: Sequence[bytes]) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


async def reflected_services(channel: grpc.aio.Channel) -> set[str]:
    """Returns the services that the server says it has."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub  # its published types know blocking channels only
    call = stub(channel).ServerReflectionInfo(_once(reflection_pb2.ServerReflectionRequest(list_services="")))
    answer = await call.read()
    call.cancel()
    return {service.name for service in answer.list_services_response.service}


async def _once(
    request: reflection_pb2.ServerReflectionRequest,
) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    yield request


def methods_of(services: Iterable[str]) -> list[MethodDescriptor]:
    """Returns every method of some services, found in the descriptors."""
    pool = descriptor_pool.Default()
    return [method for service in services for method in pool.FindServiceByName(service).methods]
