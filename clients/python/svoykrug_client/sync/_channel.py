"""A channel whose methods block: the generated stubs are made on it as on any other."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpc.aio

from svoykrug_client._uploading import upload
from svoykrug_client.sync._portal import Portal

_Answer = TypeVar("_Answer")
_Method = Callable[..., Any]
_Metadata = Sequence[tuple[str, str | bytes]]


class BlockingChannel:
    """Makes the methods of a stub from those of a channel of grpc.aio.

    Args:
        portal: Where the calls run.
        channel: The channel.
    """

    def __init__(self, portal: Portal, channel: grpc.aio.Channel) -> None:
        self._portal = portal
        self._channel = channel

    def unary_unary(self, path: str, **coding: Any) -> _Method:
        """Returns a method with one request and one answer."""
        method: _Method = self._channel.unary_unary(path, **coding)

        def call(request: Any, *, timeout: float | None = None, metadata: _Metadata = ()) -> Any:
            async def run() -> Any:
                return await method(request, timeout=timeout, metadata=metadata)

            return self._portal.run(run)

        return call

    def unary_stream(self, path: str, **coding: Any) -> _Method:
        """Returns a method with one request and a stream of answers."""
        method: _Method = self._channel.unary_stream(path, **coding)

        def call(request: Any, *, timeout: float | None = None, metadata: _Metadata = ()) -> Stream[Any]:
            return Stream(self._portal, lambda: method(request, timeout=timeout, metadata=metadata))

        return call

    def stream_unary(self, path: str, **coding: Any) -> _Method:
        """Returns a method with a stream of requests and one answer."""
        method: Callable[..., Awaitable[Any]] = self._channel.stream_unary(path, **coding)

        def call(requests: Iterable[Any], *, timeout: float | None = None, metadata: _Metadata = ()) -> Any:
            return self._portal.run(lambda: upload(method, iter(requests), timeout=timeout, metadata=metadata))

        return call


class Stream(Iterator[_Answer], Generic[_Answer]):
    """The answers of a call that goes on until they end, it is cancelled, or nobody holds this any more.

    Args:
        portal: Where the call runs.
        begin: Begins it.
    """

    def __init__(self, portal: Portal, begin: Callable[[], Any]) -> None:
        self._portal = portal

        async def started() -> Any:
            return begin()

        self._call = portal.run(started)
        self._answers = aiter(self._call)

    def __next__(self) -> _Answer:
        answer: _Answer = self._portal.run(self._next)
        if answer is grpc.aio.EOF:
            raise StopIteration
        return answer

    async def _next(self) -> Any:
        return await anext(self._answers, grpc.aio.EOF)

    def cancel(self) -> None:
        """Ends the call; one that has ended stays as it is."""
        self._portal.post(self._call.cancel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()

    def __del__(self) -> None:
        # Where the call could not even begin, there is none.
        if hasattr(self, "_call"):
            self.cancel()
