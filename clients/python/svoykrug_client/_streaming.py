"""Streams of answers that end when their reader stops."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar

import grpc.aio

_Answer = TypeVar("_Answer")


class CancellingChannel:
    """A channel whose streams of answers are a `Stream`.

    Args:
        channel: The channel, which does all else.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def unary_stream(self, path: str, **coding: Any) -> "Callable[..., Stream[Any]]":
        """Returns a method with one request and a stream of answers."""
        method: Callable[..., Any] = self._channel.unary_stream(path, **coding)

        def call(*request: Any, **options: Any) -> Stream[Any]:
            return Stream(method(*request, **options))

        return call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


class Stream(AsyncIterator[_Answer], Generic[_Answer]):
    """The answers of a call that goes on until they end, it is cancelled, or nobody holds this any more.

    grpc.aio's own call goes on after a `break`, for the call and its iterator hold each other.

    Args:
        call: The call, which does all else.
    """

    def __init__(self, call: Any) -> None:
        self._call = call

    async def __anext__(self) -> _Answer:
        answer: _Answer = await anext(aiter(self._call))
        return answer

    def __del__(self) -> None:
        if not self._call.done():
            self._call.cancel()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)
