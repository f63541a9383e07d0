"""Step: a call that brings no deadline gets its method's; the work is cancelled when it passes."""

import asyncio
from asyncio import AbstractEventLoop, Task
from typing import Any


class Deadline:
    """Cancels the current task after a while, and can tell its own cancelling from that of others.

    `asyncio.timeout` does the same for twice the price, which every call would pay.

    Args:
        loop: The running loop.
        seconds: The time from now.
    """

    __slots__ = ("_handle", "_task", "expired")

    def __init__(self, loop: AbstractEventLoop, seconds: float) -> None:
        self.expired = False
        self._task: Task[Any] | None = asyncio.current_task(loop)
        self._handle = loop.call_later(seconds, self._expire)

    @property
    def when(self) -> float:
        """The loop's time at which it passes."""
        return self._handle.when()

    def cancel(self) -> None:
        """Lets the task go on without a deadline."""
        self._handle.cancel()

    def absorb(self) -> bool:
        """Takes back the cancelling it caused; call it where the CancelledError is caught.

        Returns:
            True when the deadline has passed, so that the CancelledError was this object's doing.
        """
        if self.expired and self._task is not None:
            self._task.uncancel()
        return self.expired

    def _expire(self) -> None:
        self.expired = True
        if self._task is not None:
            self._task.cancel()
