"""A call that is shed: refused with the same status as any other, at half the cost, which is most of what it is for."""

from functools import cache
from random import choice
from time import perf_counter
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from svoykrug_server.rpc import locale, request_id
from svoykrug_server.rpc.admission import overloaded
from svoykrug_server.rpc.context import Locale
from svoykrug_server.rpc.metrics import MethodMetrics
from svoykrug_server.rpc.status import CATALOGUE, DETAILS_KEY, status_of

_REASON = "OVERLOADED"
_CODE = CATALOGUE[_REASON].code
_WAITS = 32
"""How many different times to wait are told."""


class ShedCall:
    """Refuses calls of one method, of any shape, before anything is read of them but two headers.

    They are counted, and not logged: a line for each would cost as much as the rest.

    Args:
        metrics: Where they are counted.
        default_locale: The language when the caller names none.
    """

    __slots__ = ("_default_locale", "_metrics")

    def __init__(self, metrics: MethodMetrics, default_locale: Locale) -> None:
        self._metrics = metrics
        self._default_locale = default_locale

    def handler(self) -> "grpc.RpcMethodHandler[Any, Any]":
        """Returns what grpc.aio is to call: a stream's handler, for it is called before any request is read."""
        return grpc.stream_stream_rpc_method_handler(self._refuse)

    async def _refuse(self, _receiver: object, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        began = perf_counter()
        headers: dict[str, Any] = dict(context.invocation_metadata() or ())
        request = request_id.request_id_from(headers.get(request_id.HEADER))
        message, status = choice(_statuses(locale.locale_from(headers.get(locale.HEADER), self._default_locale)))  # noqa: S311 (no secret)
        self._metrics.ended(_CODE.name, perf_counter() - began, _REASON)
        await context.abort(
            _CODE, message, ((request_id.HEADER, request), (DETAILS_KEY, status + _request_info(request)))
        )


@cache
def _statuses(language: Locale) -> tuple[tuple[str, bytes], ...]:
    """Returns the messages and the statuses, without RequestInfo, which comes last."""
    prepared = []
    for _ in range(_WAITS):
        status = status_of(overloaded(), "", language)
        del status.details[-1]
        prepared.append((status.message, status.SerializeToString()))
    return tuple(prepared)


def _request_info(request: str) -> bytes:
    """Returns a status with nothing but RequestInfo: its bytes behind those of another add it to that one."""
    status = status_pb2.Status()
    status.details.add().Pack(error_details_pb2.RequestInfo(request_id=request))
    return status.SerializeToString()
