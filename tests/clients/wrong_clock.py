"""A device or a service whose wall clock is wrong."""

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest.mock import patch


@contextmanager
def wrong_clock(by: dt.timedelta) -> Iterator[None]:
    """Has the client take a wrong time from the wall clock, for one block.

    Not the whole process: gRPC reads the clock in C too, and the two would disagree about deadlines.
    """

    class Wrong(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> "Wrong":
            return super().now(tz) + by

    clock = SimpleNamespace(time=lambda: time.time() + by.total_seconds(), monotonic=time.monotonic)
    with ExitStack() as patches:
        patches.enter_context(patch("svoykrug_client._credentials.time", clock))
        patches.enter_context(patch("svoykrug_client._assertions.datetime", Wrong))
        yield
