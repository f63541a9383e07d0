"""One call on its way through the steps: opened, admitted, answered or refused, closed and accounted for."""

import asyncio
from asyncio import AbstractEventLoop, CancelledError
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, NoReturn, cast

import grpc
from google.protobuf.message import Message
from opentelemetry.trace import Span

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import DomainError, Limited, PermissionDenied
from svoykrug_server.rpc import access, address, client_version, locale, request_id, tracing
from svoykrug_server.rpc.access import TokenVerifier
from svoykrug_server.rpc.address import Network
from svoykrug_server.rpc.admission import Admission, overloaded
from svoykrug_server.rpc.call_log import CallLog
from svoykrug_server.rpc.client_version import ClientVersionGate
from svoykrug_server.rpc.context import CallContext, Locale, enter
from svoykrug_server.rpc.deadline import Deadline
from svoykrug_server.rpc.method import Method
from svoykrug_server.rpc.metrics import MethodMetrics
from svoykrug_server.rpc.refusals import Refusals
from svoykrug_server.rpc.status import CATALOGUE, DETAILS_KEY, INTERNAL, status_of

ServicerContext = grpc.aio.ServicerContext[Any, Any]
_OK = grpc.StatusCode.OK
_ROUNDED_UP_SHARE, _ROUNDED_UP_SECONDS = 0.01, 0.005
"""gRPC sends a deadline in two or three digits, rounded up, and a caller gives up when her own clock says so:
with up to so much left, it was her deadline that passed."""
_CODES_BY_NUMBER: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class Draining:
    """Tells the calls in progress that the server is stopping."""

    def __init__(self) -> None:
        self._endless: set[asyncio.Task[Any]] = set()
        self.started = False

    def enter(self) -> None:
        """Notes that the current task runs a call that ends only when the caller, or the server, ends it."""
        task = asyncio.current_task()
        if task is not None:
            self._endless.add(task)
            task.add_done_callback(self._endless.discard)

    def ends(self, task: asyncio.Task[Any]) -> bool:
        """Tells whether a cancelled task is one that `start` cancelled."""
        return self.started and task in self._endless

    def start(self) -> None:
        """Ends every endless call with a refusal that can be repeated elsewhere."""
        self.started = True
        for task in tuple(self._endless):
            task.cancel()


@dataclass(frozen=True, slots=True)
class Steps:
    """What the steps of every method share.

    Attributes:
        verifier: Tells who holds an access token.
        admission: The bounds on calls in progress, and on each caller's.
        refusals: Lets those of a caller who is beyond hers leave slowly.
        standard_streams: The bound on endless streams of gRPC's own services, which are public.
        versions: Refuses clients that are too old.
        default_locale: The language when the caller names none.
        trusted_proxies: The networks whose `x-forwarded-for` is believed.
        draining: Ends endless calls when the server stops.
        log: Where a line for every call is written.
    """

    verifier: TokenVerifier
    admission: Admission
    refusals: Refusals
    standard_streams: Admission
    versions: ClientVersionGate
    default_locale: Locale
    trusted_proxies: tuple[Network, ...]
    draining: Draining
    log: CallLog

    def admission_to(self, method: Method) -> Admission | None:
        """Returns what bounds the calls of a method. The health of a server that sheds calls can still be asked."""
        if not method.is_standard:
            return self.admission
        return self.standard_streams if method.default_deadline_seconds is None else None


class Call:
    """One call. Made for every call, so it is lean: what can be known before is in the method's own objects."""

    __slots__ = (
        "_admission", "_caller_key", "_code", "_deadline", "_headers", "_method", "_metrics", "_reason",
        "_servicer_context", "_span", "_started", "_steps", "context", "trailers",
    )  # fmt: skip

    def __init__(self, method: Method, metrics: MethodMetrics, steps: Steps, servicer_context: ServicerContext) -> None:
        self._started = perf_counter()
        self._method = method
        self._metrics = metrics
        self._steps = steps
        self._servicer_context = servicer_context
        self._headers: dict[str, Any] = dict(servicer_context.invocation_metadata() or ())
        self._admission: Admission | None = None
        self._caller_key: object = None
        self._deadline: Deadline | None = None
        self._span: Span | None = None
        self._code = _OK
        self._reason = ""
        headers = self._headers
        self.context = CallContext(
            method.path,
            request_id.request_id_from(headers.get(request_id.HEADER)),
            locale.locale_from(headers.get(locale.HEADER), steps.default_locale),
            # Not a method of this call: a cycle of objects in every call would be the garbage collector's to find.
            partial(_address, servicer_context, steps.trusted_proxies),
            servicer_context.time_remaining,
        )
        self.trailers = ((request_id.HEADER, self.context.request_id),)
        metrics.active += 1

    def open(self, loop: AbstractEventLoop, trace: tracing.MethodTracing) -> None:
        """Runs the steps that need no request: context, trace, deadline, admission, client version.

        Raises:
            DomainError: The call is refused.
        """
        enter(self.context)
        self._servicer_context.set_trailing_metadata(self.trailers)
        headers = self._headers
        if trace.always or tracing.HEADER in headers:
            self._span = trace.begin(headers)
        method = self._method
        if method.default_deadline_seconds is None:
            self._steps.draining.enter()
        elif self._servicer_context.time_remaining() is None:
            self._deadline = Deadline(loop, method.default_deadline_seconds)
        admission = self._steps.admission_to(method)
        if admission is not None:
            admission.enter()
            self._admission = admission
        version = headers.get(client_version.HEADER)
        if version is not None:
            self._steps.versions.check(version)

    async def authenticate(self, size: int) -> Caller | None:
        """Finds out who is calling, in a method that is not public.

        Args:
            size: How many bytes of the request are in memory.

        Raises:
            Unauthenticated: Nobody who can prove it.
            Limited: The caller has too many calls in progress, or calls too often.
        """
        rule = self._method.rule
        caller: Caller | None = None
        if not rule.public:
            token = access.bearer_token(self._headers.get(access.HEADER))
            caller = self.context.caller = await self._steps.verifier.verify(token)
        elif rule.loopback_only and not address.is_loopback(self._servicer_context.peer()):
            raise PermissionDenied
        if self._admission is not None:
            # An int hashes in C, a UUID in Python.
            key = caller.subject_id.int if caller is not None else self.context.peer_address
            try:
                self._admission.enter_caller(key, self._started, self._method.turns)
            except Limited:
                await self._wait_refused(key, size)
                raise
            self._caller_key = key
        return caller

    def authorize(self, request: Message | None) -> None:
        """Refuses an authenticated caller that the method's rule does not admit.

        Raises:
            PermissionDenied: The rule does not admit it.
        """
        if self.context.caller is not None:
            self._method.rule.check(self.context.caller, request)

    async def refuse(self, error: BaseException) -> NoReturn:
        """Ends the call with an error: makes it rich, and remembers it for the log.

        Raises:
            BaseException: Always: what gRPC needs to see to end the call.
        """
        if isinstance(error, grpc.aio.AbortError):
            self._code = _code_from(self._servicer_context.code())
            raise error
        if isinstance(error, DomainError) and error.reason in CATALOGUE:
            await self._abort(error)
        if isinstance(error, CancelledError):
            await self._cancelled(error)
        if not isinstance(error, Exception) or self._servicer_context.cancelled():
            self._code = grpc.StatusCode.CANCELLED
            raise error
        self._steps.log.failed(self.context, error)
        await self._abort(DomainError(INTERNAL))

    def close(self) -> None:
        """Accounts for the call, however it ended: metrics, one line in the log, the span."""
        seconds = perf_counter() - self._started
        if self._deadline is not None:
            self._deadline.cancel()
        if self._admission is not None:
            if self._caller_key is not None:
                self._admission.leave_caller(self._caller_key)
            self._admission.leave()
        code, reason = self._code, self._reason
        name = "OK" if code is _OK else code.name
        self._metrics.active -= 1
        self._metrics.ended(name, seconds, reason)
        if self._span is not None:
            tracing.end(self._span, code.value[0], reason)
        log = self._steps.log
        (log.standard_ended if self._method.is_standard else log.ended)(self.context, name, reason, seconds)

    async def _wait_refused(self, key: Hashable, size: int) -> None:
        """Waits for the turn of a refusal. The call is not in progress meanwhile: it takes no place of others."""
        if self._admission is not None:
            self._admission.leave()
            self._admission = None
        if self._deadline is not None:
            self._deadline.cancel()
        await self._steps.refusals.wait(key, perf_counter(), self.context.remaining_seconds, size)

    async def _cancelled(self, error: CancelledError) -> None:
        """Tells apart why the work was cancelled: our deadline, the server's stop, or the caller, who hears nothing."""
        if self._deadline is not None and self._deadline.absorb():
            await self._abort(DomainError("DEADLINE_EXCEEDED"))
        remaining = self.context.remaining_seconds
        asked = perf_counter() - self._started + (remaining or 0.0)
        if remaining is not None and remaining <= _ROUNDED_UP_SHARE * asked + _ROUNDED_UP_SECONDS:
            self._code, self._reason = grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"
            raise error
        task = asyncio.current_task()
        if task is not None and self._steps.draining.ends(task) and not self._servicer_context.cancelled():
            task.uncancel()
            await self._abort(overloaded())
        self._code = grpc.StatusCode.CANCELLED
        raise error

    async def _abort(self, error: DomainError) -> NoReturn:
        status = status_of(error, self.context.request_id, self.context.locale)
        self._code, self._reason = CATALOGUE[error.reason].code, error.reason
        await self._servicer_context.abort(
            self._code, status.message, (*self.trailers, (DETAILS_KEY, status.SerializeToString()))
        )


def _address(servicer_context: ServicerContext, trusted_proxies: tuple[Network, ...]) -> str:
    metadata = servicer_context.invocation_metadata() or ()
    forwarded = [str(value) for key, value in metadata if key == address.FORWARDED_HEADER]
    return address.client_address(servicer_context.peer(), forwarded, trusted_proxies)


def _code_from(code: object) -> grpc.StatusCode:
    """Reads a status code as grpc.aio keeps it: as a number, or as the enum's value."""
    return code if isinstance(code, grpc.StatusCode) else _CODES_BY_NUMBER[cast(int, code)]
