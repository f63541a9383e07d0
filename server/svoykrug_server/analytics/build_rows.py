"""Whether the warehouse holds the rows that PostgreSQL says are published: all of them.

The rows of a build are written once, under an id that is never used again, so as many rows as were published are those
rows. They are counted, and counted again only after the table has changed: ClickHouse keeps rows in parts that never
change, and knows each by a hash of its files. Rows that went do not come back, so what is found after an answer was
read was so when it was read.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from svoykrug_server.analytics.standing import being_remade
from svoykrug_server.storage.warehouse import Warehouse

WHOLE_SECONDS = 5.0
"""So long an answer that has rows trusts that the table is as it was last seen."""

# How many rows has each of these builds? (and others under the same key)
_COUNTS_OF = "SELECT build_id, count() FROM {table} WHERE {key} IN {{keys:Array(UUID)}} GROUP BY build_id"

# How many rows has each build?
_COUNTS = "SELECT build_id, count() FROM {table} GROUP BY build_id"

# Of which parts is the table made? (known without reading it; 0 also of no table)
_PARTS = """
    SELECT sum(cityHash64(name, rows, hash_of_all_files)) FROM system.parts
    WHERE active AND database = currentDatabase() AND table = {table:String}
"""


@dataclass(frozen=True, slots=True)
class BuildTable:
    """A table of the warehouse that builds write.

    Attributes:
        name: Its name.
        key: The first column of its order.
    """

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Build:
    """A build that was published.

    Attributes:
        key: What the table is ordered by first.
        id: The build.
        row_count: How many rows it has.
    """

    key: UUID
    id: UUID
    row_count: int


SNAPSHOT_MEMBERS = BuildTable("snapshot_members", "build_id")
CHURN_SCORES = BuildTable("churn_scores", "scoring_id")


class BuildRows:
    """The builds of a table.

    Args:
        warehouse: The analytics copy.
        table: The table.
        monotonic: Tells seconds that only grow.
    """

    def __init__(
        self, warehouse: Warehouse, table: BuildTable, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._warehouse = warehouse
        self._table = table
        self._monotonic = monotonic
        self._parts: int | None = None
        self._whole: set[UUID] = set()
        self._seen_seconds = 0.0

    async def refuse_partial(self, builds: Sequence[Build], *, anew: bool) -> None:
        """Refuses builds that lack a row; asked after they were read.

        Args:
            builds: The builds; none for no question.
            anew: Whether the table is looked at now. Else it may have been up to `WHOLE_SECONDS` ago.

        Raises:
            Unavailable: RESULT_BEING_REMADE.
            WarehouseUnavailable: The warehouse is away.
        """
        is_old = self._parts is None or self._monotonic() - self._seen_seconds >= WHOLE_SECONDS
        if builds and (anew or is_old or any(build.id not in self._whole for build in builds)):
            await self._look(builds)

    async def _look(self, builds: Sequence[Build]) -> None:
        """Counts the builds, unless that was done since the table changed."""
        seen_seconds, parts = self._monotonic(), await self.parts()
        if parts != self._parts:
            self._parts, self._whole = parts, set()
        self._seen_seconds = seen_seconds
        unknown = [build for build in builds if build.id not in self._whole]
        if not unknown:
            return
        sql = _COUNTS_OF.format(table=self._table.name, key=self._table.key)
        counts = _by_build(await self._warehouse.query(sql, {"keys": [build.key for build in unknown]}))
        if any(counts.get(build.id, 0) != build.row_count for build in unknown):
            raise being_remade()
        if parts == self._parts:
            self._whole.update(build.id for build in unknown)

    async def counts(self) -> Mapping[UUID, int]:
        """Returns how many rows each build has.

        Raises:
            WarehouseUnavailable: The warehouse is away, or has no such table.
        """
        return _by_build(await self._warehouse.query(_COUNTS.format(table=self._table.name), background=True))

    async def parts(self) -> int:
        """Returns a number that is another one as soon as any row comes or goes.

        Raises:
            WarehouseUnavailable: The warehouse is away.
        """
        return int((await self._warehouse.query(_PARTS, {"table": self._table.name}))[0][0])


def _by_build(rows: Sequence[tuple[object, ...]]) -> Mapping[UUID, int]:
    return {UUID(str(build_id)): int(str(count)) for build_id, count in rows}
