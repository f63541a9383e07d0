"""Every refused row of a file can be read, however many there are: by pages, of the latest reading, for a week."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from svoykrug_server.kit.errors import FailedPrecondition, InvalidFields, NotFound, PermissionDenied
from svoykrug_server.operations.model import OperationState
from svoykrug_server.purchases.csv import reader
from svoykrug_server.purchases.csv.model import MAX_REJECTED_ROWS, CsvFormat, ImportState, Problem, ReportedRow
from tests.callers import person
from tests.purchases.circle import IMPORTER, Circle
from tests.purchases.csv.running import (
    NoProgress,
    fetched,
    figures,
    file_of,
    imported,
    run,
    runner_of,
    uploaded,
)

DATE = "01.05.2026 15:00"
MANY = 20_000


async def pages(
    circle: Circle, business_id: UUID, import_id: UUID, size: int = 0
) -> AsyncIterator[tuple[list[ReportedRow], str]]:
    token = ""
    while True:
        page = await circle.csv.uploads.list_rejections(IMPORTER, business_id, import_id, size, token)
        yield list(page.rows), token
        token = page.next_page_token
        if not token:
            return


async def report(circle: Circle, business_id: UUID, import_id: UUID, size: int = 0) -> list[ReportedRow]:
    return [row async for rows, _ in pages(circle, business_id, import_id, size) for row in rows]


async def test_tens_of_thousands_of_refused_rows_are_counted_and_each_is_listed_once(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    lines = [f"+79990000000;r-{number};1;{DATE}" for number in range(MANY)]
    lines[7] = f"{member.phone};good;1;{DATE}"
    lines[-1] = "nobody;last;1;"
    content = file_of(*lines)

    tried = await imported(circle, business_id, content, dry_run=True)
    written = await imported(circle, business_id, content)
    tried_rows = await report(circle, business_id, tried.id)
    written_sizes = [len(rows) async for rows, _ in pages(circle, business_id, written.id, 1_000_000)]

    assert figures(tried) == figures(written) == (MANY, 1, 0, MANY - 1)
    assert [row.line_number for row in tried_rows] == [number + 2 for number in range(MANY) if number != 7]
    assert tried_rows == await report(circle, business_id, written.id, 5_000)
    assert (tried_rows[-1].reason, tried_rows[-1].column) == ("INVALID_FIELDS", "Телефон")
    assert written_sizes == [5_000] * 3 + [4_999]
    assert written.rejected_rows == tried.rejected_rows == tried_rows[:MAX_REJECTED_ROWS]


async def test_a_file_that_is_read_again_is_reported_anew_and_an_old_page_token_is_refused(circle: Circle) -> None:
    business_id = await circle.add_business()
    import_id = await uploaded(circle, business_id, file_of(*(f"+7999000000{n};r-{n};1;{DATE}" for n in range(3))))
    await run(circle, business_id, import_id, dry_run=True)
    first = await circle.csv.uploads.list_rejections(IMPORTER, business_id, import_id, 1, "")
    await circle.add_member("+79990000000")
    operation = await circle.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=False)

    waiting = await report(circle, business_id, import_id)
    shown = await circle.csv.uploads.get(IMPORTER, business_id, import_id)
    await runner_of(circle).run_one()

    assert (waiting, shown.rejected_rows, shown.preview_rows) == ([], (), ())
    assert (await circle.operations.get(IMPORTER, operation.id)).state is OperationState.SUCCEEDED
    assert [row.external_id for row in await report(circle, business_id, import_id, 1)] == ["r-1", "r-2"]
    with pytest.raises(InvalidFields, match="INVALID_PAGE_TOKEN"):
        await circle.csv.uploads.list_rejections(IMPORTER, business_id, import_id, 1, first.next_page_token)


async def test_a_trial_that_is_taken_over_is_told_once(circle: Circle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "BATCH_ROWS", 2)
    business_id, member = await circle.add_business(), await circle.add_member()
    lines = [f"{member.phone if number % 2 else '+79990000000'};r-{number};1;{DATE}" for number in range(9)]
    import_id = await uploaded(circle, business_id, file_of(*lines))
    operation = await circle.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=True)
    parameters, work = (await circle.operations.get(IMPORTER, operation.id)).parameters, circle.csv.work["import_csv"]

    with pytest.raises(asyncio.CancelledError):
        await work(parameters, DyingProgress())
    between = await circle.csv.uploads.get(IMPORTER, business_id, import_id)
    await work(parameters, NoProgress())
    ended = await circle.csv.uploads.get(IMPORTER, business_id, import_id)

    assert (between.state, figures(between)) == (ImportState.RUNNING, (4, 2, 0, 2))
    assert (ended.state, figures(ended)) == (ImportState.TRIED, (9, 4, 0, 5))
    assert [row.external_id for row in await report(circle, business_id, import_id)] == [
        f"r-{n}" for n in range(0, 9, 2)
    ]
    assert len(ended.preview_rows) == 2


class DyingProgress(NoProgress):
    """Ends the work as a lost lease does."""

    async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:  # noqa: ARG002  # the runner's
        if rows_done >= 4:
            raise asyncio.CancelledError


async def test_the_report_goes_after_a_week_and_the_counts_stay(circle: Circle) -> None:
    business_id = await circle.add_business()
    written = await imported(circle, business_id, file_of(f"+79990000000;r-1;1;{DATE}"))
    before = await report(circle, business_id, written.id)

    circle.clock.advance(timedelta(days=7, seconds=1))
    await circle.csv.housekeeping.forget()

    assert len(before) == 1
    assert await report(circle, business_id, written.id) == []
    assert figures(await circle.csv.uploads.get(IMPORTER, business_id, written.id)) == (1, 0, 0, 1)
    assert await fetched(circle, "SELECT count(*) FROM csv_rows") == [(0,)]


async def test_the_report_of_another_business_is_not_there(circle: Circle) -> None:
    business_id, other_id = await circle.add_business(), await circle.add_business()
    written = await imported(circle, business_id, file_of(f"+79990000000;r-1;1;{DATE}"))

    for import_id in (written.id, uuid4()):
        with pytest.raises(NotFound):
            await circle.csv.uploads.list_rejections(IMPORTER, other_id, import_id, 0, "")
        with pytest.raises(PermissionDenied):
            await circle.csv.uploads.list_rejections(person(), other_id, import_id, 0, "")


async def test_a_file_that_is_written_is_not_read_again_and_the_same_finish_gives_the_same_operation(
    circle: Circle,
) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    import_id = await uploaded(circle, business_id, file_of(f"{member.phone};r-1;1;{DATE}"))
    first = await circle.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=False)
    await runner_of(circle).run_one()

    again = await circle.csv.uploads.finish(IMPORTER, business_id, import_id, CsvFormat(), dry_run=False)

    assert again.id == first.id
    assert not await runner_of(circle).run_one()
    for told, dry_run in ((None, True), (CsvFormat(delimiter=";"), False)):
        with pytest.raises(FailedPrecondition, match="CSV_IMPORT_WRITTEN"):
            await circle.csv.uploads.finish(IMPORTER, business_id, import_id, told, dry_run=dry_run)


async def test_a_file_with_more_rows_than_any_has_is_not_read(circle: Circle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_ROWS", 2)
    business_id = await circle.add_business()

    failed = await imported(circle, business_id, file_of(*(f"+79990000000;r-{n};1;{DATE}" for n in range(3))))

    assert (failed.state, failed.problem, failed.problem_facts) == (
        ImportState.FAILED,
        Problem.TOO_MANY_ROWS,
        {"most": "2"},
    )
