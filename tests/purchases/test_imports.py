"""Imports: idempotent by business and external id, every row accounted for."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svoykrug_server.kit.errors import FailedPrecondition, InvalidFields, NotFound, PermissionDenied
from svoykrug_server.kit.money import MAX_AMOUNT_MINOR
from svoykrug_server.purchases.imports import ImportBatch
from svoykrug_server.purchases.model import PurchaseRows, WriteOutcome
from tests.callers import person
from tests.purchases.circle import IMPORTER, NOON, Circle, Row, rows_of

ANCIENT = NOON - timedelta(days=4000)


async def stream(*batches: ImportBatch) -> AsyncIterator[ImportBatch]:
    for batch in batches:
        yield batch


async def run_import(circle: Circle, business_id: UUID, *batches: Sequence[Row]) -> WriteOutcome:
    first, made = 0, []
    for rows in batches:
        made.append(ImportBatch(business_id, rows_of(*rows, first_number=first)))
        first += len(rows)
    return (await circle.imports.run(IMPORTER, circle.imports.new_id(), stream(*made))).outcome


def counts(outcome: WriteOutcome) -> tuple[int, int, int, int]:
    return outcome.received_count, outcome.recorded_count, outcome.duplicate_count, outcome.rejected_count


def reasons(outcome: WriteOutcome) -> list[tuple[int, str, str]]:
    return [(rejection.row_number, rejection.reason, rejection.field) for rejection in outcome.rejections]


async def test_a_stream_sent_twice_doubles_nothing(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    batches = [
        [(f"r-{number}", member.phone, number, NOON) for number in range(first, first + 50)] for first in (0, 50)
    ]

    first = await run_import(circle, business_id, *batches)
    again = await run_import(circle, business_id, *batches)
    await circle.relay.step()

    assert counts(first) == (100, 100, 0, 0)
    assert counts(again) == (100, 0, 100, 0)
    assert len(await circle.warehouse_rows()) == 100


FAULTS: list[tuple[Row, str, str]] = [
    (("", "", 1, NOON), "INVALID_FIELDS", "external_id"),
    (("x" * 101, "", 1, NOON), "INVALID_FIELDS", "external_id"),
    (("tab\t", "", 1, NOON), "INVALID_FIELDS", "external_id"),
    (("a", "not a phone", 1, NOON), "INVALID_FIELDS", "phone"),
    (("c", "", -1, NOON), "AMOUNT_OUT_OF_RANGE", "amount_minor"),
    (("d", "", MAX_AMOUNT_MINOR + 1, NOON), "AMOUNT_OUT_OF_RANGE", "amount_minor"),
    (("e", "", 1, ANCIENT), "PURCHASE_TIME_OUT_OF_RANGE", "purchase_time"),
    (("f", "", 1, NOON + timedelta(days=100)), "PURCHASE_TIME_OUT_OF_RANGE", "purchase_time"),
    (("g", "+79990000000", 1, NOON), "MEMBER_UNKNOWN", "phone"),
    (("taken", "", 2, NOON), "EXTERNAL_ID_CONFLICT", "external_id"),
]
"""Rows with a fault, the reason and the field; an empty phone stands for the member's."""


async def test_each_bad_row_comes_back_with_its_number_reason_and_field(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "taken", 1)
    bad = [(row[0], row[1] or member.phone, row[2], row[3]) for row, _, _ in FAULTS]

    outcome = await run_import(circle, business_id, [("good", member.phone, 0, NOON)], bad)

    assert counts(outcome) == (1 + len(FAULTS), 1, 0, len(FAULTS))
    assert reasons(outcome) == [(number, reason, field) for number, (_, reason, field) in enumerate(FAULTS, 1)]
    assert outcome.rejections[1].external_id == "x" * 100


async def test_a_row_without_a_buyer_or_in_another_currency_is_refused(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    foreign = rows_of(("a", member.phone, 1, NOON), currency_code="USD")

    nobody = await run_import(circle, business_id, [("a", "", 1, NOON)])
    outcome = await circle.purchases.record_batch(IMPORTER, business_id, foreign)

    assert reasons(nobody) == [(0, "INVALID_FIELDS", "phone")]
    assert reasons(outcome) == [(0, "CURRENCY_FOREIGN", "currency_code")]


async def test_a_phone_is_read_in_any_spelling_and_a_member_also_by_her_id(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member("+79991234567")
    by_phone = rows_of(("a", "8 (999) 123-45-67", 1, NOON), ("b", "79991234567", 1, NOON), ("c", "", 1, NOON))
    rows = PurchaseRows(
        by_phone.numbers,
        by_phone.external_ids,
        ["", "", str(member.user_id).upper()],
        by_phone.phones,
        by_phone.amounts_minor,
        ["", "RUB", ""],
        by_phone.times_us,
    )

    outcome = await circle.purchases.record_batch(IMPORTER, business_id, rows)
    await circle.relay.step()

    assert counts(outcome) == (3, 3, 0, 0)
    assert {row[3] for row in await circle.warehouse_rows()} == {member.member_id}


async def test_a_row_with_an_unknown_phone_is_kept_once_and_forgotten_when_it_is_written(circle: Circle) -> None:
    business_id = await circle.add_business()
    rows = [("early", "8 999 777-66-55", 500, NOON)]

    async def kept() -> list[tuple[str, str, int]]:
        async with circle.postgres.read() as connection:
            found = await connection.fetch("SELECT external_id, phone, amount_minor FROM rejected_rows")
        return [tuple(row) for row in found]

    await run_import(circle, business_id, rows)
    await run_import(circle, business_id, rows)
    kept_before = await kept()
    await circle.add_member("+79997776655")
    outcome = await run_import(circle, business_id, rows)

    assert kept_before == [("early", "+79997776655", 500)]
    assert counts(outcome) == (1, 1, 0, 0)
    assert await kept() == []


async def test_a_message_that_names_another_business_ends_the_import_and_keeps_what_was_committed(
    circle: Circle,
) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    batches = [
        ImportBatch(business_id, rows_of(("a", member.phone, 1, NOON))),
        ImportBatch(business_id, rows_of(("b", member.phone, 1, NOON))),
        ImportBatch(uuid4(), rows_of(("c", member.phone, 1, NOON))),
    ]

    with pytest.raises(InvalidFields) as refused:
        await circle.imports.run(IMPORTER, circle.imports.new_id(), stream(*batches))
    again = (await circle.imports.run(IMPORTER, circle.imports.new_id(), stream(*batches[:2]))).outcome

    assert refused.value.reason == "IMPORT_OUT_OF_ORDER"
    assert again.duplicate_count >= 1
    assert again.duplicate_count + again.recorded_count == 2


async def test_an_archived_business_takes_no_purchase(circle: Circle) -> None:
    business_id, member = await circle.add_business(archived=True), await circle.add_member()
    with pytest.raises(FailedPrecondition, match="BUSINESS_ARCHIVED"):
        await run_import(circle, business_id, [("a", member.phone, 1, NOON)])


async def test_only_admins_and_services_learn_that_a_business_does_not_exist(circle: Circle) -> None:
    rows = rows_of(("a", "+79991234567", 1, NOON))
    with pytest.raises(NotFound):
        await circle.purchases.record(IMPORTER, uuid4(), rows)
    with pytest.raises(PermissionDenied):
        await circle.purchases.record(person(), uuid4(), rows)


async def test_nothing_waits_in_the_outbox_when_nothing_was_written(circle: Circle) -> None:
    business_id = await circle.add_business()
    await run_import(circle, business_id, [("a", "+79990000001", 1, NOON)], [])

    async with circle.postgres.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM outbox") == 0
    assert circle.wakes == 0


@dataclass
class ModelledLedger:
    """What an import should do, in plain Python: one row after the other, no batches, no SQL."""

    phones: set[str]
    oldest: datetime
    newest: datetime
    entries: dict[str, tuple[str, int, datetime]] = field(default_factory=dict)
    outcome: list[str] = field(default_factory=list)

    def take(self, row: Row) -> None:
        external_id, phone, amount_minor, at = row
        self.outcome.append(self._judge(external_id, phone, amount_minor, at))

    def _judge(self, external_id: str, phone: str, amount_minor: int, at: datetime) -> str:
        if not external_id:
            return "INVALID_FIELDS"
        if not 0 <= amount_minor <= MAX_AMOUNT_MINOR:
            return "AMOUNT_OUT_OF_RANGE"
        if not self.oldest <= at <= self.newest:
            return "PURCHASE_TIME_OUT_OF_RANGE"
        if phone not in self.phones:
            return "MEMBER_UNKNOWN"
        body = (phone, amount_minor, at)
        if external_id not in self.entries:
            self.entries[external_id] = body
            return "recorded"
        return "duplicate" if self.entries[external_id] == body else "EXTERNAL_ID_CONFLICT"


PHONES = ("+79995550001", "+79995550002", "+79995550003")
ROWS = st.tuples(
    st.sampled_from(["", *"abcdefgh"]),
    st.sampled_from(PHONES),
    st.sampled_from([-1, 0, 1, 2, MAX_AMOUNT_MINOR, MAX_AMOUNT_MINOR + 1]),
    st.sampled_from([ANCIENT, NOON, NOON + timedelta(microseconds=1)]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(imports=st.lists(st.lists(st.lists(ROWS, max_size=8), max_size=4), min_size=1, max_size=3))
async def test_imports_do_what_a_plain_model_does(circle: Circle, imports: list[list[list[Row]]]) -> None:
    for phone in PHONES[:2]:
        await circle.know_phone(phone)
    business_id = await circle.add_business()
    now = circle.clock.now()
    model = ModelledLedger(set(PHONES[:2]), now - timedelta(days=3660), now + timedelta(seconds=300))
    for batches in imports:
        model.outcome.clear()
        for row in (row for batch in batches for row in batch):
            model.take(row)
        outcome = await run_import(circle, business_id, *batches)
        expected = [
            (number, word) for number, word in enumerate(model.outcome) if word not in ("recorded", "duplicate")
        ]
        assert [(rejection.row_number, rejection.reason) for rejection in outcome.rejections] == expected
        assert (outcome.recorded_count, outcome.duplicate_count) == (
            model.outcome.count("recorded"),
            model.outcome.count("duplicate"),
        )
    async with circle.postgres.read() as connection:
        rows = await connection.fetch(
            "SELECT external_id, phone, amount_minor, purchase_time FROM purchase_entries "
            "JOIN member_links USING (member_id) JOIN users ON users.id = user_id WHERE business_id = $1",
            business_id,
        )
    assert {row[0]: tuple(row)[1:] for row in rows} == model.entries
