"""Remembers dashboards until a batch touches their scope; computes each once, however many ask at the same time."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from svoykrug_server.analytics.dashboards.model import Dashboard

MOST_ENTRIES = 1_000
KEEP_SECONDS = 60.0
"""A dashboard is computed again after this long though nothing was shipped: a day may have been repaired."""


@dataclass(frozen=True, slots=True)
class _Entry:
    batch_id: int
    dashboard: Dashboard
    made: float


class DashboardCache:
    """Dashboards by what they show.

    Args:
        monotonic: Tells seconds that only grow.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def clear(self) -> None:
        """Forgets every dashboard."""
        self._entries.clear()

    async def get(self, key: Hashable, batch_id: int, compute: Callable[[], Awaitable[Dashboard]]) -> Dashboard:
        """Returns a dashboard that holds at least what was shipped up to a batch.

        Args:
            key: What it shows.
            batch_id: The last shipped batch that touched its scope, read before this call.
            compute: Makes it when it is not remembered.
        """
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            entry = self._entries.get(key)
            if entry is None or entry.batch_id < batch_id or self._monotonic() - entry.made > KEEP_SECONDS:
                entry = _Entry(batch_id, await compute(), self._monotonic())
                self._entries[key] = entry
            self._entries.move_to_end(key)
            if len(self._entries) > MOST_ENTRIES:
                self._entries.popitem(last=False)
        return entry.dashboard
