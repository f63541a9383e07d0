"""What refused rows take of PostgreSQL is bounded: the oldest reports go, and every answer says what a report holds."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.purchases import reports_repository
from svoykrug_server.purchases.csv import reader
from svoykrug_server.purchases.imports import ImportBatch, ImportReport
from svoykrug_server.purchases.reports_repository import ReportLimits
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.purchases.circle import IMPORTER, NOON, Circle, rows_of
from tests.purchases.csv.running import fetched, file_of, imported, run, uploaded

MOST_ROWS, MOST_REPORTS, BATCH_ROWS = 20, 4, 5
LINE = "+79990000000;r-{};1;01.05.2026 15:00"


@pytest.fixture
def circle(postgres: Postgres, warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Circle:
    """A circle whose reports hold little, and whose batches are small."""
    monkeypatch.setattr(reader, "BATCH_ROWS", BATCH_ROWS)
    monkeypatch.setattr(reports_repository, "_ROWS_DELETED_AT_ONCE", BATCH_ROWS)
    return Circle(postgres, warehouse, clock, ReportLimits(MOST_ROWS, MOST_REPORTS))


async def refused(circle: Circle, business_id: UUID, count: int) -> ImportReport:
    """Imports so many rows that name nobody, and looks after each batch that no more rows are kept than may be."""

    async def batches() -> AsyncIterator[ImportBatch]:
        for first in range(0, count, BATCH_ROWS):
            assert await kept(circle, business_id) <= MOST_ROWS
            rows = [(f"r-{number}", "+79990000000", 1, NOON) for number in range(first, min(first + BATCH_ROWS, count))]
            yield ImportBatch(business_id, rows_of(*rows, first_number=first))

    circle.pass_time()
    report = await circle.imports.run(IMPORTER, circle.imports.new_id(), batches())
    assert await kept(circle, business_id) <= MOST_ROWS
    return report


async def refused_in_file(circle: Circle, business_id: UUID, count: int, *, dry_run: bool = False) -> UUID:
    """Imports a file of so many rows that name nobody and returns the import's id."""
    circle.pass_time()
    content = file_of(*(LINE.format(number) for number in range(count)))
    import_id = (await imported(circle, business_id, content, dry_run=dry_run)).id
    assert await kept(circle, business_id) <= MOST_ROWS
    return import_id


async def kept(circle: Circle, business_id: UUID) -> int:
    """Returns how many refused rows of a business are stored, shown or not."""
    query = (
        "SELECT (SELECT count(*) FROM import_rejections WHERE business_id = $1) + (SELECT count(*) FROM csv_rows "
        "JOIN csv_imports ON csv_imports.id = csv_import_id WHERE business_id = $1 AND role = 'rejected')"
    )
    ((count,),) = await fetched(circle, query, business_id)
    return int(count)


async def listed(circle: Circle, business_id: UUID, import_id: UUID) -> list[int]:
    page = await circle.imports.list_rejections(business_id, import_id, 0, "")
    return [row.row_number for row in page.rows]


async def listed_of_file(circle: Circle, business_id: UUID, import_id: UUID) -> list[int]:
    page = await circle.csv.uploads.list_rejections(IMPORTER, business_id, import_id, 0, "")
    found = await circle.csv.uploads.get(IMPORTER, business_id, import_id)
    assert found.rejected_rows == page.rows
    assert found.reported_count == len(page.rows)
    return [row.line_number for row in page.rows]


async def test_of_more_rows_than_a_report_holds_the_first_are_kept_and_all_are_counted(circle: Circle) -> None:
    business_id = await circle.add_business()

    report = await refused(circle, business_id, 33)
    file_id = await refused_in_file(circle, business_id, 33, dry_run=True)
    found = await circle.csv.uploads.get(IMPORTER, business_id, file_id)

    assert (report.outcome.rejected_count, report.reported_count) == (33, MOST_ROWS)
    assert await listed(circle, business_id, report.import_id) == []
    assert (found.counts.rejected, found.reported_count) == (33, MOST_ROWS)
    assert await listed_of_file(circle, business_id, file_id) == list(range(2, 2 + MOST_ROWS))


async def test_the_oldest_reports_go_whole_when_newer_ones_need_their_room(circle: Circle) -> None:
    business_id, other_id = await circle.add_business(), await circle.add_business()
    others = await refused(circle, other_id, 12)
    first = await refused(circle, business_id, 8)
    second = await refused_in_file(circle, business_id, 8)
    third = await refused(circle, business_id, 6)
    before = await listed(circle, business_id, first.import_id)
    fourth = await refused_in_file(circle, business_id, 7)

    assert (before, await listed(circle, business_id, first.import_id)) == ([], [])
    assert await listed_of_file(circle, business_id, second) == []
    assert await listed(circle, business_id, third.import_id) == list(range(6))
    assert await listed_of_file(circle, business_id, fourth) == list(range(2, 9))
    assert await listed(circle, other_id, others.import_id) == list(range(12))
    shown = await circle.csv.uploads.get(IMPORTER, business_id, second)
    assert (shown.counts.rejected, len(shown.preview_rows), shown.rejected_rows) == (8, 5, [])


async def test_a_business_has_so_many_reports_at_most(circle: Circle) -> None:
    business_id = await circle.add_business()
    reports = [await refused(circle, business_id, 1) for _ in range(MOST_REPORTS + 2)]

    found = [await listed(circle, business_id, report.import_id) for report in reports]

    assert found == [[]] * 2 + [[0]] * MOST_REPORTS
    assert await fetched(circle, "SELECT count(*) FROM import_reports") == [(MOST_REPORTS,)]


async def test_failing_imports_repeated_for_ever_take_no_more_room(circle: Circle) -> None:
    business_id = await circle.add_business()

    for _ in range(6):
        report = await refused(circle, business_id, 13)
        assert report.reported_count == 13
        await refused_in_file(circle, business_id, 17)

    assert await kept(circle, business_id) <= MOST_ROWS


async def test_an_import_whose_report_is_dropped_while_it_runs_says_so_and_reports_nothing_more(circle: Circle) -> None:
    business_id = await circle.add_business()
    begun, overtaken = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[ImportBatch]:
        for first in range(0, 15, BATCH_ROWS):
            if first == 10:
                begun.set()
                await overtaken.wait()
            rows = [(f"slow-{number}", "+79990000000", 1, NOON) for number in range(first, first + BATCH_ROWS)]
            yield ImportBatch(business_id, rows_of(*rows, first_number=first))

    old_id = circle.imports.new_id()
    running = asyncio.create_task(circle.imports.run(IMPORTER, old_id, slow()))
    await asyncio.wait_for(begun.wait(), 60)
    newer = await refused(circle, business_id, 18)
    overtaken.set()
    report = await running

    assert (report.outcome.rejected_count, report.reported_count) == (15, 0)
    assert await listed(circle, business_id, old_id) == []
    assert await listed(circle, business_id, newer.import_id) == list(range(18))


async def test_a_file_that_is_read_again_is_reported_anew_after_its_report_was_dropped(circle: Circle) -> None:
    business_id = await circle.add_business()
    circle.pass_time()
    import_id = await uploaded(circle, business_id, file_of(*(LINE.format(number) for number in range(4))))
    await run(circle, business_id, import_id, dry_run=True)
    await refused(circle, business_id, 18)
    dropped = await listed_of_file(circle, business_id, import_id)
    circle.clock.advance(timedelta(days=6))

    await run(circle, business_id, import_id, dry_run=True)

    assert dropped == []
    assert await listed_of_file(circle, business_id, import_id) == [2, 3]
    assert (await circle.csv.uploads.get(IMPORTER, business_id, import_id)).counts.rejected == 4


async def test_reports_are_forgotten_with_their_rows(circle: Circle) -> None:
    business_id = await circle.add_business()
    await refused(circle, business_id, 3)
    await refused_in_file(circle, business_id, 3)
    circle.clock.advance(timedelta(days=7, seconds=2))

    await circle.csv.housekeeping.forget()

    assert await kept(circle, business_id) == 0
    assert await fetched(circle, "SELECT import_id FROM import_reports") == []
