"""A dry run says exactly what the real run then does, for any file on any state."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svoykrug_server.purchases.csv import reader
from svoykrug_server.purchases.csv.model import CsvImport, ImportState
from svoykrug_server.purchases.model import NewRefund
from svoykrug_server.storage.personal_data import Person
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.warehouse import Warehouse
from tests.purchases.circle import IMPORTER, NOON, Circle
from tests.purchases.csv.running import fetched, figures, file_of, imported, refusals, run, uploaded

KNOWN, UNKNOWN = ("+79995550001", "+79995550002"), "+79995550009"
WRITTEN_TO = ("purchase_entries", "outbox", "rejected_rows", "tier_due")
LINES = st.tuples(
    st.sampled_from([*KNOWN, UNKNOWN, "8 999 555 00 01", "7,99E+10", ""]),
    st.sampled_from(["", "taken", "refunded", "gone", "waiting", *"abcd", "x" * 101]),
    st.sampled_from(["1", "2,00", "-1", "1 000 000 001", "free", "0"]),
    st.sampled_from(["01.05.2026 15:00", "2026-05-01 12:00Z", "01.05.2026", "01.01.1999", "01.01.2027", "soon"]),
)


async def told_twice(circle: Circle, business_id: UUID, content: bytes) -> tuple[CsvImport, CsvImport]:
    """Tries a file, then writes it, and returns what was told of both."""
    import_id = await uploaded(circle, business_id, content)
    before = [await fetched(circle, f"SELECT * FROM {table}") for table in WRITTEN_TO]  # noqa: S608  # constants
    tried = await run(circle, business_id, import_id, dry_run=True)
    assert before == [await fetched(circle, f"SELECT * FROM {table}") for table in WRITTEN_TO]  # noqa: S608  # constants
    return tried, await run(circle, business_id, import_id)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(lines=st.lists(LINES, min_size=1, max_size=24))
async def test_a_dry_run_tells_what_the_real_run_does(
    circle: Circle, monkeypatch: pytest.MonkeyPatch, lines: list[tuple[str, ...]]
) -> None:
    monkeypatch.setattr(reader, "BATCH_ROWS", 5)
    for phone in KNOWN:
        await circle.know_phone(phone)
    business_id = await a_business_with_a_past(circle)
    content = file_of(*(";".join(line) for line in lines))

    tried, written = await told_twice(circle, business_id, content)

    assert tried.state is ImportState.TRIED
    assert written.state is ImportState.WRITTEN
    assert told(tried) == told(written)
    assert figures(written)[0] == len(lines)


def told(csv_import: CsvImport) -> CsvImport:
    """Returns an import without what tells one run from another."""
    return replace(csv_import, state=ImportState.WRITTEN, operation_id=None, run_id=None, dry_run=False)


async def a_business_with_a_past(circle: Circle) -> UUID:
    """Returns a business that sold, gave back, keeps a row, and sold to somebody who has been erased."""
    business_id = await circle.add_business()
    rows = await fetched(circle, "SELECT id FROM users WHERE phone = $1", KNOWN[0])
    gone = await circle.add_member(None)
    known = replace(gone, user_id=rows[0][0], phone=KNOWN[0])
    taken_id = await circle.buy(business_id, known, "taken", 100)
    refund = NewRefund(taken_id, None, "refunded", 100, "RUB", NOON)
    await circle.refunds.refund(IMPORTER, business_id, refund)
    await circle.buy(business_id, gone, "gone", 100)
    async with circle.postgres.transaction() as tx:
        await circle.erasure.erase(tx, Person(gone.user_id, gone.member_id, gone.phone))
    await imported(circle, business_id, file_of(f"{UNKNOWN};waiting;1;01.05.2026 15:00"))
    return business_id


async def test_rows_of_earlier_batches_count_in_a_trial_as_if_they_were_written(
    circle: Circle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BATCH_ROWS", 1)
    business_id, member = await circle.add_business(), await circle.add_member()
    line = f"{member.phone};r;1;01.05.2026 15:00"

    tried, written = await told_twice(
        circle, business_id, file_of(line, line, line.replace(";1;", ";2;"), f"{UNKNOWN};r;1;01.05.2026")
    )

    assert figures(tried) == figures(written) == (4, 1, 1, 2)
    assert refusals(tried) == refusals(written)
    assert [reason for _, reason, _ in refusals(tried)] == ["EXTERNAL_ID_CONFLICT", "MEMBER_UNKNOWN"]


async def test_a_trial_keeps_nobody_waiting(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    import_id = await uploaded(circle, business_id, file_of(f"{member.phone};r;1;01.05.2026 15:00"))
    meanwhile: list[UUID] = []

    class Buying:
        async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:  # noqa: ARG002  # the runner's
            if stage == "try":
                meanwhile.append(await circle.buy(business_id, member, f"meanwhile-{len(meanwhile)}", at=NOON))

    operation = await circle.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=True)
    parameters = (await circle.operations.get(IMPORTER, operation.id)).parameters
    await circle.csv.work["import_csv"](parameters, Buying())

    assert len(meanwhile) == 1


async def test_trials_end_however_few_connections_there_are_and_leave_them_to_others(
    postgres_url: str, circle: Circle, warehouse: Warehouse
) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    narrow = await Postgres.connect(PostgresOptions(postgres_url, transaction_connections=1, read_connections=1))
    few = Circle(narrow, warehouse, circle.clock)
    parameters = []
    for number in range(3):
        import_id = await uploaded(few, business_id, file_of(f"{member.phone};r-{number};1;01.05.2026 15:00"))
        operation = await few.csv.uploads.finish(IMPORTER, business_id, import_id, None, dry_run=True)
        parameters.append((await few.operations.get(IMPORTER, operation.id)).parameters)
    meeting = Meeting(len(parameters))

    async with asyncio.timeout(60):
        results = await asyncio.gather(*(few.csv.work["import_csv"](each, meeting) for each in parameters))
        await few.buy(business_id, member, "bought")
    found = [await few.csv.uploads.get(IMPORTER, business_id, UUID(result["csv_import_id"])) for result in results]
    await narrow.close()

    assert [(each.state, figures(each)) for each in found] == [(ImportState.TRIED, (1, 1, 0, 0))] * 3


class Meeting:
    """Lets trials go on once so many of them have begun."""

    def __init__(self, count: int) -> None:
        self._barrier = asyncio.Barrier(count)

    async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:  # noqa: ARG002  # the runner's
        """Waits for the others where a trial has its connection."""
        if stage == "try":
            await self._barrier.wait()
