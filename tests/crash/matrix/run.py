"""One run of the matrix: something is killed at a step, the next server finishes the work, and all of it is counted."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Sequence

from tests.crash.matrix.analytics_work import Promotion, Scoring, Training
from tests.crash.matrix.disk import Disk
from tests.crash.matrix.place import BOUND_SECONDS, Place
from tests.crash.matrix.seen import Seen, make_promotable
from tests.crash.matrix.steps import Death, Step
from tests.crash.matrix.table import Outcome
from tests.crash.matrix.work import Work, asked_until, purchases_harm
from tests.waiting import until


class Matrix:
    """Runs, one after the other, in one data folder.

    Args:
        place: The folder.
        disk: The disk below it.
        seed: Draws everything that is drawn.
    """

    def __init__(self, place: Place, disk: Disk, seed: int) -> None:
        self._place = place
        self._disk = disk
        self._dice = random.Random(seed)
        self._healed: Seen | None = None

    async def begin(self) -> None:
        """Imports what the circle has bought until now and trains a model that serves and scores."""
        circle = self._place.circle
        history = circle.history()
        async with self._place.server() as (_, client):
            for number, business_id in enumerate(circle.business_ids):
                rows = [row.message() for row in history if row.business == number]
                await client.import_purchases(str(business_id), rows)
            await self._place.healed(client)
            await Training(self._place, self._dice).finish(client)
            self._place.promotable = await make_promotable(self._place.postgres)
            promotion = Promotion(self._place, self._dice)
            await promotion.prepare()
            await promotion.finish(client)
            await Scoring(self._place, self._dice).finish(client)
        self._healed = await self._place.look()

    async def runs(self, steps: Sequence[Step]) -> AsyncIterator[Outcome]:
        """Kills something at one step after the other."""
        for step in steps:
            yield await self.run(step)

    async def run(self, step: Step) -> Outcome:
        """Kills something at a step once."""
        assert self._healed is not None
        before, work = self._healed, step.work(self._place, self._dice)
        await work.prepare()
        hit, seconds = await (self._killed(step, work, before) if step.failpoint else self._fault(step, work))
        after = self._healed = await self._place.look(work.watching)
        harm = await purchases_harm(self._place, after) + await work.harm(before, after)
        return Outcome(step, hit, harm, seconds)

    async def _killed(self, step: Step, work: Work, before: Seen) -> tuple[bool, float]:
        """Lets a server die at a step, and another finish its work; returns whether it died there, and the seconds."""
        times = self._dice.randint(1, step.most_times)
        async with self._place.server(f"{step.failpoint}:{times}", **work.settings) as (server, client):
            asking, dying = asyncio.create_task(work.ask(client)), asyncio.create_task(server.process.wait())
            await asked_until(asking, dying, BOUND_SECONDS)
        assert server.process.returncode == -signal.SIGKILL
        left = await self._place.look(work.watching)
        assert left.pipeline.committed_rows >= before.pipeline.committed_rows + work.acknowledged_rows
        hit = step.landed(Death(before, left, work))
        await self._place.end_leases()
        begun = time.monotonic()
        async with self._place.server(**work.settings) as (server, client):
            await work.finish(client)
            await self._place.healed(client)
            seconds = time.monotonic() - begun
            server.process.kill()
        return hit, seconds

    async def _fault(self, step: Step, work: Work) -> tuple[bool, float]:
        """Lets something happen to a store under a server that lives; returns whether it was felt, and the seconds."""
        assert step.fault is not None
        fault = step.fault(self._place, self._disk, self._dice)
        async with fault.server(work) as (server, client):
            asking = asyncio.create_task(work.ask(client))
            await until(work.goes_on, BOUND_SECONDS)
            hit = await fault.happen(work)
            begun = time.monotonic()
            await asyncio.gather(asking, return_exceptions=True)
            await work.finish(client)
            await self._place.healed(client)
            seconds = time.monotonic() - begun
            assert not server.is_dead
        return hit, seconds
