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

# Which of these builds have a row? (a row of each is enough)
_HELD = """
    SELECT DISTINCT build_id FROM {table}
    WHERE {key} IN {{keys:Array(UUID)}} AND build_id IN {{build_ids:Array(UUID)}}
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

    async def refuse_missing(self, builds: Sequence[tuple[UUID, UUID]]) -> None:
        """Refuses builds that have no row.

        Args:
            builds: The table's key and the build of each; every one was published with a row at least.

        Raises:
            Unavailable: RESULT_BEING_REMADE.
            WarehouseUnavailable: The warehouse is away.
        """
        if not builds:
            return
        wanted = {build_id for _, build_id in builds}
        values = {"keys": [key for key, _ in builds], "build_ids": list(wanted), "limit": len(wanted)}
        sql = _HELD.format(table=self._table.name, key=self._table.key)
        if {UUID(str(row[0])) for row in await self._warehouse.query(sql, values)} != wanted:
            raise being_remade()

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
