"""Sending a stream of requests that come from the caller's code."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from svoykrug_client._caller import in_caller

_Answer = TypeVar("_Answer")


async def upload(method: Callable[..., Awaitable[_Answer]], requests: Iterator[Any], **options: Any) -> _Answer:
    """Sends all requests and returns the answer.

    Args:
        method: An upload method of an asynchronous stub.
        requests: The requests; read in the caller's thread.
        options: What else the call is given, such as its timeout.

    Raises:
        Exception: Whatever the requests raise.
    """
    # The caller may still be at the requests of an attempt that has failed: an attempt begins when it can be fed.
    await in_caller(lambda: None)
    failures: list[Exception] = []

    async def read() -> AsyncIterator[Any]:
        try:
            while (request := await in_caller(partial(next, requests, None))) is not None:
                yield request
        except Exception as failure:
            failures.append(failure)
            raise

    try:
        return await method(read(), **options)
    except asyncio.CancelledError:
        # What the requests raise, grpc.aio takes for a cancelled call and keeps to itself.
        if failures:
            raise failures[0] from None
        raise
