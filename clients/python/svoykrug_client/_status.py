"""From a gRPC status to a typed exception."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from svoykrug import errors

_DETAILS_KEY = "grpc-status-details-bin"
_REQUEST_ID_KEY = "x-request-id"
_DOMAIN = "svoykrug"
# What grpc.aio says when the server ended a call into which it was writing; the server's own status is lost with it
# (grpc/grpc#36066).
_STATUS_LOST = "Internal error from Core"
# Without a word of the server's own these say that none came from it: a server that stops answers CANCELLED to what
# reaches it in the last milliseconds, unseen (grpc#41785). What the caller cancels is no status, but a CancelledError.
_NO_ANSWER = (grpc.StatusCode.UNAVAILABLE.name, grpc.StatusCode.CANCELLED.name)
_Detail = TypeVar("_Detail", bound=Message)


@contextmanager
def typed_errors() -> Iterator[None]:
    """Raises the typed exception of a call that fails inside; its cause is gRPC's own."""
    try:
        yield
    except grpc.aio.AioRpcError as failure:
        raise error_of(failure) from failure


def error_of(failure: grpc.aio.AioRpcError) -> errors.SvoyKrugError:
    """Returns the typed exception of a failed call.

    A status with our rich details becomes the class of its reason; one without, as a proxy or the transport itself
    makes it, the class of its status code, or `ConnectionLost` when it is UNAVAILABLE or CANCELLED or grpc.aio lost it.
    """
    code = failure.code().name
    trailers = dict(failure.trailing_metadata() or ())
    details = _Details(trailers.get(_DETAILS_KEY, b""))
    info = details.first(error_details_pb2.ErrorInfo)
    reason = info.reason if info and info.domain == _DOMAIN else ""
    localized = details.first(error_details_pb2.LocalizedMessage)
    bad_request = details.first(error_details_pb2.BadRequest)
    retry_info = details.first(error_details_pb2.RetryInfo)
    request_info = details.first(error_details_pb2.RequestInfo)
    is_lost = code == grpc.StatusCode.INTERNAL.name and not info and failure.details() == _STATUS_LOST
    return (errors.ConnectionLost if is_lost else _class(reason, code))(
        reason=reason or code,
        text=localized.message if localized else failure.details() or "",
        metadata=dict(info.metadata) if info else {},
        field_violations={bad.field: bad.description for bad in bad_request.field_violations} if bad_request else {},
        retry_after=_retry_after(retry_info) if retry_info else None,
        request_id=request_info.request_id if request_info else str(trailers.get(_REQUEST_ID_KEY, "")),
        code=code,
    )


def _class(reason: str, code: str) -> type[errors.SvoyKrugError]:
    if reason in errors.BY_REASON:
        return errors.BY_REASON[reason]
    if not reason and code in _NO_ANSWER:
        return errors.ConnectionLost
    return errors.BY_CODE.get(code, errors.SvoyKrugError)


def _retry_after(info: error_details_pb2.RetryInfo) -> timedelta | None:
    try:
        return info.retry_delay.ToTimedelta()
    except (OverflowError, ValueError):
        # Longer than a timedelta can say: waiting does not help.
        return None


class _Details:
    """The details of a status: messages of any type, each at most once.

    Args:
        packed: The trailer that carries them; bytes that nobody of ours wrote hold no details.
    """

    def __init__(self, packed: str | bytes) -> None:
        self._status = status_pb2.Status()
        try:
            self._status.ParseFromString(packed if isinstance(packed, bytes) else packed.encode())
        except DecodeError:
            self._status.Clear()

    def first(self, kind: type[_Detail]) -> _Detail | None:
        """Returns the first readable detail of a type, or None."""
        for packed in self._status.details:
            detail = kind()
            try:
                if packed.Unpack(detail):
                    return detail
            except DecodeError:
                continue
        return None
