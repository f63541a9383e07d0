"""Every row that an import by stream refused can be read by pages, for a week, and is erased with whom it names."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.purchases.imports import ImportBatch, ImportReport
from svoykrug_server.purchases.model import MAX_REJECTIONS_RETURNED, PurchaseRows, Rejection, us_of_instant
from tests.purchases.circle import IMPORTER, NOON, Circle, rows_of
from tests.purchases.csv.running import fetched

BATCH_ROWS, BATCHES = 5_000, 6


async def stream(*batches: ImportBatch) -> AsyncIterator[ImportBatch]:
    for batch in batches:
        yield batch


async def run_import(circle: Circle, business_id: UUID, *batches: PurchaseRows) -> ImportReport:
    parts = stream(*(ImportBatch(business_id, rows) for rows in batches))
    return await circle.imports.run(IMPORTER, circle.imports.new_id(), parts)


async def listed(circle: Circle, business_id: UUID, import_id: UUID, size: int = 0) -> list[Sequence[Rejection]]:
    """Returns the pages of refused rows."""
    page = await circle.imports.list_rejections(business_id, import_id, size, "")
    found = [page.rows]
    while page.next_page_token:
        page = await circle.imports.list_rejections(business_id, import_id, size, page.next_page_token)
        found.append(page.rows)
    return found


async def test_all_of_tens_of_thousands_of_refused_rows_are_listed_and_the_answer_holds_the_first(
    circle: Circle,
) -> None:
    business_id, count = await circle.add_business(), BATCH_ROWS * BATCHES
    rows = [(f"r-{number}", "+79990000000", 1, NOON) for number in range(count)]
    batches = [rows_of(*rows[at : at + BATCH_ROWS], first_number=at) for at in range(0, count, BATCH_ROWS)]

    report = await run_import(circle, business_id, *batches)
    found = await listed(circle, business_id, report.import_id, 1_000_000)

    assert report.outcome.rejected_count == count
    assert len(report.outcome.rejections) == MAX_REJECTIONS_RETURNED
    assert [len(rows) for rows in found] == [5_000] * BATCHES
    every = [rejection for rows in found for rejection in rows]
    assert [rejection.row_number for rejection in every] == list(range(count))
    assert every[:MAX_REJECTIONS_RETURNED] == report.outcome.rejections


async def test_the_rows_of_each_import_are_its_own_and_those_of_no_import_or_of_another_business_none(
    circle: Circle,
) -> None:
    business_id, other_id = await circle.add_business(), await circle.add_business()
    first = await run_import(circle, business_id, rows_of(("a", "+79990000000", 1, NOON)))
    second = await run_import(circle, business_id, rows_of(("", "not a phone", 1, NOON), ("b", "", -1, NOON)))

    token = (await circle.imports.list_rejections(business_id, second.import_id, 1, "")).next_page_token

    assert await listed(circle, business_id, first.import_id) == [[Rejection(0, "a", "MEMBER_UNKNOWN", "phone")]]
    assert [row.row_number for [row] in await listed(circle, business_id, second.import_id, 1)] == [0, 1]
    assert await listed(circle, other_id, first.import_id) == [[]]
    assert await listed(circle, business_id, uuid4()) == [[]]
    with pytest.raises(InvalidFields, match="INVALID_PAGE_TOKEN"):
        await circle.imports.list_rejections(business_id, first.import_id, 1, token)


async def test_a_refused_row_keeps_whom_it_names_and_nothing_else_that_was_typed(circle: Circle) -> None:
    business_id, user_id, at = await circle.add_business(), str(uuid4()), us_of_instant(NOON)
    rows = PurchaseRows(
        range(4),
        ["a", "b", "c", "d"],
        ["", user_id, "Анна", ""],
        ["8 (999) 000-00-00", "", "", "Анна"],
        [1] * 4,
        [""] * 4,
        [at] * 4,
    )

    await run_import(circle, business_id, rows)

    kept = await fetched(circle, "SELECT user_id, phone FROM import_rejections ORDER BY row_number")
    assert kept == [(None, "+79990000000"), (UUID(user_id), None), (None, None), (None, None)]


async def test_refused_rows_are_forgotten_after_a_week(circle: Circle) -> None:
    business_id = await circle.add_business()
    old = await run_import(circle, business_id, rows_of(("a", "+79990000000", 1, NOON)))
    circle.clock.advance(timedelta(days=6))
    new = await run_import(circle, business_id, rows_of(("a", "+79990000000", 1, NOON)))
    circle.clock.advance(timedelta(days=1, seconds=1))

    assert await circle.csv.housekeeping.forget() == 1
    assert await listed(circle, business_id, old.import_id) == [[]]
    assert len(await listed(circle, business_id, new.import_id)) == 1
