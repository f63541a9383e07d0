"""What every call of the client gets: a deadline, a token, the language, and typed errors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any, TypeVar

import grpc.aio
from svoykrug import errors

from svoykrug_client._credentials import Credentials
from svoykrug_client._methods import Method, methods
from svoykrug_client._status import typed_errors

_Answer = TypeVar("_Answer")
_RENEW = (errors.TokenExpired, errors.AccessTokenRevoked)


class Calls:
    """Prepares calls and repeats those whose token has died.

    Args:
        language: `ru` or `en`: the language of the texts for people.
        client_version: Sent as `x-client-version`, such as `python/1.0.0`.
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
            attempt: Sends it and returns its answer, or raises a typed error.

        Raises:
            errors.SvoyKrugError: The call was refused.
        """
        end = end_of(details)
        prepared, token = await self.prepare(details, end)
        try:
            return await attempt(prepared)
        except _RENEW:
            if token is None:
                raise
            self.refused(token)
        prepared, _ = await self.prepare(details, end)
        return await attempt(prepared)

    async def prepare(
        self, details: grpc.aio.ClientCallDetails, end: float | None
    ) -> tuple[grpc.aio.ClientCallDetails, str | None]:
        """Returns the call with its deadline and metadata, and the token of ours that it carries, if any.

        Args:
            details: The call as the caller asked for it; what it brings itself is left alone.
            end: The call's deadline, in seconds of the loop's clock; waiting for a token counts.
        """
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        for key, value in self._common:
            if metadata.get(key) is None:
                metadata.add(key, value)
        token = None
        if not _method_of(details).public and metadata.get("authorization") is None:
            token = await self._token(end)
        if token:
            metadata.add("authorization", f"Bearer {token}")
        prepared = grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=None if end is None else max(end - _now(), 0.0),
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )
        return prepared, token

    def refused(self, token: str | None) -> None:
        """Takes note that the server refused a token."""
        if self.credentials and token:
            self.credentials.discard(token)

    async def _token(self, end: float | None) -> str | None:
        if self.credentials is None:
            return None
        try:
            async with asyncio.timeout_at(end):
                return await self.credentials.access_token()
        except TimeoutError as timeout:
            code = "DEADLINE_EXCEEDED"
            raise errors.DeadlineExceeded(code, "The deadline passed before there was a token.", code=code) from timeout


class UnaryCalls(grpc.aio.UnaryUnaryClientInterceptor):
    """Calls with one request and one answer."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def intercept_unary_unary(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Runs the call; see `Calls.run`."""

        async def attempt(prepared: grpc.aio.ClientCallDetails) -> Any:
            call = await continuation(prepared, request)
            with typed_errors():
                await call
            return call

        return await self._calls.run(client_call_details, attempt)


class DownloadCalls(grpc.aio.UnaryStreamClientInterceptor):
    """Calls with one request and a stream of answers; the first answer decides whether a fresh token is needed."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def intercept_unary_stream(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Runs the call up to its first answer; see `Calls.run`."""

        async def attempt(prepared: grpc.aio.ClientCallDetails) -> AsyncIterator[Any]:
            rest = aiter(await continuation(prepared, request))
            with typed_errors():
                first = await anext(rest, grpc.aio.EOF)
            return _answers(first, rest)

        return await self._calls.run(client_call_details, attempt)


async def _answers(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    with typed_errors():
        if first is not grpc.aio.EOF:
            yield first
        async for answer in rest:
            yield answer


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
        prepared, token = await self._calls.prepare(client_call_details, end_of(client_call_details))
        return _Upload(await continuation(prepared, request_iterator), lambda: self._calls.refused(token))


class _Upload:
    """A call under way that raises typed errors, and is the call itself in everything else.

    Args:
        call: The call; its requests may still be written to it.
        refused: Called when the server refused the call's token.
    """

    def __init__(self, call: Any, refused: Callable[[], None]) -> None:
        self._call = call
        self._refused = refused

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        try:
            with typed_errors():
                return await self._call
        except _RENEW:
            self._refused()
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def end_of(details: grpc.aio.ClientCallDetails) -> float | None:
    """Returns the deadline of a call that starts now, in seconds of the loop's clock; None for an endless stream."""
    if details.timeout is not None:
        return _now() + details.timeout
    deadline = _method_of(details).deadline
    return None if deadline is None else _now() + deadline.total_seconds()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _method_of(details: grpc.aio.ClientCallDetails) -> Method:
    # The stubs say str, grpc.aio hands over bytes.
    path: object = details.method
    return methods()[path.decode() if isinstance(path, bytes) else str(path)]
