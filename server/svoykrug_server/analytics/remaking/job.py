"""The job that looks whether the warehouse holds what is published, and makes again what it has lost.

It looks when it starts, once a day, and whenever a table has changed or something was published, also between two that
it makes again; but after a look it rests, so that looking takes a twentieth of its time at most. Rows are made again
from the same plan under a build id of their own; only when they are as many and have the same hash do they take the
place of the lost ones, in one step of PostgreSQL. Killed before that step, the next attempt removes what this wrote.

What comes back whole counts again, also where it was called lost for good: another warehouse may have been asked.

Other rows are no proof of a loss while the purchases they came from are not whole themselves. So where they differ
every purchase of the scope is proven first, while nobody repairs or rebuilds; what is still open then is tried later.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog

from svoykrug_server.analytics.build_rows import BuildRows
from svoykrug_server.analytics.ports import Disputes
from svoykrug_server.analytics.remaking.metrics import RemakingMetrics
from svoykrug_server.analytics.remaking.model import Attempt, Gone, Kind, Known, Maker, Proof
from svoykrug_server.analytics.remaking.repository import RemakingRepository
from svoykrug_server.analytics.standing import CannotBeMade, LostReason
from svoykrug_server.analytics.versions import UnknownVersion
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, StoreUnavailable, WarehouseUnavailable
from svoykrug_server.kit.failpoints import failpoint

LOOK_EVERY = timedelta(days=1)
REST = 19
"""So many times as long as a look took, nothing that changes makes it look again: all builds are counted."""
Seen = tuple[tuple[int, int], int]
"""What was published, and of which parts the table was made."""
_log = structlog.get_logger(__name__)


class Remaking:
    """Looks, and makes again.

    Args:
        repository: What is published, and what is known to be gone.
        rows: What the warehouse holds, by kind.
        makers: Who makes the rows of each kind.
        disputes: Where the stores disagree.
        proof: Proves that the purchases are whole.
        metrics: Shown what is gone.
        clock: Tells the time.
        interval_seconds: How long it waits between two rounds.
    """

    def __init__(
        self,
        repository: RemakingRepository,
        rows: Mapping[Kind, BuildRows],
        makers: Mapping[Kind, Maker],
        disputes: Disputes,
        proof: Proof,
        metrics: RemakingMetrics,
        clock: Clock,
        interval_seconds: float,
    ) -> None:
        self._repository = repository
        self._rows = rows
        self._makers = makers
        self._disputes = disputes
        self._proof = proof
        self._metrics = metrics
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._looked: dict[Kind, tuple[datetime, datetime, Seen]] = {}
        self._missing: frozenset[Kind] = frozenset()

    async def run(self) -> None:
        """Works until cancelled; when a store is away, the next round tries again."""
        while True:
            try:
                await self.round()
            except DomainError as error:
                _log.warning("remaking_failed", reason=error.reason)
            await asyncio.sleep(self._interval_seconds)

    async def round(self) -> None:
        """Looks where that is due, and tries once to make again whatever is gone, unless another process does.

        Raises:
            StoreUnavailable: PostgreSQL is away.
            WarehouseUnavailable: ClickHouse is away.
            ExceptionGroup: Something went wrong with one or more that nobody has foreseen; the others were tried.
        """
        await self._look_where_due()
        if not self._missing:
            return
        async with self._repository.alone() as is_alone:
            failures = await self._try_each() if is_alone else []
        for kind in self._rows:
            await self._show(kind)
        if failures:
            raise ExceptionGroup("not made again", failures)

    async def _try_each(self) -> list[Exception]:
        """Tries once each that is gone, also what is seen to be gone meanwhile; returns what nobody has foreseen."""
        tried: set[Gone] = set()
        failures: list[Exception] = []
        waiting = deque(await self._repository.gone())
        while waiting:
            tried.add(each := waiting.popleft())
            try:
                await self._try(each)
            except DomainError:
                raise
            except Exception as error:  # noqa: BLE001  raised by the round, when the others have had their turn
                failures.append(error)
            if await self._look_where_due():
                waiting = deque(other for other in await self._repository.gone() if other not in tried)
        return failures

    async def _look_where_due(self) -> bool:
        """Looks where that is due, and tells whether anything more is gone."""
        return any([await self._look_if_due(kind, rows) for kind, rows in self._rows.items()])

    async def _look_if_due(self, kind: Kind, rows: BuildRows) -> bool:
        # A table that gained a build and lost it since the last round is as it was, so what is published counts too.
        # It is read first: the rows of every build in it have come before.
        now, known = self._clock.now(), await self._show(kind)
        seen = known.builds, await rows.parts()
        looked_time, rest_until, looked_seen = self._looked.get(kind, (None, now, None))
        is_due = seen != looked_seen and now >= rest_until
        if looked_time is not None and not is_due and now - looked_time < LOOK_EVERY:
            return False
        found_gone = await self._look(kind, rows)
        ended = self._clock.now()
        self._looked[kind] = now, ended + REST * (ended - now), seen
        # Told also before they are made: all of a large circle's take days.
        await self._show(kind)
        return found_gone

    async def _show(self, kind: Kind) -> Known:
        known = await self._repository.known(kind)
        self._metrics.show(kind, known)
        self._missing = self._missing | {kind} if known.missing_count else self._missing - {kind}
        return known

    async def _look(self, kind: Kind, rows: BuildRows) -> bool:
        """Compares what is published with what is there, and tells whether anything more is gone.

        They are read in this order: rows come before their publication.
        """
        published = await self._repository.published(kind)
        counts = await rows.counts()
        there = {each.id for each in published if counts.get(each.build_id, 0) == each.row_count}
        missing = [each for each in published if each.id not in there and not each.is_missing]
        found = [each for each in published if each.id in there and each.is_missing]
        await self._repository.mark(kind, missing, found, self._clock.now())
        if missing or found:
            _log.error("warehouse_rows_missing", kind=kind.value, missing=len(missing), found=len(found))
        return bool(missing)

    async def _try(self, gone: Gone) -> None:
        """Makes one again; what cannot be made yet waits for the next round and keeps no other waiting.

        Raises:
            StoreUnavailable: PostgreSQL is away.
            WarehouseUnavailable: ClickHouse is away.
        """
        build_id = uuid4()
        try:
            attempt = await self._repository.begin(gone, build_id)
            if attempt is not None:
                await self._make(gone, build_id, attempt)
        except CannotBeMade as refusal:
            await self._lose(gone, build_id, refusal.reason)
        except UnknownVersion as refusal:
            _log.info("left_to_newer", kind=gone.kind.value, id=str(gone.id), version=refusal.metadata["version"])
        except (StoreUnavailable, WarehouseUnavailable):
            raise
        except DomainError as error:
            _log.info("not_remade_yet", kind=gone.kind.value, id=str(gone.id), reason=error.reason)

    async def _make(self, gone: Gone, build_id: UUID, attempt: Attempt) -> None:
        maker = self._makers[gone.kind]
        if attempt.contents is None:
            raise CannotBeMade(LostReason.NOT_PROVABLE)
        async with self._disputes.undisputed(gone.business_id, gone.cutoff) as refuse_disputed:
            if attempt.stopped_build_id is not None:
                await maker.clear(gone, attempt.stopped_build_id)
            failpoint("remaking.begun")
            contents = await maker.make(gone, build_id)
            failpoint("remaking.made")
            if contents != attempt.contents:
                await self._proof.touch_scope(gone.business_id)
                await self._proof.prove_changed()
                await refuse_disputed()
                raise CannotBeMade(LostReason.ROWS_DIFFER)
            restored = await self._repository.restore(gone, build_id)
        failpoint("remaking.restored")
        if restored:
            self._metrics.remade.labels(gone.kind.value).inc()
            _log.info("remade", kind=gone.kind.value, id=str(gone.id), rows=contents.member_count)
        # Where it was not, the rows that were gone are back, or a later attempt has taken over.
        await maker.clear(gone, attempt.gone_build_id if restored else build_id)

    async def _lose(self, gone: Gone, build_id: UUID, reason: LostReason) -> None:
        await self._makers[gone.kind].clear(gone, build_id)
        if await self._repository.lose(gone, build_id, reason, self._clock.now()):
            _log.error("lost_for_good", kind=gone.kind.value, id=str(gone.id), reason=reason.value)
