"""Keeps every member's tier equal to what her purchases are worth.

Three jobs. The first computes whoever bought or was refunded, about a second later. The second does the same for
imports once they pause, or have gone on for a minute: an import goes on as fast as without it, and GetMyTier is right
at once whatever waits here. The third computes everybody once a day, because the window moves on at the
circle's midnight, and finds out who is among the top; it goes member by member in blocks, continues where it was when
the server stopped, and a night that was missed is made up at the next start.

Whoever computes holds a lock until the tiers are written, so that no two servers do the same work, and none writes
what was true before another's purchase. A changed tier ends no access token: the tier in a token is for show.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

import structlog

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditEvent
from svoykrug_server.storage.postgres import Postgres, Transaction
from svoykrug_server.users.membership.model import TierChange
from svoykrug_server.users.membership.tier_repository import Lane, TierRepository
from svoykrug_server.users.membership.tier_rules import TierRules

log = structlog.get_logger(__name__)

BLOCK_MEMBERS = 1_000
"""How many members one statement computes."""

FEW = Lane(1, 100, quiet=timedelta(0), longest_wait=timedelta(0))
"""Purchases and refunds at tills, and small batches."""

MANY = Lane(101, (1 << 31) - 1, quiet=timedelta(seconds=2), longest_wait=timedelta(seconds=60))
"""Imports and large batches."""


@dataclass(frozen=True, slots=True)
class TierUpkeepOptions:
    """How tiers are kept.

    Attributes:
        poll_seconds: How often it is looked whether somebody bought.
        night_poll_seconds: How often it is looked whether a new day has begun.
        most_entries: How many ledger rows are taken at once, at most, unless one transaction alone wrote more.
        rest: How long a job rests after work, as a multiple of the time the work took ...
        rest_of_many: ... and after work for imports.
    """

    poll_seconds: float
    night_poll_seconds: float = 30.0
    most_entries: int = 10_000
    rest: float = 3.0
    rest_of_many: float = 9.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How a job takes turns with rest.

    Attributes:
        idle_seconds: The rest when there was nothing to do.
        least_seconds: The least rest after work.
        rest: The rest after work, as a multiple of the time the work took.
    """

    idle_seconds: float
    least_seconds: float
    rest: float


class TierUpkeep:
    """Computes tiers.

    Args:
        postgres: The system of record.
        tiers: SQL about tiers.
        rules: What each tier asks for.
        clock: Tells the time.
        options: How often, and how much at once.
    """

    def __init__(
        self, postgres: Postgres, tiers: TierRepository, rules: TierRules, clock: Clock, options: TierUpkeepOptions
    ) -> None:
        self._postgres = postgres
        self._tiers = tiers
        self._rules = rules
        self._clock = clock
        self._options = options

    async def run(self) -> None:
        """Computes whoever bought or was refunded, until cancelled."""
        poll_seconds = self._options.poll_seconds
        await _repeat(partial(self.compute_due, FEW), Pace(poll_seconds, poll_seconds, self._options.rest))

    async def run_many(self) -> None:
        """Computes the members of imports, until cancelled."""
        poll_seconds = self._options.poll_seconds
        await _repeat(partial(self.compute_due, MANY), Pace(poll_seconds, poll_seconds, self._options.rest_of_many))

    async def run_nightly(self) -> None:
        """Computes everybody once a day, until cancelled."""
        await _repeat(self.compute_night, Pace(self._options.night_poll_seconds, 0, self._options.rest))

    async def compute_due(self, lane: Lane) -> bool:
        """Computes the members of a lane's transactions since the last time, if it is time; returns whether it was."""
        async with self._postgres.read() as connection:
            if not await self._tiers.any_due(connection, lane, self._clock.now()):
                return False
        window_start = self._window_start(self._today())
        async with self._postgres.transaction() as tx:
            await self._tiers.lock(tx)
            member_ids, any_due = await self._tiers.take_due(tx, lane, self._options.most_entries, window_start)
            for first in range(0, len(member_ids), BLOCK_MEMBERS):
                await self._change(tx, member_ids[first : first + BLOCK_MEMBERS], window_start)
        return any_due

    async def compute_night(self) -> bool:
        """Does the next part of this day's computation of everybody; returns whether there was any."""
        today = self._today()
        async with self._postgres.transaction() as tx:
            night = await self._tiers.lock_night(tx)
            if night is None or (night.done_day is not None and night.done_day >= today):
                return False
            if night.walk_day != today:
                await self._tiers.begin_night(tx, today, self._window_start(today))
                return True
            member_ids = await self._tiers.next_members(tx, night.walk_member_id, BLOCK_MEMBERS)
            if not member_ids:
                await self._tiers.end_night(tx, today, self._clock.now())
                log.info("tiers_computed", day=today.isoformat())
                return False
            await self._tiers.lock(tx)
            await self._change(tx, member_ids, self._window_start(today))
            await self._tiers.move_night(tx, member_ids[-1])
        return True

    async def _change(self, tx: Transaction, member_ids: Sequence[int], window_start: datetime) -> None:
        now = self._clock.now()
        changes = await self._tiers.change(tx, member_ids, window_start, now)
        await audit.append_all(tx, [_event(change, now) for change in changes])

    def _today(self) -> date:
        return self._rules.today(self._clock.now())

    def _window_start(self, day: date) -> datetime:
        return self._rules.window_start(day)


async def _repeat(step: Callable[[], Awaitable[bool]], pace: Pace) -> None:
    """Repeats a step for ever; while PostgreSQL is away it waits."""
    while True:
        begun = time.monotonic()
        try:
            worked = await step()
        except DomainError as error:
            log.warning("tiers_not_computed", reason=error.reason)
            worked = False
        rest_seconds = pace.rest * (time.monotonic() - begun)
        await asyncio.sleep(max(pace.least_seconds, rest_seconds) if worked else pace.idle_seconds)


def _event(change: TierChange, now: datetime) -> AuditEvent:
    return AuditEvent(
        "TIER_CHANGED",
        now,
        target_kind="user",
        target_id=str(change.user_id),
        details={"before": change.before.value, "after": change.after.value},
    )
