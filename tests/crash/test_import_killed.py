"""Show: the server is killed with SIGKILL at named moments of an import, and both stores end equal with no row twice.

Each moment is a named step of the real server (`kit/failpoints.py`). Each death is asserted, from what PostgreSQL,
ClickHouse and the client saw, to have landed in an open stream and, where the step says so, on a sealed, unshipped
batch. The next server starts in the same data folder and the import is sent again from the start.
"""

import signal
from pathlib import Path

import pytest
from rich.console import Console

from svoykrug_client import Client, ServiceKey
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.stores import open_stores
from tests.crash import proof
from tests.crash.broken_import import BOUND_SECONDS, BrokenImport
from tests.crash.moments import Death, Moment, Step, kills_by_step, show
from tests.crash.own_rows import BATCH_ROWS, OwnCircle, add_circle
from tests.crash.server_process import settings_of, started
from tests.crash.stores_seen import hold_lease, pipeline, release_lease, warehouse_totals
from tests.waiting import until

NEW_BATCHES = 5
"""How many batches each stream sends that no stream sent before."""
MOMENTS = [
    Moment(Step.BEFORE_FIRST_COMMIT, 1),
    Moment(Step.SEALED, 1),
    Moment(Step.INSIDE_TRANSACTION, 1),
    Moment(Step.INSERTED, 1),
    Moment(Step.AFTER_COMMIT, 1),
    Moment(Step.SHIPPED, 1),
    Moment(Step.BETWEEN_BATCHES, 2),
    Moment(Step.CLAIMED, 1),
    Moment(Step.SEALED, 2),
    Moment(Step.BEFORE_FIRST_COMMIT, 1),
    Moment(Step.INSERTED, 2),
    Moment(Step.INSIDE_TRANSACTION, 3),
    Moment(Step.SHIPPED, 2),
    Moment(Step.AFTER_COMMIT, 4),
    Moment(Step.CLAIMED, 2),
    Moment(Step.BETWEEN_BATCHES, 4),
]


class Killing:
    """Kills one server after the other in one data folder.

    Args:
        data_dir: The folder.
        postgres: The folder's PostgreSQL, which outlives the servers.
        key: The service account that imports.
        circle: Whose rows.
    """

    def __init__(self, data_dir: Path, postgres: Postgres, key: ServiceKey, circle: OwnCircle) -> None:
        self._data_dir = data_dir
        self._postgres = postgres
        self._key = key
        self._circle = circle
        self.batches = 0

    async def kill(self, moment: Moment) -> Death:
        """Starts a server, sends the import from the start with some new batches, and lets the server die in it."""
        known, self.batches = self.batches, self.batches + NEW_BATCHES
        before = (await pipeline(self._postgres)).committed_rows // BATCH_ROWS
        relay = await hold_lease(self._postgres) if moment.step.in_relay else None
        async with started(self._data_dir, moment.armed(known)) as server:

            async def let_relay_work() -> None:
                if relay is not None:
                    await until(self._all_committed, BOUND_SECONDS)
                    assert not server.is_dead
                    await release_lease(self._postgres, relay)

            stream_open = await BrokenImport(self._circle, self.batches, server).run(self._key, let_relay_work)
        assert server.process.returncode == -signal.SIGKILL
        left = await pipeline(self._postgres)
        copied_rows = (await warehouse_totals(self._data_dir)).rows if moment.step.in_relay else None
        death = Death(moment, stream_open, left, copied_rows)
        death.check(moment.committed_batches(before, known, self.batches))
        return death

    async def _all_committed(self) -> bool:
        return (await pipeline(self._postgres)).committed_rows == self.batches * BATCH_ROWS


async def test_an_import_killed_at_sixteen_moments_ends_with_equal_stores_and_no_row_twice(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = await proof.service_key(data_dir)
    async with open_stores(settings_of(data_dir)) as stores:
        circle = await add_circle(stores.postgres)
        killing = Killing(data_dir, stores.postgres, key, circle)
        deaths = [await killing.kill(moment) for moment in MOMENTS]
        with capsys.disabled():
            show(deaths, Console(width=120))
        async with started(data_dir) as server, Client(await server.target(), insecure=True, service_key=key) as client:
            rows = list(circle.rows(killing.batches))
            answer = await client.import_purchases(str(circle.business_id), rows, batch_rows=BATCH_ROWS)
            fresh = await proof.settled_freshness(client)
        proof.check_answer(answer, killing.batches)
        own = await proof.check_freshness(fresh, circle, killing.batches, stores.postgres)
    await proof.check_warehouse(data_dir, own)

    assert min(kills_by_step(deaths)[step] for step in Step) >= 2
