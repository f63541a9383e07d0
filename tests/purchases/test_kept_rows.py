"""Kept rows: listed, matched in one transaction with everything that follows a purchase, discarded."""

import asyncio
from uuid import UUID, uuid4

import pytest

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import (
    Conflict,
    DomainError,
    FailedPrecondition,
    InvalidFields,
    NotFound,
    PermissionDenied,
)
from svoykrug_server.purchases.kept_rows import Buyer
from svoykrug_server.purchases.kept_rows_repository import KeptRow
from svoykrug_server.purchases.model import Purchase
from tests.callers import CallBy, person
from tests.purchases.circle import IMPORTER, NOON, Circle
from tests.purchases.csv.running import fetched, file_of, imported

UNKNOWN = "+79997776655"


async def keep(circle: Circle, business_id: UUID, *external_ids: str, phone: str = UNKNOWN) -> list[KeptRow]:
    """Imports rows that name nobody and returns all that are kept."""
    await imported(circle, business_id, file_of(*(f"{phone};{name};5;01.05.2026 15:00" for name in external_ids)))
    return list((await circle.kept_rows.list_page(business_id, 0, "")).rows)


async def match(circle: Circle, business_id: UUID, row_id: UUID, buyer: Buyer, caller: Caller = IMPORTER) -> Purchase:
    return await circle.kept_rows.match(CallBy(caller), caller, business_id, row_id, buyer)


async def events(circle: Circle) -> list[tuple[object, ...]]:
    return list(await fetched(circle, "SELECT action, target_kind, target_id, details FROM audit_events"))


async def test_kept_rows_are_listed_page_by_page_the_newest_first_and_of_one_business_alone(circle: Circle) -> None:
    business_id, other_id = await circle.add_business(), await circle.add_business()
    await keep(circle, business_id, "a", "b", "c")
    circle.pass_time()
    await keep(circle, business_id, "d", "e")
    await keep(circle, other_id, "other")

    pages = [await circle.kept_rows.list_page(business_id, 2, "")]
    while pages[-1].next_page_token:
        pages.append(await circle.kept_rows.list_page(business_id, 2, pages[-1].next_page_token))

    listed = [row for page in pages for row in page.rows]
    assert [len(page.rows) for page in pages] == [2, 2, 1]
    assert {row.external_id for row in listed[:2]} == {"d", "e"}
    assert {row.external_id for row in listed[2:]} == {"a", "b", "c"}
    assert {(row.phone, row.amount_minor, row.currency_code, row.purchase_time) for row in listed} == {
        (UNKNOWN, 500, "RUB", NOON)
    }
    with pytest.raises(InvalidFields, match="INVALID_PAGE_TOKEN"):
        await circle.kept_rows.list_page(other_id, 2, pages[0].next_page_token)


@pytest.mark.parametrize("by_phone", [True, False])
async def test_a_matched_row_becomes_a_purchase_with_all_that_follows_one(circle: Circle, by_phone: bool) -> None:
    business_id, member = await circle.add_business(), await circle.add_member("+79991234567")
    [row] = await keep(circle, business_id, "early")
    buyer = Buyer(phone="8 (999) 123-45-67") if by_phone else Buyer(user_id=member.user_id)

    purchase = await match(circle, business_id, row.id, buyer)
    again = await match(circle, business_id, row.id, Buyer(user_id=member.user_id))
    await circle.relay.step()

    assert purchase == again
    assert (purchase.user_id, purchase.external_id, purchase.amount_minor) == (member.user_id, "early", 500)
    assert [entry[0] for entry in await circle.warehouse_rows()] == [purchase.id]
    assert await fetched(circle, "SELECT count(*) FROM tier_due") == [(1,)]
    assert (await circle.kept_rows.list_page(business_id, 0, "")).rows == []
    assert circle.wakes == 1
    assert await events(circle) == [
        (
            "REJECTED_ROW_MATCHED",
            "business",
            str(business_id),
            {"row_id": str(row.id), "purchase_id": str(purchase.id)},
        )
    ]


async def test_a_row_that_was_matched_to_somebody_else_or_never_was_is_not_there(circle: Circle) -> None:
    business_id, other_id = await circle.add_business(), await circle.add_business()
    member, other = await circle.add_member(), await circle.add_member()
    [row] = await keep(circle, business_id, "early")

    for caller, refusal in ((IMPORTER, NotFound), (person(), PermissionDenied)):
        with pytest.raises(refusal):
            await match(circle, other_id, row.id, Buyer(user_id=member.user_id), caller)
        with pytest.raises(refusal):
            await match(circle, business_id, uuid4(), Buyer(user_id=member.user_id), caller)
    await match(circle, business_id, row.id, Buyer(user_id=member.user_id))
    with pytest.raises(NotFound):
        await match(circle, business_id, row.id, Buyer(user_id=other.user_id))
    with pytest.raises(NotFound):
        await match(circle, business_id, row.id, Buyer(phone=other.phone))


async def test_a_match_that_is_refused_changes_nothing_and_can_be_made_again(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    [row] = await keep(circle, business_id, "early")

    with pytest.raises(FailedPrecondition, match="MEMBER_UNKNOWN"):
        await match(circle, business_id, row.id, Buyer(phone="+79990000000"))
    with pytest.raises(FailedPrecondition, match="MEMBER_UNKNOWN"):
        await match(circle, business_id, row.id, Buyer(user_id=uuid4()))
    with pytest.raises(InvalidFields) as refused:
        await match(circle, business_id, row.id, Buyer(phone="not a phone"))
    assert refused.value.violations[0].path == "phone"
    assert await events(circle) == []
    assert len((await circle.kept_rows.list_page(business_id, 0, "")).rows) == 1

    assert (await match(circle, business_id, row.id, Buyer(user_id=member.user_id))).external_id == "early"


async def test_a_row_whose_receipt_another_entry_took_meanwhile_is_a_conflict(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    [row] = await keep(circle, business_id, "early")
    async with circle.postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.execute("UPDATE rejected_rows SET external_id = 'late'")
    await circle.buy(business_id, member, "early", 1)
    async with circle.postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.execute("UPDATE rejected_rows SET external_id = 'early'")

    with pytest.raises(Conflict, match="EXTERNAL_ID_CONFLICT"):
        await match(circle, business_id, row.id, Buyer(user_id=member.user_id))


async def test_a_row_that_grew_too_old_and_one_of_an_archived_business_stay(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    [row] = await keep(circle, business_id, "early")
    async with circle.postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.execute("UPDATE rejected_rows SET purchase_time = '1999-01-01'")
    with pytest.raises(InvalidFields, match="PURCHASE_TIME_OUT_OF_RANGE") as refused:
        await match(circle, business_id, row.id, Buyer(user_id=member.user_id))
    assert "oldest_time" in refused.value.metadata

    async with circle.postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.execute("UPDATE businesses SET status = 'archived'")
    with pytest.raises(FailedPrecondition, match="BUSINESS_ARCHIVED"):
        await match(circle, business_id, row.id, Buyer(user_id=member.user_id))


async def test_of_many_matches_at_once_to_two_members_one_wins(circle: Circle) -> None:
    business_id = await circle.add_business()
    members = [await circle.add_member() for _ in range(2)]
    [row] = await keep(circle, business_id, "early")

    async def attempt(member_number: int) -> UUID | str | None:
        try:
            bought = await match(circle, business_id, row.id, Buyer(user_id=members[member_number].user_id))
        except DomainError as error:
            return error.reason
        return bought.user_id

    outcomes = await asyncio.gather(*(attempt(number % 2) for number in range(6)))

    winner = next(outcome for outcome in outcomes if isinstance(outcome, UUID))
    assert outcomes.count(winner) == outcomes.count("NOT_FOUND") == 3
    assert await fetched(circle, "SELECT count(*) FROM purchase_entries") == [(1,)]


async def test_a_match_and_the_receipt_itself_at_once_give_one_purchase_and_keep_nobody_waiting(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    names = [f"early-{number}" for number in range(20)]
    rows = await keep(circle, business_id, *names)

    async def attempt(row: KeptRow) -> str:
        try:
            await match(circle, business_id, row.id, Buyer(user_id=member.user_id))
        except NotFound:
            return "gone"
        return "matched"

    outcomes = await asyncio.gather(
        *(attempt(row) for row in rows), *(circle.buy(business_id, member, name, 500) for name in names)
    )

    assert set(outcomes[: len(rows)]) <= {"matched", "gone"}
    assert await fetched(circle, "SELECT count(*) FROM purchase_entries") == [(20,)]
    assert (await circle.kept_rows.list_page(business_id, 0, "")).rows == []


async def test_a_discarded_row_is_gone_and_discarding_it_again_changes_nothing(circle: Circle) -> None:
    business_id, other_id = await circle.add_business(), await circle.add_business()
    [row] = await keep(circle, business_id, "early")

    await circle.kept_rows.discard(CallBy(IMPORTER), other_id, row.id)
    assert len((await circle.kept_rows.list_page(business_id, 0, "")).rows) == 1
    for _ in range(2):
        await circle.kept_rows.discard(CallBy(IMPORTER), business_id, row.id)

    assert (await circle.kept_rows.list_page(business_id, 0, "")).rows == []
    assert await events(circle) == [("REJECTED_ROW_DISCARDED", "business", str(business_id), {"row_id": str(row.id)})]


async def test_a_row_that_is_sent_again_keeps_its_id(circle: Circle) -> None:
    business_id = await circle.add_business()
    assert await keep(circle, business_id, "early") == await keep(circle, business_id, "early")


def test_a_buyer_is_named_in_exactly_one_way() -> None:
    with pytest.raises(ValueError, match="exactly one way"):
        Buyer()
    with pytest.raises(ValueError, match="exactly one way"):
        Buyer(user_id=uuid4(), phone=UNKNOWN)
