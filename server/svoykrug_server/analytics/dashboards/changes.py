"""Knows which scope was last touched by which shipped batch, and tells those who watch it.

The relay of this process says at once when it has shipped; that of another says nothing, so one poller asks PostgreSQL
for the last shipped batch each second, whatever the number of watchers, and not at all when there are none.
"""

import asyncio

import structlog

from svoykrug_server.analytics.dashboards.repository import DashboardRepository
from svoykrug_server.kit.errors import DomainError

MOST_BATCHES = 200
"""When more batches than this were shipped since the last look, every scope counts as touched."""
_log = structlog.get_logger(__name__)

Scope = object
"""A business's id; None for the circle."""


class Changes:
    """The last shipped batch that touched each scope, as this process knows it.

    Args:
        repository: Which batches are shipped, and whom they touch.
        poll_seconds: How often PostgreSQL is asked while somebody watches.
    """

    def __init__(self, repository: DashboardRepository, poll_seconds: float = 1.0) -> None:
        self._repository = repository
        self._poll_seconds = poll_seconds
        self._seen = 0
        self._floor = 0
        self._touched: dict[Scope, int] = {}
        self._waiting: dict[Scope, asyncio.Event] = {}
        self._watchers = 0
        self._shipped = asyncio.Event()

    def shipped(self) -> None:
        """Hears that this process has shipped a batch."""
        self._shipped.set()

    async def last_batch(self, scope: Scope) -> int:
        """Returns the last shipped batch that touched a scope, or a later one, having asked PostgreSQL.

        Raises:
            StoreUnavailable: PostgreSQL is away.
        """
        await self._look()
        return max(self._touched.get(scope, 0), self._floor)

    def expect(self, scope: Scope) -> asyncio.Event:
        """Returns what is set when a batch touches a scope; taken before the scope is read, no change is missed."""
        return self._waiting.setdefault(scope, asyncio.Event())

    def enter(self) -> None:
        """Counts one more watcher; `leave` follows."""
        self._watchers += 1
        self._shipped.set()

    def leave(self) -> None:
        """Forgets a watcher that `enter` counted."""
        self._watchers -= 1

    async def run(self) -> None:
        """Looks for shipped batches until cancelled; when PostgreSQL is away, the next look tries again."""
        while True:
            await self._pause()
            self._shipped.clear()
            if not self._watchers:
                continue
            try:
                await self._look()
            except DomainError as error:
                _log.warning("changes_not_read", reason=error.reason)
                await asyncio.sleep(self._poll_seconds)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds if self._watchers else None):
                await self._shipped.wait()
        except TimeoutError:
            return

    async def _look(self) -> None:
        seen, shipped = self._seen, await self._repository.shipped_up_to()
        if shipped <= seen:
            return
        if shipped - seen > MOST_BATCHES:
            self._floor = max(self._floor, shipped)
            touched = list(self._waiting)
        else:
            touched = [*await self._repository.touched(seen, shipped), None]
        for scope in touched:
            self._touched[scope] = max(self._touched.get(scope, 0), shipped)
            self._tell(scope)
        self._seen = max(self._seen, shipped)

    def _tell(self, scope: Scope) -> None:
        event = self._waiting.pop(scope, None)
        if event is not None:
            event.set()
