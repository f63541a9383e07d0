"""One purchase in one statement: what it writes, what it leaves alone, and that it is told as it can be read."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from svoykrug_server.kit.errors import FailedPrecondition, NotFound
from svoykrug_server.purchases.model import Purchase, PurchaseRows
from svoykrug_server.purchases.single_repository import SingleRepository
from svoykrug_server.users.membership.tier_repository import FOLLOW_LEDGER
from tests.purchases.circle import IMPORTER, NOON, RULES, Circle, Member, rows_of

TABLES = ("purchase_entries", "outbox", "tier_due", "rejected_rows")


def by_user_id(member: Member, external_id: str = "receipt") -> PurchaseRows:
    return replace(rows_of((external_id, "", 1_000, NOON)), user_ids=[str(member.user_id)])


async def counts(circle: Circle) -> dict[str, int]:
    async with circle.postgres.read() as connection:
        return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}  # noqa: S608 - constants only


async def run(circle: Circle, statement: str, *values: Any) -> None:
    connection = await circle.postgres.dedicated()
    await connection.execute(statement, *values)
    await connection.close()


async def write_at_once(circle: Circle, business_id: UUID, rows: PurchaseRows) -> Purchase | None:
    """Tries the one statement alone."""
    singles = SingleRepository(circle.hashes, FOLLOW_LEDGER, RULES.currency_code)
    async with circle.postgres.transaction() as tx:
        return await singles.write(tx, business_id, circle.writer.judge(rows).good, circle.clock.now())


@pytest.mark.parametrize("sensitive", [False, True])
async def test_a_new_purchase_is_told_as_it_can_be_read_and_leaves_one_row_of_each_kind(
    circle: Circle, sensitive: bool
) -> None:
    business_id, anna = await circle.add_business(sensitive=sensitive), await circle.add_member()
    for number, rows in enumerate((by_user_id(anna), rows_of(("by phone", anna.phone, 0, NOON))), 1):
        circle.clock.advance(timedelta(microseconds=1))
        purchase, duplicate = await circle.purchases.record(IMPORTER, business_id, rows)
        assert not duplicate
        assert purchase == await circle.purchases.get(IMPORTER, business_id, purchase.id)
        assert (purchase.user_id, purchase.purchase_time) == (anna.user_id, NOON)
        assert await counts(circle) == {
            "purchase_entries": number,
            "outbox": number,
            "tier_due": number,
            "rejected_rows": 0,
        }
        assert circle.wakes == number
    await circle.relay.step()
    assert await circle.ledger() == await circle.warehouse_rows()
    assert {row[9] for row in await circle.ledger()} == {sensitive}


async def test_a_purchase_of_a_member_who_is_deleted_does_not_tell_who_she_is(circle: Circle) -> None:
    business_id, anna = await circle.add_business(), await circle.add_member()
    await run(circle, "UPDATE users SET status = 'deleted' WHERE id = $1", anna.user_id)
    purchase, duplicate = await circle.purchases.record(IMPORTER, business_id, by_user_id(anna))
    assert (purchase.user_id, duplicate) == (None, False)
    assert purchase == await circle.purchases.get(IMPORTER, business_id, purchase.id)


async def test_the_statement_writes_nothing_that_something_stands_against(circle: Circle) -> None:
    shop, archived = await circle.add_business(), await circle.add_business(archived=True)
    anna, stranger = await circle.add_member(), Member(uuid4(), 1, "+79990000000")
    await circle.buy(shop, anna, "known")
    await circle.buy(shop, anna, "erased")
    hashed = circle.hashes.of(shop, "erased")
    await run(
        circle,
        "UPDATE purchase_entries SET external_id = NULL, external_id_hash = $1 WHERE external_id = 'erased'",
        hashed,
    )
    before = await counts(circle)
    for business_id, rows in (
        (uuid4(), by_user_id(anna)),
        (archived, by_user_id(anna)),
        (shop, by_user_id(stranger)),
        (shop, rows_of(("receipt", stranger.phone, 1_000, NOON))),
        (shop, by_user_id(anna, "known")),
        (shop, by_user_id(anna, "erased")),
    ):
        assert await write_at_once(circle, business_id, rows) is None
    assert await counts(circle) == before
    assert await write_at_once(circle, shop, by_user_id(anna)) is not None


async def test_what_is_not_written_at_once_is_refused_or_found_as_ever(circle: Circle) -> None:
    shop, archived, anna = (
        await circle.add_business(),
        await circle.add_business(archived=True),
        await circle.add_member(),
    )
    first = await circle.buy(shop, anna, "known")
    again, duplicate = await circle.purchases.record(IMPORTER, shop, rows_of(("known", anna.phone, 1_000, NOON)))
    assert (again.id, duplicate, circle.wakes) == (first, True, 1)
    with pytest.raises(NotFound):
        await circle.purchases.record(IMPORTER, uuid4(), by_user_id(anna))
    for reason, business_id, rows in (
        ("BUSINESS_ARCHIVED", archived, by_user_id(anna)),
        ("MEMBER_UNKNOWN", shop, rows_of(("receipt", "+79990000000", 1_000, NOON))),
    ):
        with pytest.raises(FailedPrecondition) as refusal:
            await circle.purchases.record(IMPORTER, business_id, rows)
        assert refusal.value.reason == reason
    assert (await counts(circle))["outbox"] == 1


async def test_a_row_that_waited_for_its_member_waits_no_more_once_it_is_written(circle: Circle) -> None:
    business_id, other_id, phone = await circle.add_business(), await circle.add_business(), "+79990000001"
    for shop in (business_id, other_id):
        judged = circle.writer.judge(rows_of(("receipt", phone, 1_000, NOON), ("other", phone, 1_000, NOON)))
        async with circle.postgres.transaction() as tx:
            await circle.writer.write_within(tx, IMPORTER, shop, judged, keep_unknown=True)
    anna = await circle.add_member(phone)
    assert await write_at_once(circle, business_id, rows_of(("receipt", anna.phone, 1_000, NOON))) is not None
    async with circle.postgres.read() as connection:
        waiting = await connection.fetch("SELECT business_id, external_id FROM rejected_rows")
    assert {tuple(row) for row in waiting} == {(business_id, "other"), (other_id, "receipt"), (other_id, "other")}


async def test_of_one_receipt_sent_at_once_many_times_one_purchase_is_written(circle: Circle) -> None:
    business_id, anna = await circle.add_business(), await circle.add_member()
    told = await asyncio.gather(*(circle.purchases.record(IMPORTER, business_id, by_user_id(anna)) for _ in range(8)))
    assert sorted(duplicate for _, duplicate in told) == [False] + [True] * 7
    assert len({purchase.id for purchase, _ in told}) == 1
    assert await counts(circle) == dict(zip(TABLES, (1, 1, 1, 0), strict=True))
    assert circle.wakes == 1
