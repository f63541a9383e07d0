"""The data folder in which every run of the matrix happens: its PostgreSQL, its servers, and looks at both stores."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from svoykrug.analytics.v1.analytics_service_pb2 import GetFreshnessRequest

from svoykrug_client import Client, ServiceKey
from svoykrug_server.config import Settings
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.stores import open_folder
from tests.crash.matrix.circle import Circle, open_circle
from tests.crash.matrix.seen import STATEMENTS, Seen, all_proven, end_leases, seen
from tests.crash.own_rows import Totals
from tests.crash.server_process import ServerProcess, command, settings_of, started
from tests.crash.stores_seen import ask_warehouse, entry_ids, pipeline
from tests.waiting import until

BOUND_SECONDS = 60.0
SCOPES = ("purchases.read", "purchases.write", "analytics.read", "analytics.write", "operations.read")


@dataclass(slots=True)
class Place:
    """A data folder.

    Attributes:
        data_dir: The folder.
        postgres: Its PostgreSQL, which outlives the servers.
        key: The service account that asks.
        circle: The test's own books.
        promotable: The models that are good enough to serve.
    """

    data_dir: Path
    postgres: Postgres
    key: ServiceKey
    circle: Circle
    promotable: list[UUID] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """The settings by which the test opens the stores itself."""
        return settings_of(self.data_dir)

    @asynccontextmanager
    async def server(self, failpoints: str = "", **settings: str) -> AsyncIterator[tuple[ServerProcess, Client]]:
        """Starts a server and a client that may call it; without a schedule, unless the settings say so."""
        async with (
            started(self.data_dir, failpoints, **{"SCHEDULE_ENABLED": "false", **settings}) as server,
            Client(await server.target(), insecure=True, service_key=self.key) as client,
        ):
            yield server, client

    async def look(self, watching: str = "") -> Seen:
        """Looks at both stores while no server runs.

        Args:
            watching: A further question to ClickHouse.
        """
        questions = (*STATEMENTS, watching) if watching else STATEMENTS
        return await seen(self.postgres, await ask_warehouse(self.data_dir, *questions))

    async def healed(self, client: Client) -> None:
        """Waits until everything is shipped, every day is proven, and the server calls both stores equal.

        What a sensitive business sells is not in what the server tells a service account, so PostgreSQL is asked, too.
        """

        async def shipped() -> bool:
            now = await pipeline(self.postgres)
            return now.shipped_rows == now.committed_rows

        async def equal() -> bool:
            fresh = await client.analytics.GetFreshness(GetFreshnessRequest())
            return fresh.equal and (fresh.waiting_count, fresh.disputed_day_count) == (0, 0)

        async def proven() -> bool:
            return await all_proven(self.postgres)

        await until(shipped, BOUND_SECONDS)
        await until(equal, BOUND_SECONDS)
        await until(proven, BOUND_SECONDS)

    async def own_totals(self) -> Totals:
        """Returns what each store must hold, by the test's own books."""
        return self.circle.totals(await entry_ids(self.postgres))

    async def end_leases(self) -> None:
        """Ends every lease: the next server need not wait for those of the dead one."""
        await end_leases(self.postgres)


@asynccontextmanager
async def opened(data_dir: Path, seed: int) -> AsyncIterator[Place]:
    """Makes a data folder with a circle that has bought for a year and has a model that serves."""
    folder = open_folder(settings_of(data_dir))
    embedded = await asyncio.to_thread(EmbeddedPostgres.start, folder)
    # Migrates, too.
    key_file, scopes = data_dir.parent / "key.json", [part for scope in SCOPES for part in ("--scope", scope)]
    await command(data_dir, "keys", "create-service-account", "crash", *scopes, "--key-file", str(key_file))
    postgres = await Postgres.connect(PostgresOptions(embedded.url))
    try:
        place = Place(data_dir, postgres, ServiceKey.from_file(key_file), Circle(seed))
        await open_circle(postgres, place.circle)
        yield place
    finally:
        await postgres.close()
        await asyncio.to_thread(embedded.stop)
