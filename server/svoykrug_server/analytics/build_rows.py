"""Whether the warehouse holds the rows that PostgreSQL says are published.

The rows of a build are written once, under an id that is never used again. So where one is, the build is; and an answer
without any row is true only if the build is there, which is asked after it: rows that went do not come back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from svoykrug_server.analytics.standing import being_remade
from svoykrug_server.kit.errors import WarehouseUnavailable
from svoykrug_server.storage.warehouse import Warehouse

_LAST_MEMBER_ID = 2**63 - 1
ENOUGH_ROWS = 1_000

# Which of these builds have a row of a member up to this one? (a row of each is enough)
_HELD = """
    SELECT DISTINCT build_id FROM {table}
    WHERE {key} IN {{keys:Array(UUID)}} AND build_id IN {{build_ids:Array(UUID)}}
        AND member_id <= {{last_member_id:Int64}}
    LIMIT {{limit:UInt32}}
"""

# How many rows has each build?
_COUNTS = "SELECT build_id, count() FROM {table} GROUP BY build_id"

# How many rows has the table, leftovers too? (known without reading it)
_TOTAL = "SELECT total_rows FROM system.tables WHERE database = currentDatabase() AND name = {table:String}"


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
    """A build that was published with a row at least.

    Attributes:
        key: What the table is ordered by first.
        id: The build.
        row_count: How many rows it had.
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
    """

    def __init__(self, warehouse: Warehouse, table: BuildTable) -> None:
        self._warehouse = warehouse
        self._table = table

    async def refuse_missing(self, builds: Sequence[Build]) -> None:
        """Refuses builds that have no row.

        Args:
            builds: The builds; none for no question.

        Raises:
            Unavailable: RESULT_BEING_REMADE.
            WarehouseUnavailable: The warehouse is away.
        """
        if not builds:
            return
        # Member ids are random: a part of them finds a row of each at once, and only what is not found is read whole.
        share = min(1.0, ENOUGH_ROWS / min(build.row_count for build in builds))
        left = await self._without_rows(builds, int(_LAST_MEMBER_ID * share))
        if left and await self._without_rows(left, _LAST_MEMBER_ID):
            raise being_remade()

    async def _without_rows(self, builds: Sequence[Build], last_member_id: int) -> Sequence[Build]:
        values = {
            "keys": [build.key for build in builds],
            "build_ids": [build.id for build in builds],
            "last_member_id": last_member_id,
            "limit": len(builds),
        }
        rows = await self._warehouse.query(_HELD.format(table=self._table.name, key=self._table.key), values)
        held = {UUID(str(row[0])) for row in rows}
        return [build for build in builds if build.id not in held]

    async def counts(self) -> Mapping[UUID, int]:
        """Returns how many rows each build has."""
        rows = await self._warehouse.query(_COUNTS.format(table=self._table.name), background=True)
        return {UUID(str(build_id)): int(count) for build_id, count in rows}

    async def total(self) -> int:
        """Returns how many rows there are, with those of builds that nobody sees.

        Raises:
            WarehouseUnavailable: The warehouse is away, or has no such table.
        """
        rows = await self._warehouse.query(_TOTAL, {"table": self._table.name}, background=True)
        if not rows:
            raise WarehouseUnavailable
        return int(rows[0][0])
