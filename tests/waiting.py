"""Waiting in tests: for a condition, with a bound, and never for a time alone."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.01


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 10.0) -> None:
    """Waits until a condition holds.

    Args:
        condition: Asked again and again; may be a coroutine function.
        seconds: How long at most.

    Raises:
        AssertionError: It did not hold in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        await asyncio.sleep(POLL_SECONDS)
