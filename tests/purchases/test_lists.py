"""Recording one purchase, and the lists."""

from datetime import timedelta

import pytest

from svoykrug_server.kit.errors import Conflict, FailedPrecondition, InvalidFields
from svoykrug_server.purchases.model import Purchase
from tests.callers import person
from tests.purchases.circle import IMPORTER, NOON, Circle, rows_of


async def test_the_same_receipt_is_answered_with_the_first_one(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    rows = rows_of(("receipt", member.phone, 1_234, NOON))

    first, first_is_duplicate = await circle.purchases.record(IMPORTER, business_id, rows)
    again, again_is_duplicate = await circle.purchases.record(IMPORTER, business_id, rows)

    assert (first_is_duplicate, again_is_duplicate) == (False, True)
    assert first == again
    assert (first.user_id, first.amount_minor, first.purchase_time) == (member.user_id, 1_234, NOON)
    assert first.create_time == circle.clock.now()
    assert circle.wakes == 1


async def test_a_refused_purchase_names_the_wrong_field(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "receipt")
    with pytest.raises(Conflict) as conflict:
        await circle.purchases.record(IMPORTER, business_id, rows_of(("receipt", member.phone, 5, NOON)))
    with pytest.raises(FailedPrecondition) as unknown:
        await circle.purchases.record(IMPORTER, business_id, rows_of(("other", "+79990000002", 5, NOON)))
    with pytest.raises(InvalidFields) as negative:
        await circle.purchases.record(IMPORTER, business_id, rows_of(("other", member.phone, -5, NOON)))

    refusals = [conflict.value, unknown.value, negative.value]
    assert [(refusal.reason, refusal.violations[0].path) for refusal in refusals] == [
        ("EXTERNAL_ID_CONFLICT", "purchase.external_id"),
        ("MEMBER_UNKNOWN", "purchase.phone"),
        ("AMOUNT_OUT_OF_RANGE", "purchase.amount_minor"),
    ]


async def test_pages_hold_every_purchase_once_the_latest_first(circle: Circle) -> None:
    businesses = [await circle.add_business(), await circle.add_business()]
    member, other = await circle.add_member(), await circle.add_member()
    made = [
        await circle.buy(businesses[number % 2], member, f"r{number}", at=NOON - timedelta(days=number // 3))
        for number in range(10)
    ]
    await circle.buy(businesses[0], other, "not hers")

    caller, token = person(member.user_id), ""
    seen: list[Purchase] = []
    while True:
        page = await circle.purchases.list_mine(caller, 3, token)
        seen += page.purchases
        if not (token := page.next_page_token):
            break

    assert [purchase.id for purchase in seen] == [
        purchase.id for purchase in sorted(seen, key=lambda bought: (bought.purchase_time, bought.id), reverse=True)
    ]
    assert sorted(purchase.id for purchase in seen) == sorted(made)
    of_business = await circle.purchases.list_of_business(businesses[0], 0, "")
    assert {purchase.user_id for purchase in of_business.purchases} == {member.user_id, other.user_id}
    assert len(of_business.purchases) == 6


async def test_a_page_token_serves_only_the_list_it_was_made_for(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    for number in range(2):
        await circle.buy(business_id, member, f"r{number}")
    page = await circle.purchases.list_mine(person(member.user_id), 1, "")

    with pytest.raises(InvalidFields, match="INVALID_PAGE_TOKEN"):
        await circle.purchases.list_mine(person(), 1, page.next_page_token)
    with pytest.raises(InvalidFields, match="INVALID_PAGE_TOKEN"):
        await circle.purchases.list_of_business(business_id, 1, page.next_page_token)


async def test_a_purchase_of_an_erased_member_stays_without_a_person(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    purchase_id = await circle.buy(business_id, member, "receipt")
    async with circle.postgres.transaction() as tx:
        await (await tx.driver()).execute("DELETE FROM member_links WHERE user_id = $1", member.user_id)

    assert (await circle.purchases.get(IMPORTER, business_id, purchase_id)).user_id is None
