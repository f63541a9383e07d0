"""Purchases on their way to the warehouse: imported, shipped again, proven, repaired, rebuilt."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from svoykrug.purchases.v1.purchases_service_pb2 import ImportPurchasesRequest

from svoykrug_client import Client
from tests.crash.matrix.circle import Row
from tests.crash.matrix.place import BOUND_SECONDS, Place
from tests.crash.matrix.seen import begin_rebuild, execute
from tests.crash.matrix.work import Work, asked_until
from tests.crash.stores_seen import ask_warehouse, pipeline
from tests.waiting import until


class Importing(Work):
    """An import of late rows to every business, in small batches, shipped as they come."""

    settings = {"RELAY_BATCH_ENTRIES": "100"}  # noqa: RUF012  a constant of the class
    fewest_rows, most_rows = 320, 500

    def __init__(self, place: Place, dice: random.Random) -> None:
        super().__init__(place, dice)
        self.rows: Sequence[Row] = ()
        self._committed_before = 0

    async def prepare(self) -> None:
        """Draws the rows."""
        self.rows = self.place.circle.more(self.dice.randint(self.fewest_rows, self.most_rows))
        self._committed_before = (await pipeline(self.place.postgres)).committed_rows

    async def ask(self, client: Client) -> None:
        """Imports them, one stream a business."""
        for business_id, rows in self._by_business():
            await client.purchases.ImportPurchases(self._requests(business_id, rows))
            self.acknowledged_rows += len(rows)

    async def goes_on(self) -> bool:
        """Tells whether some rows are committed and some not shipped yet."""
        now = await pipeline(self.place.postgres)
        return now.committed_rows > self._committed_before and now.shipped_rows < len(self.place.circle.rows)

    async def finish(self, client: Client) -> None:
        """Imports all of them again."""
        for business_id, rows in self._by_business():
            answer = await client.import_purchases(str(business_id), [row.message() for row in rows])
            assert answer.recorded_count + answer.duplicate_count == answer.received_count == len(rows)

    def _by_business(self) -> list[tuple[UUID, list[Row]]]:
        ids = self.place.circle.business_ids
        grouped = [(at, [row for row in self.rows if row.business == number]) for number, at in enumerate(ids)]
        return [(business_id, rows) for business_id, rows in grouped if rows]

    async def _requests(self, business_id: UUID, rows: Sequence[Row]) -> AsyncIterator[ImportPurchasesRequest]:
        first = 0
        while first < len(rows):
            batch = rows[first : first + self.dice.randint(20, 90)]
            messages = [row.message() for row in batch]
            yield ImportPurchasesRequest(business_id=str(business_id), purchases=messages)
            first += len(batch)


class ImportingMore(Importing):
    """An import that is long enough to lose a store in."""

    fewest_rows, most_rows = 1_000, 2_000


class ShippingAgain(Importing):
    """A batch of which the warehouse lost a row after it was inserted and before it was marked shipped."""

    async def prepare(self) -> None:
        """Kills a server right after an insert, and takes a row of it away."""
        await super().prepare()
        async with self.place.server("relay.inserted:1", **self.settings) as (server, client):
            asking, dying = asyncio.create_task(super().ask(client)), asyncio.create_task(server.process.wait())
            await asked_until(asking, dying, BOUND_SECONDS)
        newest = "SELECT entry_id FROM purchases ORDER BY batch_id DESC, entry_id LIMIT 1"
        (((entry_id,),),) = await ask_warehouse(self.place.data_dir, newest)
        await ask_warehouse(self.place.data_dir, f"DELETE FROM purchases WHERE entry_id = '{entry_id}'")  # noqa: S608  our own id
        await self.place.end_leases()

    async def ask(self, client: Client) -> None:
        """Asks for nothing: the relay ships what is sealed."""


class Tampered(Importing):
    """An import beside which one kopeck is wrong in the warehouse."""

    def __init__(self, place: Place, dice: random.Random) -> None:
        super().__init__(place, dice)
        self.amount_minor = 0

    async def prepare(self) -> None:
        """Adds a kopeck to one row of the warehouse, which is watched from then on."""
        await super().prepare()
        async with self.place.postgres.read() as connection:
            entries = await connection.fetch("SELECT entry_id, amount_minor FROM purchase_entries ORDER BY external_id")
        entry_id, self.amount_minor = self.dice.choice(entries)
        await ask_warehouse(
            self.place.data_dir,
            f"ALTER TABLE purchases UPDATE amount_minor = {self.amount_minor + 1} WHERE entry_id = '{entry_id}'"
            " SETTINGS mutations_sync = 2",
        )
        self.watching = f"SELECT amount_minor FROM purchases WHERE entry_id = '{entry_id}'"  # noqa: S608  our own id


class Proving(Tampered):
    """The proof of every day, which finds the kopeck and repairs its day."""

    async def prepare(self) -> None:
        """Makes the weekly proof of all days due."""
        await super().prepare()
        await execute(self.place.postgres, "UPDATE relay_state SET full_proof_time = NULL")


class Rebuilding(Tampered):
    """A rebuild of the warehouse."""

    settings = {"RELAY_BATCH_ENTRIES": "2000"}  # noqa: RUF012  a constant of the class

    async def prepare(self) -> None:
        """Asks for the rebuild."""
        await super().prepare()
        await begin_rebuild(self.place.postgres)

    async def finish(self, client: Client) -> None:
        """Waits for its end, too."""
        await super().finish(client)
        await until(self._is_rebuilt, BOUND_SECONDS)

    async def _is_rebuilt(self) -> bool:
        async with self.place.postgres.read() as connection:
            return bool(await connection.fetchval("SELECT rebuild_id IS NULL FROM relay_state"))
