"""Where the caller's own code runs: the rows of an import, the function that is told of progress.

It runs in the thread that called the client, for what it holds may belong to that thread, such as a connection to a
database. An asynchronous caller's thread is the one of the event loop; the synchronous client names its own.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

_Result = TypeVar("_Result")
Errand = Callable[[], Any]


async def _here(errand: Errand) -> Any:
    return errand()


# Runs an errand in the caller's thread; set for one call, and for what it starts.
RUN_IN_CALLER: ContextVar[Callable[[Errand], Awaitable[Any]]] = ContextVar("RUN_IN_CALLER", default=_here)


async def in_caller(errand: Callable[[], _Result]) -> _Result:
    """Runs the caller's code in the caller's thread, and returns what it returns."""
    result: _Result = await RUN_IN_CALLER.get()(errand)
    return result
