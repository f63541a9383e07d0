"""A row of a published build is read once as long as members are asked about again, and never outlives its build."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from svoykrug_server.analytics.build_rows import SNAPSHOT_MEMBERS, WHOLE_SECONDS, BuildRows
from svoykrug_server.analytics.model import Snapshot
from svoykrug_server.analytics.published_rows import PublishedRows
from svoykrug_server.analytics.rows_read import RowsRead
from svoykrug_server.kit.errors import Unavailable
from tests.analytics.circles import CUTOFF, ingest, random_circle
from tests.analytics.snapshots import Analytics


class Reading:
    """Snapshots as callers read them, what the engine was asked, and a clock that a test sets."""

    def __init__(self, analytics: Analytics, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds, self.asked = 100.0, list[str]()
        held = BuildRows(analytics.warehouse, SNAPSHOT_MEMBERS, lambda: self.seconds)
        self.rows = PublishedRows(analytics.rows, held)
        query = analytics.warehouse.query

        async def noted(sql: str, *values: Any, **options: Any) -> list[tuple[Any, ...]]:
            self.asked.append(sql)
            return await query(sql, *values, **options)

        monkeypatch.setattr(analytics.warehouse, "query", noted)


async def test_a_member_asked_about_again_is_told_from_what_was_read(
    analytics: Analytics, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ingest(analytics.warehouse, random_circle(6))
    snapshot = await analytics.snapshot()
    first, second = await analytics.rows.page(snapshot.build_id, None, None, 2)
    reading = Reading(analytics, monkeypatch)
    assert await reading.rows.member(snapshot, first.member_id) == first
    reading.asked.clear()
    assert await reading.rows.member(snapshot, first.member_id) == first
    assert not reading.asked
    assert await reading.rows.member(snapshot, second.member_id) == second
    assert len(reading.asked) == 1


async def test_another_snapshot_has_rows_of_its_own(analytics: Analytics, monkeypatch: pytest.MonkeyPatch) -> None:
    await ingest(analytics.warehouse, random_circle(6))
    later, earlier = await analytics.snapshot(), await analytics.snapshot(cutoff=CUTOFF - timedelta(days=40))
    reading = Reading(analytics, monkeypatch)
    for row in await analytics.rows.page(earlier.build_id, None, None, 20):
        of_later = await analytics.rows.member(later.build_id, row.member_id)
        assert await reading.rows.member(later, row.member_id) == of_later
        assert await reading.rows.member(earlier, row.member_id) == row
        assert row != of_later


async def test_a_row_that_was_read_is_refused_with_its_build(
    analytics: Analytics, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ingest(analytics.warehouse, random_circle(6))
    snapshot = await analytics.snapshot()
    row, other = await analytics.rows.page(snapshot.build_id, None, None, 2)
    reading = Reading(analytics, monkeypatch)
    assert await reading.rows.member(snapshot, row.member_id) == row
    await lose(analytics, snapshot, other.member_id)
    reading.seconds += WHOLE_SECONDS
    for _ in range(2):
        with pytest.raises(Unavailable):
            await reading.rows.member(snapshot, row.member_id)


async def test_a_member_whom_a_snapshot_does_not_hold_is_looked_for_each_time(
    analytics: Analytics, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ingest(analytics.warehouse, random_circle(6))
    snapshot = await analytics.snapshot()
    reading = Reading(analytics, monkeypatch)
    assert await reading.rows.member(snapshot, 2**62) is None
    reading.asked.clear()
    assert await reading.rows.member(snapshot, 2**62) is None
    assert "PREWHERE" in reading.asked[0]
    assert any("system.parts" in sql for sql in reading.asked)


async def test_a_row_of_a_build_that_lacks_others_is_not_kept(
    analytics: Analytics, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ingest(analytics.warehouse, random_circle(6))
    snapshot = await analytics.snapshot()
    (row,) = await analytics.rows.page(snapshot.build_id, None, None, 1)
    more = replace(snapshot, member_count=snapshot.member_count + 1)
    reading = Reading(analytics, monkeypatch)
    for _ in range(2):
        reading.asked.clear()
        with pytest.raises(Unavailable):
            await reading.rows.member(more, row.member_id)
        assert any("PREWHERE" in sql for sql in reading.asked)


def test_the_row_asked_for_longest_ago_makes_room() -> None:
    read, build_id = RowsRead[str](2), uuid4()
    for member_id in (1, 2):
        read.keep(build_id, member_id, f"row {member_id}")
    assert read.get(build_id, 1) == "row 1"
    read.keep(build_id, 3, "row 3")
    assert [read.get(build_id, member_id) for member_id in (1, 2, 3)] == ["row 1", None, "row 3"]
    assert read.get(uuid4(), 1) is None


async def lose(analytics: Analytics, snapshot: Snapshot, member_id: int) -> None:
    sql = "DELETE FROM snapshot_members WHERE build_id = {build_id:UUID} AND member_id = {member_id:Int64}"
    await analytics.warehouse.command(sql, {"build_id": snapshot.build_id, "member_id": member_id})
