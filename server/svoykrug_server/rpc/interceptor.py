"""The one interceptor: wraps every handler once, when it is registered, with the steps its method needs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.message import Message

from svoykrug_server.kit.errors import DomainError, InvalidFields
from svoykrug_server.rpc.access import AccessRule
from svoykrug_server.rpc.call import Call, ServicerContext, Steps
from svoykrug_server.rpc.method import Method, methods_of
from svoykrug_server.rpc.metrics import MethodMetrics, RpcMetrics
from svoykrug_server.rpc.shed_call import ShedCall
from svoykrug_server.rpc.shedding import Shedding
from svoykrug_server.rpc.tracing import MethodTracing
from svoykrug_server.rpc.validation import decoded, prepare, validate

MOST_PUBLIC_BYTES = 64 * 1024
"""The largest request of a method that anyone may call: larger ones would cost more to decode than to send."""
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Interceptor(grpc.GenericRpcHandler):
    """Stands between grpc.aio and the servicers: the handler of every method, wrapped once.

    Give it to a generated `add_..._to_server` in place of a server, then to the server as its only handler.

    Args:
        steps: What the steps of every method share.
        metrics: Where calls are counted.
        shedding: Decides which calls are shed before anything else is done for them.
    """

    def __init__(self, steps: Steps, metrics: RpcMetrics, shedding: Shedding) -> None:
        self._steps = steps
        self._metrics = metrics
        self._shedding = shedding
        self._handlers: dict[str, Handler] = {}
        self._own: dict[str, Handler] = {}
        self._shed: dict[str, Handler] = {}
        self._services: list[str] = []
        unknown = Method("unknown", "unknown", AccessRule(public=True))
        self._unknown = _Wrapped(unknown, steps, metrics.of("unknown", "unknown"), _unknown_handler()).handler()

    @property
    def services(self) -> tuple[str, ...]:
        """The full names of the registered services."""
        return tuple(self._services)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Wraps the handlers of a service. Called by generated code.

        Args:
            service: The service's full name.
            handlers: Its handlers by method name.

        Raises:
            AccessRuleError: A method has no access rule, or one that contradicts itself.
            protovalidate.CompilationError: A validation rule cannot be compiled.
        """
        methods = methods_of(service)
        for name, handler in handlers.items():
            method = methods[name]
            metrics = self._metrics.of(service, name)
            wrapped = _Wrapped(method, self._steps, metrics, handler)
            self._handlers[method.path] = wrapped.handler()
            if not method.is_standard:
                self._shed[method.path] = ShedCall(metrics, self._steps.default_locale).handler()
        self._services.append(service)

    def add_generic_rpc_handlers(self, generic_rpc_handlers: object) -> None:
        """Takes what generated code gives a server besides: the same handlers, without their names."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """Returns the wrapped handler of a call, or what sheds it; an unknown method is refused like any other call."""
        path, shedding = handler_call_details.method, self._shedding
        shedding.came += 1
        if shedding.share < 1.0 and path in self._shed and shedding.sheds():
            return self._shed[path]
        return self._handlers.get(path) or self._own.get(path, self._unknown)

    def add_own(self, path: str, handler: Handler) -> None:
        """Takes a handler that no step is put around."""
        self._own[path] = handler


class _Wrapped:
    """The handler of one method with its steps around it."""

    __slots__ = (
        "_behavior", "_deserialize", "_handler", "_loop", "_method", "_metrics", "_needs_request", "_steps", "_tracing",
    )  # fmt: skip

    def __init__(self, method: Method, steps: Steps, metrics: MethodMetrics, handler: Handler) -> None:
        self._method = method
        self._steps = steps
        self._metrics = metrics
        self._handler = handler
        self._tracing = MethodTracing(method)
        self._loop = asyncio.get_running_loop()
        self._deserialize: Callable[[bytes], Any] = handler.request_deserializer or bytes
        self._behavior = cast(
            Callable[[Any, ServicerContext], Any],
            handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream,
        )
        # A stream whose rule asks what business it names waits for its first message before the servicer is called.
        self._needs_request = bool(method.rule.business_roles)
        if handler.request_deserializer is not None:
            prepare(type(decoded(self._deserialize, b"")))

    def handler(self) -> Handler:
        """Returns what grpc.aio is to call. Requests come as bytes: decoding is a step, so that it fails richly."""
        serialize = self._handler.response_serializer
        if self._handler.request_streaming and self._handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(self.stream_stream, None, serialize)
        if self._handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(self.stream_unary, None, serialize)
        if self._handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self.unary_stream, None, serialize)
        return grpc.unary_unary_rpc_method_handler(self.unary_unary, None, serialize)

    async def unary_unary(self, raw: bytes, context: ServicerContext) -> object:
        """Answers a call of one request and one response."""
        call = Call(self._method, self._metrics, self._steps, context)
        try:
            request = await self._admit(call, raw)
            return await self._behavior(request, context)
        except BaseException as error:  # noqa: BLE001 (every way to end is accounted for, then raised again)
            await call.refuse(error)
        finally:
            call.close()

    async def unary_stream(self, raw: bytes, context: ServicerContext) -> None:
        """Answers a call of one request and many responses."""
        call = Call(self._method, self._metrics, self._steps, context)
        try:
            request = await self._admit(call, raw)
            await self._send(self._behavior(request, context), context)
        except BaseException as error:  # noqa: BLE001 (every way to end is accounted for, then raised again)
            await call.refuse(error)
        finally:
            call.close()

    async def stream_unary(self, _receiver: object, context: ServicerContext) -> object:
        """Answers a call of many requests and one response."""
        call = Call(self._method, self._metrics, self._steps, context)
        try:
            requests = await self._admit_stream(call, context)
            return await self._behavior(requests, context)
        except BaseException as error:  # noqa: BLE001 (every way to end is accounted for, then raised again)
            await call.refuse(error)
        finally:
            call.close()

    async def stream_stream(self, _receiver: object, context: ServicerContext) -> None:
        """Answers a call of many requests and many responses."""
        call = Call(self._method, self._metrics, self._steps, context)
        try:
            requests = await self._admit_stream(call, context)
            await self._send(self._behavior(requests, context), context)
        except BaseException as error:  # noqa: BLE001 (every way to end is accounted for, then raised again)
            await call.refuse(error)
        finally:
            call.close()

    async def _admit(self, call: Call, raw: bytes) -> Message:
        """Runs the steps before the servicer: who calls, may it, is the request right; in this order."""
        call.open(self._loop, self._tracing)
        await call.authenticate(len(raw))
        if not self._needs_request:
            call.authorize(None)
        if self._method.rule.public and len(raw) > MOST_PUBLIC_BYTES:
            raise InvalidFields.of("", f"must have no more than {MOST_PUBLIC_BYTES} bytes")
        request = decoded(self._deserialize, raw)
        if self._needs_request:
            call.authorize(request)
        validate(request)
        return request

    async def _admit_stream(self, call: Call, context: ServicerContext) -> AsyncIterator[Message]:
        """Runs the steps before the servicer of a stream; every message is decoded and validated when it is read."""
        call.open(self._loop, self._tracing)
        await call.authenticate(0)
        requests = _Requests(context, self._deserialize, self._metrics)
        call.authorize(await requests.peek() if self._needs_request else None)
        return requests

    async def _send(self, answer: object, context: ServicerContext) -> None:
        """Sends what a servicer yields; one that writes by itself is only awaited."""
        if not hasattr(answer, "__aiter__"):
            await cast(Awaitable[None], answer)
            return
        metrics = self._metrics
        async with aclosing(cast(Any, answer)) as responses:
            async for response in responses:
                await context.write(response)
                metrics.messages_sent += 1


class _Requests:
    """The messages of a client's stream, decoded and validated one by one."""

    __slots__ = ("_context", "_deserialize", "_metrics", "_peeked")

    def __init__(self, context: ServicerContext, deserialize: Callable[[bytes], Any], metrics: MethodMetrics) -> None:
        self._context = context
        self._deserialize = deserialize
        self._metrics = metrics
        self._peeked: Message | None = None

    async def peek(self) -> Message | None:
        """Reads the first message, not validated: the caller may not be admitted. None when the stream is empty."""
        try:
            self._peeked = await self._next()
        except StopAsyncIteration:
            return None
        return self._peeked

    def __aiter__(self) -> "_Requests":
        return self

    async def __anext__(self) -> Message:
        request, self._peeked = self._peeked, None
        if request is None:
            request = await self._next()
        validate(request)
        return request

    async def _next(self) -> Message:
        # Not grpc.aio's own iterator: left unfinished, its generator is cleaned up with a warning.
        raw = await self._context.read()
        if raw is grpc.aio.EOF:
            raise StopAsyncIteration
        self._metrics.messages_received += 1
        return decoded(self._deserialize, raw)


def _unknown_handler() -> Handler:
    """Returns the handler of a method that nobody registered. It reads nothing, so any shape of call fits it."""

    async def refuse(_requests: object, _context: ServicerContext) -> None:
        raise DomainError("METHOD_UNKNOWN")

    return grpc.stream_stream_rpc_method_handler(refuse)
