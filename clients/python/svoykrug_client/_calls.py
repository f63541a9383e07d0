"""What every call of the client gets: a deadline, a token, the language, and typed errors."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import grpc.aio
from svoykrug import errors

from svoykrug_client._credentials import Credentials
from svoykrug_client._methods import methods
from svoykrug_client._status import error_of

_Answer = TypeVar("_Answer")
_RENEW = (errors.TokenExpired, errors.AccessTokenRevoked)


class Calls:
    """Prepares calls and explains their failures.

    Args:
        language: `ru` or `en`: the language of the texts for people.
        client_version: Sent as `x-client-version`.
    """

    def __init__(self, language: str, client_version: str) -> None:
        self.credentials: Credentials | None = None
        self._common = (("accept-language", language), ("x-client-version", client_version))

    async def run(
        self, details: grpc.aio.ClientCallDetails, attempt: Callable[[grpc.aio.ClientCallDetails], Awaitable[_Answer]]
    ) -> _Answer:
        """Runs a call, and once more with a fresh token when the server refused the one it had.

        Args:
            details: The call as the caller asked for it.
            attempt: Sends it and returns its answer.

        Raises:
            errors.SvoyKrugError: The call was refused.
        """
        prepared, token = await self.prepared(details)
        try:
            return await attempt(prepared)
        except grpc.aio.AioRpcError as failure:
            error = error_of(failure)
            if token is None or not isinstance(error, _RENEW):
                raise error from failure
        prepared, _ = await self.prepared(details, refused=token)
        try:
            return await attempt(prepared)
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure) from failure

    async def prepared(
        self, details: grpc.aio.ClientCallDetails, refused: str | None = None
    ) -> tuple[grpc.aio.ClientCallDetails, str | None]:
        """Returns the call with its deadline and metadata, and the token it carries, if any."""
        # The stubs say str, grpc.aio hands over bytes.
        path: object = details.method
        method = methods()[path.decode() if isinstance(path, bytes) else str(path)]
        metadata = grpc.aio.Metadata(*(details.metadata or ()), *self._common)
        token = None
        if self.credentials and not method.public:
            token = await self.credentials.access_token(refused)
        if token:
            metadata.add("authorization", f"Bearer {token}")
        timeout = details.timeout
        if timeout is None and method.deadline is not None:
            timeout = method.deadline.total_seconds()
        prepared = grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=timeout,
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )
        return prepared, token


class UnaryCalls(grpc.aio.UnaryUnaryClientInterceptor):
    """Calls with one request and one answer."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def intercept_unary_unary(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Runs the call; see `Calls.run`."""

        async def attempt(details: grpc.aio.ClientCallDetails) -> Any:
            return await (await continuation(details, request))

        return await self._calls.run(client_call_details, attempt)


class UploadCalls(grpc.aio.StreamUnaryClientInterceptor):
    """Calls with a stream of requests and one answer; a stream cannot be sent twice, so a refused token fails it."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def intercept_stream_unary(
        self,
        continuation: Callable[..., Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        """Runs the call once."""
        details, _ = await self._calls.prepared(client_call_details)
        try:
            return await (await continuation(details, request_iterator))
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure) from failure


class DownloadCalls(grpc.aio.UnaryStreamClientInterceptor):
    """Calls with one request and a stream of answers."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def intercept_unary_stream(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Runs the call; the first answer decides whether a fresh token is needed."""
        return self._answers(continuation, client_call_details, request)

    async def _answers(
        self, continuation: Callable[..., Awaitable[Any]], details: grpc.aio.ClientCallDetails, request: Any
    ) -> AsyncIterator[Any]:
        async def first(prepared: grpc.aio.ClientCallDetails) -> tuple[Any, Any]:
            call = await continuation(prepared, request)
            return call, await call.read()

        call, answer = await self._calls.run(details, first)
        try:
            while answer is not grpc.aio.EOF:
                yield answer
                answer = await call.read()
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure) from failure
        finally:
            call.cancel()


async def wait_before(attempt: int, error: errors.SvoyKrugError) -> None:
    """Waits before another attempt: as long as the server said, else 0.2 s doubled each time up to 5 s, with jitter.

    Args:
        attempt: How many attempts have failed, from 1.
        error: Why the last one failed.
    """
    backoff = timedelta(seconds=min(0.2 * 2 ** (attempt - 1), 5.0) * random.uniform(0.8, 1.2))  # noqa: S311  # jitter is no secret
    await asyncio.sleep((error.retry_after or backoff).total_seconds())
