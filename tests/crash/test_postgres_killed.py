"""PostgreSQL's main process is killed with SIGKILL in the middle of an import; nothing is lost and nothing doubled."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from svoykrug import errors
from svoykrug.purchases.v1.purchases_service_pb2 import ImportPurchasesRequest

from svoykrug_client import Client
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.stores import open_stores
from tests.crash import proof
from tests.crash.own_rows import BATCH_ROWS, OwnCircle, add_circle
from tests.crash.server_process import settings_of, started
from tests.crash.stores_seen import pipeline
from tests.waiting import until

BATCHES, BATCHES_BEFORE = 20, 8
BOUND_SECONDS = 30.0


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Postgres]:
    """Connects to the server's PostgreSQL without starting one: a process that uses gRPC is better not forked."""
    postgres = await Postgres.connect(PostgresOptions(url))
    yield postgres
    await postgres.close()


async def import_with_postgres_killed(
    client: Client, circle: OwnCircle, data_dir: Path, url: str
) -> errors.SvoyKrugError:
    """Begins the import, kills PostgreSQL once some batches are committed, and returns what the client is told."""
    killed = asyncio.Event()

    async def requests() -> AsyncIterator[ImportPurchasesRequest]:
        for number in range(BATCHES):
            if number == BATCHES_BEFORE:
                await killed.wait()
            yield circle.batch(number)

    async def send() -> None:
        await client.purchases.ImportPurchases(requests())

    sending = asyncio.create_task(send())
    async with connected(url) as postgres:

        async def committed() -> bool:
            return (await pipeline(postgres)).committed_rows == BATCHES_BEFORE * BATCH_ROWS

        await until(committed, BOUND_SECONDS)
    assert not sending.done()
    os.kill(int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
    killed.set()
    with pytest.raises(errors.SvoyKrugError) as told:
        await sending
    return told.value


async def test_an_import_is_sent_again_after_postgres_is_killed_in_it(data_dir: Path) -> None:
    key = await proof.service_key(data_dir)
    async with open_stores(settings_of(data_dir)) as stores:
        circle = await add_circle(stores.postgres)
        assert stores.embedded is not None
        url = stores.embedded.url  # The server starts PostgreSQL on the same port.
    async with started(data_dir) as server, Client(await server.target(), insecure=True, service_key=key) as client:
        told = await import_with_postgres_killed(client, circle, data_dir, url)
        rows = list(circle.rows(BATCHES))
        answer = await client.import_purchases(str(circle.business_id), rows, batch_rows=BATCH_ROWS)
        fresh = await proof.settled_freshness(client)
        async with connected(url) as postgres:
            own = await proof.check_freshness(fresh, circle, BATCHES, postgres)
        assert not server.is_dead
    await proof.check_warehouse(data_dir, own)
    proof.check_answer(answer, BATCHES)
    assert answer.duplicate_count >= BATCHES_BEFORE * BATCH_ROWS
    # Where the refusal meets a batch that is being written, gRPC's client may tell of the failed write alone.
    if not isinstance(told, errors.ConnectionLost):
        assert isinstance(told, errors.Unavailable)
        assert told.retry_after is not None
