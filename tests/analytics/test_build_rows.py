"""Whether the warehouse holds all rows of a build: counted once, and again when the table has changed."""

from uuid import UUID, uuid4

import pytest

from svoykrug_server.analytics.build_rows import SNAPSHOT_MEMBERS, WHOLE_SECONDS, Build, BuildRows
from svoykrug_server.kit.errors import Unavailable
from svoykrug_server.storage.warehouse import Warehouse

FILL = """
    INSERT INTO snapshot_members
    SELECT {build_id:UUID}, number, 1, 1, 1, 1, 1, 1, 1, now64(6), now64(6) FROM numbers({row_count:UInt32})
"""


class Held:
    """The rows of builds, and a clock that a test sets."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.seconds = 100.0
        self.rows = BuildRows(warehouse, SNAPSHOT_MEMBERS, lambda: self.seconds)

    async def are_whole(self, *builds: Build, anew: bool = False) -> bool:
        try:
            await self.rows.refuse_partial(builds, anew=anew)
        except Unavailable:
            return False
        return True


async def written(warehouse: Warehouse, row_count: int = 1_000) -> Build:
    """Writes a build."""
    build_id = uuid4()
    await warehouse.command(FILL, {"build_id": build_id, "row_count": row_count})
    return Build(build_id, build_id, row_count)


async def lose_a_row(warehouse: Warehouse, build_id: UUID) -> None:
    sql = "DELETE FROM snapshot_members WHERE build_id = {build_id:UUID} AND member_id = 7"
    await warehouse.command(sql, {"build_id": build_id})


async def test_a_build_that_lacks_a_row_is_refused_and_others_are_not(warehouse: Warehouse) -> None:
    held, whole, partial = Held(warehouse), await written(warehouse), await written(warehouse)
    await lose_a_row(warehouse, partial.id)
    assert await held.are_whole(whole)
    assert not await held.are_whole(partial)
    assert not await held.are_whole(whole, partial)
    assert not await held.are_whole(Build(uuid4(), uuid4(), 1))
    assert await held.are_whole(Build(uuid4(), uuid4(), 0))


async def test_a_lost_row_is_noticed_within_the_bound_and_at_once_where_that_is_asked(warehouse: Warehouse) -> None:
    held, build = Held(warehouse), await written(warehouse)
    assert await held.are_whole(build)
    await lose_a_row(warehouse, build.id)
    held.seconds += WHOLE_SECONDS - 0.1
    assert await held.are_whole(build)
    assert not await held.are_whole(build, anew=True)
    # Whoever has noticed remembers it.
    assert not await held.are_whole(build)


async def test_the_bound_does_not_move_with_those_who_ask(warehouse: Warehouse) -> None:
    held, build = Held(warehouse), await written(warehouse)
    assert await held.are_whole(build)
    await lose_a_row(warehouse, build.id)
    held.seconds += WHOLE_SECONDS / 2
    assert await held.are_whole(build)
    held.seconds += WHOLE_SECONDS / 2
    assert not await held.are_whole(build)


async def test_rows_are_counted_once_as_long_as_the_table_does_not_change(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, build, asked = Held(warehouse), await written(warehouse), list[str]()
    query = warehouse.query

    async def noted(sql: str, *values: dict[str, object]) -> list[tuple[object, ...]]:
        asked.append("parts" if "system.parts" in sql else "count")
        return await query(sql, *values)

    monkeypatch.setattr(warehouse, "query", noted)
    assert await held.are_whole(build)
    assert await held.are_whole(build)
    held.seconds += WHOLE_SECONDS
    assert await held.are_whole(build)
    assert asked == ["parts", "count", "parts"]
    await written(warehouse)
    assert await held.are_whole(build, anew=True)
    assert asked[3:] == ["parts", "count"]


async def test_other_rows_put_in_the_place_of_the_table_are_noticed(warehouse: Warehouse) -> None:
    held, build = Held(warehouse), await written(warehouse)
    assert await held.are_whole(build, anew=True)
    await warehouse.command("CREATE TABLE put_away AS snapshot_members")
    await warehouse.command("EXCHANGE TABLES snapshot_members AND put_away")
    assert not await held.are_whole(build, anew=True)
    await warehouse.command("EXCHANGE TABLES snapshot_members AND put_away")
    assert await held.are_whole(build, anew=True)
