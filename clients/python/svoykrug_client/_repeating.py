"""Doing again what failed for a reason that passes."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from svoykrug import errors

_Answer = TypeVar("_Answer")

MOST_ATTEMPTS = 5
# The server was away or busy, or wants a fresh token: the next attempt may go well.
PASSING = (
    errors.Unavailable,
    errors.ConnectionLost,
    errors.Overloaded,
    errors.TokenExpired,
    errors.AccessTokenRevoked,
)
_FIRST_SECONDS, _LONGEST_SECONDS = 0.2, 5.0


async def repeated(attempt: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Attempts something up to five times, with a pause after each failure that passes.

    Args:
        attempt: Does it once; called anew for each attempt.

    Raises:
        errors.SvoyKrugError: The last attempt failed, or an earlier one for a reason that does not pass.
    """
    for failed in range(1, MOST_ATTEMPTS):
        try:
            return await attempt()
        except PASSING as error:
            await wait_after(failed, error)
    return await attempt()


async def wait_after(failed: int, error: errors.SvoyKrugError) -> None:
    """Waits before another attempt: 0.2 s, doubled each time up to 5 s, with jitter; never less than the server said.

    Args:
        failed: How many attempts have failed, from 1.
        error: Why the last one failed.
    """
    backoff = min(_FIRST_SECONDS * 2 ** (failed - 1), _LONGEST_SECONDS)
    stated = error.retry_after.total_seconds() if error.retry_after else 0.0
    await asyncio.sleep(max(backoff, stated) * random.uniform(1.0, 1.2))  # noqa: S311  # jitter is no secret
