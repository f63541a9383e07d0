"""A CSV file becomes purchases: tried, written, resumed, fenced."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from svoykrug_server.kit.errors import FailedPrecondition, NotFound
from svoykrug_server.operations.model import OperationState
from svoykrug_server.purchases.csv import reader
from svoykrug_server.purchases.csv.model import Counts, CsvFormat, CsvImport, ImportState, Problem
from svoykrug_server.purchases.csv.repository import CsvImportRepository
from svoykrug_server.storage.postgres import Transaction
from tests.purchases.circle import IMPORTER, NOON, Circle
from tests.purchases.csv.running import (
    HeardProgress,
    NoProgress,
    fetched,
    figures,
    file_of,
    imported,
    ledger_of,
    refusals,
    run,
    runner_of,
    uploaded,
)
from tests.waiting import until

DATE = "01.05.2026 15:00"


async def test_a_file_is_tried_then_written_and_a_second_time_only_duplicates(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member("+79991234567")
    content = file_of("8 (999) 123-45-67;A-1;1 234,56;01.05.2026 15:00", "8 999 777-66-55;A-2;10;01.05.2026")
    import_id = await uploaded(circle, business_id, content, chunk_bytes=7)

    tried = await run(circle, business_id, import_id, dry_run=True)
    ledger_tried, kept_tried = (
        await ledger_of(circle, business_id),
        await fetched(circle, "SELECT * FROM rejected_rows"),
    )
    written = await run(circle, business_id, import_id)
    again = await imported(circle, business_id, content)

    assert (tried.state, figures(tried)) == (ImportState.TRIED, (2, 1, 0, 1))
    assert (ledger_tried, kept_tried) == ({}, [])
    assert (written.state, figures(written)) == (ImportState.WRITTEN, (2, 1, 0, 1))
    assert tried.rejected_rows == written.rejected_rows
    assert tried.preview_rows == written.preview_rows
    assert refusals(written) == [(3, "MEMBER_UNKNOWN", "Телефон")]
    assert await ledger_of(circle, business_id) == {"A-1": (member.member_id, 123_456, NOON)}
    assert figures(again) == (2, 0, 1, 1)
    assert await fetched(circle, "SELECT external_id, phone FROM rejected_rows") == [("A-2", "+79997776655")]
    assert await fetched(circle, "SELECT count(*) FROM csv_chunks") == [(0,)]


async def test_every_refused_row_says_its_line_its_reason_and_the_column_as_the_file_calls_it(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member("+79991234567")
    await circle.buy(business_id, member, "taken", 1)
    content = file_of(
        "+79991234567;good;1;01.05.2026",
        "7.9991E+10;a;1;01.05.2026",
        "+79991234567;;1;01.05.2026",
        "+79991234567;c;many;01.05.2026",
        "+79991234567;d;1;31.02.2026",
        "+79991234567;e;-1;01.05.2026",
        "+79991234567;f;1;01.05.2027",
        "+79991234567;taken;2;01.05.2026",
        "+79990000000;g;1;01.05.2026",
        '+79991234567;"of two\nlines";1;01.05.2026',
        "+79991234567",
        header="Номер телефона;№ чека;Итого, руб.;Дата",
    )

    csv_import = await imported(circle, business_id, content)

    assert figures(csv_import) == (11, 1, 0, 10)
    assert refusals(csv_import) == [
        (3, "INVALID_FIELDS", "Номер телефона"),
        (4, "INVALID_FIELDS", "№ чека"),
        (5, "INVALID_FIELDS", "Итого, руб."),
        (6, "INVALID_FIELDS", "Дата"),
        (7, "AMOUNT_OUT_OF_RANGE", "Итого, руб."),
        (8, "PURCHASE_TIME_OUT_OF_RANGE", "Дата"),
        (9, "EXTERNAL_ID_CONFLICT", "№ чека"),
        (10, "MEMBER_UNKNOWN", "Номер телефона"),
        (11, "INVALID_FIELDS", "№ чека"),
        (13, "INVALID_FIELDS", "№ чека"),
    ]


async def test_a_worker_that_takes_over_goes_on_where_the_last_batch_ended_and_every_count_is_true(
    circle: Circle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BATCH_ROWS", 2)
    business_id, member = await circle.add_business(), await circle.add_member()
    import_id = await uploaded(
        circle, business_id, file_of(*(f"{member.phone};r-{number};1;{DATE}" for number in range(7)))
    )
    parameters = await started(circle, business_id, import_id)
    dying = DyingProgress(dies_at_rows=4)

    with pytest.raises(asyncio.CancelledError):
        await work(circle)(parameters, dying)
    between = await circle.csv.uploads.get(IMPORTER, business_id, import_id)
    await work(circle)(parameters, NoProgress())
    ended = await circle.csv.uploads.get(IMPORTER, business_id, import_id)
    await work(circle)(parameters, NoProgress())

    assert figures(between) == (4, 4, 0, 0)
    assert figures(ended) == (7, 7, 0, 0)
    assert len(ended.preview_rows) == 2
    assert await circle.csv.uploads.get(IMPORTER, business_id, import_id) == ended
    assert len(await ledger_of(circle, business_id)) == 7


class Meeting(NoProgress):
    """Lets workers go on once so many of them hold the file."""

    def __init__(self, count: int) -> None:
        self._barrier = asyncio.Barrier(count)

    async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:  # noqa: ARG002  # the runner's
        """Waits for the others."""
        if stage == "inspect":
            await self._barrier.wait()


async def test_a_worker_that_comes_late_to_a_file_goes_on_where_another_had_got_to(
    circle: Circle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BATCH_ROWS", 2)
    business_id, member = await circle.add_business(), await circle.add_member()
    content = file_of(*(f"{member.phone};r-{number};1;{DATE}" for number in range(8)))
    import_id = await uploaded(circle, business_id, content)
    parameters = await started(circle, business_id, import_id)
    locking, asked, may_go_on = CsvImportRepository.lock, 0, asyncio.Event()

    async def lock(repository: CsvImportRepository, tx: Transaction, wanted: UUID) -> CsvImport | None:
        nonlocal asked
        asked += 1
        if asked == 2:  # The late one has seen that nothing was written, and is about to begin.
            await may_go_on.wait()
        return await locking(repository, tx, wanted)

    monkeypatch.setattr(CsvImportRepository, "lock", lock)
    late = asyncio.create_task(work(circle)(parameters, NoProgress()))
    await until(lambda: asked == 2)
    with pytest.raises(asyncio.CancelledError):
        await work(circle)(parameters, DyingProgress(dies_at_rows=4))
    may_go_on.set()
    await late

    ended = await circle.csv.uploads.get(IMPORTER, business_id, import_id)
    assert (ended.state, figures(ended)) == (ImportState.WRITTEN, (8, 8, 0, 0))
    assert len(ended.preview_rows) == 2


async def test_of_two_workers_at_one_file_the_one_that_is_behind_stops_without_a_trace(
    circle: Circle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BATCH_ROWS", 2)
    business_id, member = await circle.add_business(), await circle.add_member()
    content = file_of(*(f"{member.phone};r-{number};1;{DATE}" for number in range(40)))
    import_id = await uploaded(circle, business_id, content)
    parameters = await started(circle, business_id, import_id)

    meeting = Meeting(2)
    outcomes = await asyncio.gather(*(work(circle)(parameters, meeting) for _ in range(2)), return_exceptions=True)

    ended = await circle.csv.uploads.get(IMPORTER, business_id, import_id)
    assert sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes) == 1
    assert (ended.state, figures(ended)) == (ImportState.WRITTEN, (40, 40, 0, 0))


async def test_progress_tells_stage_percent_and_rows(circle: Circle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "BATCH_ROWS", 2)
    business_id, member = await circle.add_business(), await circle.add_member()
    content = file_of(*(f"{member.phone};r-{number};1;{DATE}" for number in range(4)))
    import_id, progress = await uploaded(circle, business_id, content), HeardProgress()

    await work(circle)(await started(circle, business_id, import_id), progress)

    assert progress.heard == [("fetch", 0, 0), ("inspect", 5, 0), ("write", 25, 0), ("write", 62, 2)]


async def test_a_cancelled_run_keeps_its_batches_and_the_file_can_be_read_again(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    import_id = await uploaded(circle, business_id, file_of(f"{member.phone};r-1;1;{DATE}"))
    operation = await circle.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=False)

    cancelled = await circle.operations.cancel(IMPORTER, operation.id)
    between = await circle.csv.uploads.get(IMPORTER, business_id, import_id)
    written = await run(circle, business_id, import_id)

    assert cancelled.state is OperationState.CANCELLED
    assert between.state is ImportState.TRIED
    assert (written.state, figures(written)) == (ImportState.WRITTEN, (1, 1, 0, 0))


async def test_a_run_that_is_cancelled_in_the_middle_stops_and_counts_what_it_wrote(
    circle: Circle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BATCH_ROWS", 1)
    business_id, member = await circle.add_business(), await circle.add_member()
    content = file_of(*(f"{member.phone};r-{number};1;{DATE}" for number in range(2_000)))
    import_id = await uploaded(circle, business_id, content)
    operation = await circle.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=False)

    async def has_begun() -> bool:
        return (await circle.csv.uploads.get(IMPORTER, business_id, import_id)).counts.rows > 0

    running = asyncio.create_task(runner_of(circle).run_one())
    await until(has_begun)
    await circle.operations.cancel(IMPORTER, operation.id)
    await running

    ended = await circle.operations.get(IMPORTER, operation.id)
    between = await circle.csv.uploads.get(IMPORTER, business_id, import_id)
    monkeypatch.undo()
    written = await run(circle, business_id, import_id)
    kept = between.counts.recorded
    assert (ended.state, between.state) == (OperationState.CANCELLED, ImportState.TRIED)
    assert 0 < kept < 2_000
    assert figures(written) == (2_000, 2_000 - kept, kept, 0)


async def test_a_file_that_cannot_be_read_says_why_and_can_be_read_with_other_columns(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    content = file_of(f"{member.phone};r-1;1;{DATE}", header="Кто;Чек;Сколько;Когда")
    wrong = CsvFormat(phone_column="Телефон")
    right = CsvFormat(phone_column="Кто", amount_column="Сколько", time_column="когда")

    failed = await imported(circle, business_id, content, wrong)
    written = await run(circle, business_id, failed.id, right)

    assert (failed.state, failed.problem) == (ImportState.FAILED, Problem.COLUMN_UNKNOWN)
    assert failed.problem_facts == {"column": "Телефон"}
    assert (written.state, written.problem, figures(written)) == (ImportState.WRITTEN, None, (1, 1, 0, 0))
    assert written.found == CsvFormat("utf-8", ";", "Кто", "Чек", "Сколько", "Когда", "day")


async def test_a_business_that_was_archived_meanwhile_gets_no_purchase(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    import_id = await uploaded(circle, business_id, file_of(f"{member.phone};r-1;1;{DATE}"))
    operation = await circle.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=False)
    async with circle.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE businesses SET status = 'archived'")

    await runner_of(circle).run_one()

    failure = (await circle.operations.get(IMPORTER, operation.id)).failure
    assert failure is not None
    assert failure.reason == "BUSINESS_ARCHIVED"
    with pytest.raises(FailedPrecondition, match="BUSINESS_ARCHIVED"):
        await circle.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=False)
    with pytest.raises(FailedPrecondition, match="BUSINESS_ARCHIVED"):
        await circle.csv.uploads.start(IMPORTER, business_id, CsvFormat(), uuid4())


async def test_dates_and_times_are_read_in_the_circles_zone_with_the_time_in_a_column_of_its_own(
    circle: Circle,
) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    content = file_of(f"{member.phone};r-1;1;05/13/2026;9:30 PM", header="Phone,Order id,Amount,Date,Time").replace(
        b";", b","
    )

    csv_import = await imported(circle, business_id, content)

    assert csv_import.found == CsvFormat("utf-8", ",", "Phone", "Order id", "Amount", "Date", "month")
    assert (await ledger_of(circle, business_id))["r-1"][2] == datetime(2026, 5, 13, 18, 30, tzinfo=UTC)


async def test_files_are_forgotten_after_seven_days_and_of_written_ones_the_counts_stay(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    content = file_of(f"{member.phone};r-1;1;{DATE}", f"+79990000000;r-2;1;{DATE}")
    tried = await imported(circle, business_id, content, dry_run=True)
    written = await imported(circle, business_id, content)

    circle.clock.advance(timedelta(days=6, hours=23))
    kept = await circle.csv.housekeeping.forget()
    circle.clock.advance(timedelta(hours=2))
    gone = await circle.csv.housekeeping.forget()

    assert (kept, gone) == (0, 7)
    with pytest.raises(NotFound):
        await circle.csv.uploads.get(IMPORTER, business_id, tried.id)
    left = await circle.csv.uploads.get(IMPORTER, business_id, written.id)
    assert (figures(left), left.rejected_rows, left.preview_rows) == ((2, 1, 0, 1), [], [])
    assert await fetched(circle, "SELECT count(*) FROM csv_chunks") == [(0,)]


async def test_counts_that_do_not_add_up_are_none() -> None:
    with pytest.raises(ValueError, match="every row"):
        Counts(rows=2, recorded=1)


class DyingProgress(NoProgress):
    """Ends the work as a lost lease does."""

    def __init__(self, dies_at_rows: int) -> None:
        self._dies_at_rows = dies_at_rows

    async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:  # noqa: ARG002  # the runner's
        if rows_done >= self._dies_at_rows:
            raise asyncio.CancelledError


async def started(circle: Circle, business_id: UUID, import_id: UUID) -> Mapping[str, Any]:
    """Asks for a run and returns what its work function is given."""
    operation = await circle.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=False)
    return (await circle.operations.get(IMPORTER, operation.id)).parameters


def work(circle: Circle) -> Any:
    """Returns the work function."""
    return circle.csv.work["import_csv"]


async def test_a_run_that_a_later_one_replaced_does_nothing(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    import_id = await uploaded(circle, business_id, file_of(f"{member.phone};r-1;1;{DATE}"))
    operation = await circle.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=False)
    old = (await circle.operations.get(IMPORTER, operation.id)).parameters
    await circle.operations.cancel(IMPORTER, operation.id)
    await circle.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=True)

    await work(circle)(old, NoProgress())

    assert await ledger_of(circle, business_id) == {}
