"""Use case: she sees everything that is kept about her, from both stores, as it stood at one moment.

PostgreSQL is read in one snapshot through a cursor, ClickHouse page by page, and the next part is read when the one
before was taken: a slow reader makes the export slow and nothing else. A few exports run at once on a server, one of a
person; others wait for their turn within their deadline.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from uuid import UUID

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, Limited, PermissionDenied
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import Origin, event_of_call
from svoykrug_server.storage.personal_data import Declared, Person
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users.personal_data import repository
from svoykrug_server.users.personal_data.export_repository import HerRows
from svoykrug_server.users.personal_data.model import ExportedRow, ExportedTable, ExportPart, Json
from svoykrug_server.users.service import caller_of

MOST_AT_ONCE = 4
LONGEST_SECONDS = 600.0
"""How long an export may hold its snapshot, however slowly it is read."""
MOST_ROWS = 100
MOST_CHARACTERS = 64 * 1024
"""How much a part holds at most, besides its last row."""
AGAIN_AFTER = timedelta(seconds=10)
"""When somebody who exports already may ask again."""


class DataExport:
    """Shows people what is kept about them.

    Args:
        postgres: The system of record.
        warehouse: The analytics copy.
        declared: What every feature keeps of a person.
        clock: Tells the time.
    """

    def __init__(self, postgres: Postgres, warehouse: Warehouse, declared: Declared, clock: Clock) -> None:
        self._postgres = postgres
        self._warehouse = warehouse
        self._declared = declared
        self._clock = clock
        self._turn = asyncio.Semaphore(MOST_AT_ONCE)
        self._exporting: set[UUID] = set()

    async def export(self, call: Origin) -> AsyncGenerator[ExportPart]:
        """Yields everything that is kept about the caller, and last every table that was looked at.

        Raises:
            WarehouseUnavailable: Half an export is none.
            PermissionDenied: She was erased.
            Limited: OVERLOADED, an export of hers is under way here: nobody takes the turns of all others.
            DomainError: DEADLINE_EXCEEDED, it was read too slowly.
        """
        user_id = caller_of(call).subject_id
        if user_id in self._exporting:
            raise Limited(retry_after=AGAIN_AFTER)
        self._exporting.add(user_id)
        try:
            async with aclosing(self._in_turn(call, user_id)) as parts:
                async for part in parts:
                    yield part
        finally:
            self._exporting.discard(user_id)

    async def _in_turn(self, call: Origin, user_id: UUID) -> AsyncGenerator[ExportPart]:
        await self._warehouse.prepare()
        async with self._turn:
            async with self._postgres.transaction() as tx:
                event = event_of_call(call, "DATA_EXPORTED", self._clock.now(), target=("user", str(user_id)))
                await audit.append(tx, event)
            async with self._postgres.read() as connection:
                person = await repository.person(connection, user_id)
            if person is None:
                raise PermissionDenied
            try:
                async with asyncio.timeout(LONGEST_SECONDS), aclosing(self._parts(person)) as parts:
                    async for part in parts:
                        yield part
            except TimeoutError as error:
                raise DomainError("DEADLINE_EXCEEDED") from error

    async def _parts(self, person: Person) -> AsyncGenerator[ExportPart]:
        tables: list[ExportedTable] = []
        async with HerRows.reading(self._postgres, self._warehouse, person) as her:
            for kept in self._declared.kept:
                count = 0
                async with aclosing(her.rows(kept)) as rows, aclosing(_parts_of(rows)) as parts:
                    async for part in parts:
                        count += len(part.rows)
                        yield part
                tables.append(ExportedTable(kept.store, kept.table, kept.purpose, count))
        yield ExportPart(tables=tuple(tables))


async def _parts_of(rows: AsyncIterator[ExportedRow]) -> AsyncGenerator[ExportPart]:
    """Yields rows in parts of a bounded size."""
    taken: list[ExportedRow] = []
    size = 0
    async for row in rows:
        taken.append(row)
        size += _size(row.columns)
        if len(taken) == MOST_ROWS or size >= MOST_CHARACTERS:
            yield ExportPart(rows=tuple(taken))
            taken, size = [], 0
    if taken:
        yield ExportPart(rows=tuple(taken))


def _size(value: Json) -> int:
    """Returns about how many characters a value takes."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(name) + _size(part) for name, part in value.items())
    if isinstance(value, Sequence):
        return sum(map(_size, value))
    return 8
