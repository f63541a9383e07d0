"""How many files that are not written a business has at a time: old ones that stand still make room, others do not."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from svoykrug_server.kit.errors import Limited, NotFound
from svoykrug_server.purchases.csv.model import CsvFormat
from tests.callers import admin
from tests.purchases.circle import IMPORTER, MOST_OPEN_CSV_IMPORTS, Circle
from tests.purchases.csv.running import fetched, file_of, imported, run, uploaded

HOUR = 3600


async def start(circle: Circle, business_id: UUID) -> UUID:
    """Starts an import and returns its id."""
    return (await circle.csv.uploads.start(IMPORTER, business_id, CsvFormat(), uuid4())).id


async def fill(circle: Circle, business_id: UUID) -> list[UUID]:
    """Starts as many imports as a business may have, a second apart."""
    started = []
    for _ in range(MOST_OPEN_CSV_IMPORTS):
        started.append(await start(circle, business_id))
        circle.pass_time()
    return started


async def kept(circle: Circle) -> set[UUID]:
    """Returns the imports that there are."""
    return {row[0] for row in await fetched(circle, "SELECT id FROM csv_imports")}


async def test_one_more_new_file_is_refused_until_the_oldest_is_an_hour_old(circle: Circle) -> None:
    business_id = await circle.add_business()
    await fill(circle, business_id)

    with pytest.raises(Limited, match="CSV_IMPORTS_FULL") as refused:
        await start(circle, business_id)

    assert refused.value.metadata == {"most": str(MOST_OPEN_CSV_IMPORTS)}
    assert refused.value.retry_after == timedelta(seconds=HOUR - MOST_OPEN_CSV_IMPORTS)
    await start(circle, await circle.add_business())


async def test_a_file_that_was_refused_is_taken_later_under_the_same_request_id(circle: Circle) -> None:
    business_id, request_id = await circle.add_business(), uuid4()
    await fill(circle, business_id)
    with pytest.raises(Limited):
        await circle.csv.uploads.start(IMPORTER, business_id, CsvFormat(), request_id)
    circle.pass_time(HOUR)

    assert (await circle.csv.uploads.start(IMPORTER, business_id, CsvFormat(), request_id)).received_bytes == 0


async def test_the_oldest_file_that_stands_still_makes_room_with_all_its_bytes(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    oldest = await uploaded(circle, business_id, file_of(f"{member.phone};r-1;1;01.05.2026 15:00"))
    circle.pass_time()
    younger = [await start(circle, business_id) for _ in range(MOST_OPEN_CSV_IMPORTS - 1)]
    circle.pass_time(HOUR)

    newest = await start(circle, business_id)

    assert await kept(circle) == {*younger, newest}
    assert await fetched(circle, "SELECT FROM csv_chunks") == []
    with pytest.raises(NotFound):
        await circle.csv.uploads.upload(admin(), business_id, oldest, 0, b"more")


async def test_files_that_are_being_read_make_no_room(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    for _ in range(MOST_OPEN_CSV_IMPORTS):
        import_id = await uploaded(circle, business_id, file_of(f"{member.phone};r-1;1;01.05.2026 15:00"))
        await circle.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=True)
    circle.pass_time(2 * HOUR)

    with pytest.raises(Limited) as refused:
        await start(circle, business_id)
    assert refused.value.retry_after == timedelta(minutes=1)


async def test_a_run_that_was_cancelled_makes_room(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    import_id = await uploaded(circle, business_id, file_of(f"{member.phone};r-1;1;01.05.2026 15:00"))
    operation = await circle.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=True)
    await circle.operations.cancel(IMPORTER, operation.id)
    circle.pass_time()
    await fill(circle, await circle.add_business())
    for _ in range(MOST_OPEN_CSV_IMPORTS - 1):
        await start(circle, business_id)
    circle.pass_time(HOUR)

    await start(circle, business_id)

    assert import_id not in await kept(circle)


async def test_written_files_do_not_count(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    for number in range(MOST_OPEN_CSV_IMPORTS):
        await imported(circle, business_id, file_of(f"{member.phone};r-{number};1;01.05.2026 15:00"))

    await fill(circle, business_id)


async def test_starts_at_once_are_together_no_more_than_there_may_be(circle: Circle) -> None:
    business_id = await circle.add_business()

    starts = [start(circle, business_id) for _ in range(3 * MOST_OPEN_CSV_IMPORTS)]
    outcomes = await asyncio.gather(*starts, return_exceptions=True)

    assert len(await kept(circle)) == MOST_OPEN_CSV_IMPORTS
    assert sum(isinstance(outcome, Limited) for outcome in outcomes) == 2 * MOST_OPEN_CSV_IMPORTS


async def test_a_file_that_was_tried_can_be_written_while_there_are_as_many_as_there_may_be(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    import_id = await uploaded(circle, business_id, file_of(f"{member.phone};r-1;1;01.05.2026 15:00"))
    await run(circle, business_id, import_id, dry_run=True)
    for _ in range(MOST_OPEN_CSV_IMPORTS - 1):
        await start(circle, business_id)

    assert (await run(circle, business_id, import_id)).counts.recorded == 1
