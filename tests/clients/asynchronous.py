"""What the steps need to wait, for the asynchronous client; `blocking.py` has the same names."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.waiting import until

__all__ = ["CANCELLED", "block", "together", "until"]

CANCELLED = asyncio.CancelledError
block = asynccontextmanager


async def together(*calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Makes calls at once and returns their answers."""
    return await asyncio.gather(*(call() for call in calls))
