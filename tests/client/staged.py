"""A real gRPC server that plays the service's part as a test says, for failures the service cannot be made to have."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pool, duration_pb2, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from svoykrug_client._methods import methods

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[Any, Context], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with an error as the service makes it.

    Attributes:
        reason: An `ErrorReason` without its prefix, also one of the future.
        code: Its status code.
        metadata: Its facts.
        bad_fields: Rules by path.
        retry_after: When waiting helps.
    """

    reason: str
    code: grpc.StatusCode
    metadata: Mapping[str, str] = field(default_factory=dict)
    bad_fields: Mapping[str, str] = field(default_factory=dict)
    retry_after: timedelta | None = None

    def status(self) -> status_pb2.Status:
        """Returns it as it travels."""
        details: list[Message] = [
            error_details_pb2.ErrorInfo(reason=self.reason, domain="svoykrug", metadata=self.metadata),
            error_details_pb2.LocalizedMessage(locale="ru", message="Так нельзя."),
            error_details_pb2.RequestInfo(request_id="request-7"),
        ]
        if self.bad_fields:
            violations = [
                error_details_pb2.BadRequest.FieldViolation(field=path, description=rule)
                for path, rule in self.bad_fields.items()
            ]
            details.append(error_details_pb2.BadRequest(field_violations=violations))
        if self.retry_after is not None:
            delay = duration_pb2.Duration()
            delay.FromTimedelta(self.retry_after)
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        status = status_pb2.Status(code=self.code.value[0], message="refused")
        for detail in details:
            status.details.add().Pack(detail)
        return status


@dataclass(frozen=True, slots=True)
class Plain:
    """An error without details, as a proxy or the transport makes it."""

    code: grpc.StatusCode
    text: str = "upstream connect error"
    trailers: tuple[tuple[str, str | bytes], ...] = ()


Act = Message | Refusal | Plain | Handler


@dataclass(frozen=True, slots=True)
class Received:
    """A call that arrived.

    Attributes:
        request: Its request; None of a stream.
        metadata: What came with it.
        seconds_left: Until its deadline.
    """

    request: Any
    metadata: Mapping[str, str]
    seconds_left: float | None

    @property
    def token(self) -> str | None:
        """The access token it carried."""
        bearer = self.metadata.get("authorization")
        return bearer and bearer.removeprefix("Bearer ")


class StagedServer(grpc.GenericRpcHandler):
    """Answers each method's calls by the acts a test gave it, in their order; the last act is repeated.

    An act is an answer, a refusal, or a function of the request and the context. For a stream of answers an act is a
    list of such, each sent in turn.
    """

    def __init__(self) -> None:
        find = descriptor_pool.Default().FindMethodByName
        self._methods = {path: find(path[1:].replace("/", ".")) for path in methods()}
        self._acts: dict[str, list[Any]] = {}
        self._received: dict[str, list[Received]] = {}
        self.target = ""

    def plays(self, method: str, *acts: Any) -> None:
        """Says how a method, such as `GetMe`, answers from now on."""
        assert acts
        self._acts[method] = list(acts)

    def received(self, method: str) -> list[Received]:
        """The calls of a method so far."""
        return self._received.setdefault(method, [])

    def requests(self, method: str) -> list[Any]:
        """The requests of a method so far."""
        return [call.request for call in self.received(method)]

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Finds a method."""
        path: Any = handler_call_details.method
        method = self._methods[path if isinstance(path, str) else path.decode()]
        kinds: dict[tuple[bool, bool], tuple[Any, Any]] = {
            (False, False): (grpc.unary_unary_rpc_method_handler, self._answer),
            (False, True): (grpc.unary_stream_rpc_method_handler, self._answers),
            (True, False): (grpc.stream_unary_rpc_method_handler, self._answer),
        }
        make, behaviour = kinds[method.client_streaming, method.server_streaming]
        read = message_factory.GetMessageClass(method.input_type).FromString
        handler: grpc.RpcMethodHandler[Any, Any] = make(
            partial(behaviour, method), request_deserializer=read, response_serializer=_written
        )
        return handler

    async def _answer(self, method: MethodDescriptor, request: Any, context: Context) -> Message:
        return await self._perform(self._next_act(method, request, context), request, context)

    async def _answers(self, method: MethodDescriptor, request: Any, context: Context) -> AsyncIterator[Message]:
        acts = self._next_act(method, request, context)
        for act in acts if isinstance(acts, list) else [acts]:
            yield await self._perform(act, request, context)

    def _next_act(self, method: MethodDescriptor, request: Any, context: Context) -> Any:
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        call = Received(None if method.client_streaming else request, metadata, context.time_remaining())
        self.received(method.name).append(call)
        acts = self._acts[method.name]
        return acts.pop(0) if len(acts) > 1 else acts[0]

    async def _perform(self, act: Act, request: Any, context: Context) -> Message:
        if isinstance(act, Message):
            return act
        if isinstance(act, Refusal):
            await context.abort_with_status(rpc_status.to_status(act.status()))
        if isinstance(act, Plain):
            await context.abort(act.code, act.text, act.trailers)
        assert callable(act)
        return await act(request, context)


def _written(message: Message) -> bytes:
    return message.SerializeToString()


class Gate:
    """Lets a method's calls wait until the test opens it.

    Args:
        answer: What they answer then.
    """

    def __init__(self, answer: Message) -> None:
        self._answer = answer
        self._open = asyncio.Event()
        self.waiting = 0
        self.cancelled = 0

    def open(self) -> None:
        """Lets all calls go on."""
        self._open.set()

    async def __call__(self, _request: Any, _context: Context) -> Message:
        """Waits, then answers."""
        self.waiting += 1
        try:
            await self._open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self._answer
