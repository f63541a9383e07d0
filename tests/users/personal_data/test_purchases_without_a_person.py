"""What partners may go on doing with purchases of a member who was erased: all of it, without learning who she was."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from demo.search_stores import tables_holding
from svoykrug_server.kit.errors import Conflict, FailedPrecondition
from svoykrug_server.purchases.model import NewRefund
from svoykrug_server.users.personal_data.composition import PersonalData
from svoykrug_server.users.personal_data.model import ErasureState
from tests.callers import CallBy, person
from tests.purchases.circle import IMPORTER, NOON, Circle, Member, rows_of
from tests.users.personal_data.test_erasing import erase

HOUR = timedelta(hours=1)


@pytest.fixture
async def business_id(circle: Circle) -> UUID:
    return await circle.add_business()


@pytest.fixture
async def anna(circle: Circle) -> Member:
    return await circle.add_member("+79161234567")


async def test_her_purchases_sent_again_are_duplicates_and_her_phone_is_not_kept(
    circle: Circle, personal_data: PersonalData, business_id: UUID, anna: Member
) -> None:
    await circle.buy(business_id, anna, "receipt-1", 1_000)
    await circle.buy(business_id, anna, "receipt-2", 2_000)
    await erase(personal_data, anna.user_id)

    rows = rows_of(("receipt-1", anna.phone, 1_000, NOON), ("receipt-2", anna.phone, 2_000, NOON))
    judged = circle.writer.judge(rows)
    outcome = await circle.writer.write(IMPORTER, business_id, judged)

    assert (outcome.duplicate_count, outcome.recorded_count, outcome.rejected_count) == (2, 0, 0)
    assert await tables_holding(circle.postgres, circle.warehouse, [anna.phone, "receipt-1", "receipt-2"]) == set()


async def test_they_are_duplicates_also_when_she_has_come_back_as_somebody_new(
    circle: Circle, personal_data: PersonalData, business_id: UUID, anna: Member
) -> None:
    first_id = await circle.buy(business_id, anna, "receipt-1", 1_000)
    await erase(personal_data, anna.user_id)
    new = await circle.add_member(anna.phone)

    again, duplicate = await circle.purchases.record(
        IMPORTER, business_id, rows_of(("receipt-1", new.phone, 1_000, NOON))
    )

    assert (again.id, again.user_id, again.external_id, duplicate) == (first_id, None, "", True)


async def test_another_purchase_under_an_erased_id_is_a_conflict(
    circle: Circle, personal_data: PersonalData, business_id: UUID, anna: Member
) -> None:
    await circle.buy(business_id, anna, "receipt-1", 1_000)
    await erase(personal_data, anna.user_id)
    bella = await circle.add_member()
    with pytest.raises(Conflict):
        await circle.buy(business_id, bella, "receipt-1", 999)


async def test_the_same_id_at_another_business_is_free(
    circle: Circle, personal_data: PersonalData, business_id: UUID, anna: Member
) -> None:
    await circle.buy(business_id, anna, "receipt-1")
    await erase(personal_data, anna.user_id)
    bella, elsewhere = await circle.add_member(), await circle.add_business()
    await circle.buy(elsewhere, bella, "receipt-1")


async def test_her_purchase_is_refunded_by_its_external_id_and_the_refunds_id_is_not_kept(
    circle: Circle, personal_data: PersonalData, business_id: UUID, anna: Member
) -> None:
    await circle.buy(business_id, anna, "receipt-1", 1_000)
    await erase(personal_data, anna.user_id)
    refund = NewRefund(None, "receipt-1", "refund-1", 400, "", NOON + HOUR)

    purchase, given, duplicate = await circle.refunds.refund(IMPORTER, business_id, refund)
    again = await circle.refunds.refund(IMPORTER, business_id, refund)

    assert (purchase.refunded_minor, given.amount_minor, duplicate) == (400, 400, False)
    assert again == (purchase, given, True)
    assert await tables_holding(circle.postgres, circle.warehouse, ["receipt-1", "refund-1"]) == set()


async def test_a_refund_given_before_is_found_after(
    circle: Circle, personal_data: PersonalData, business_id: UUID, anna: Member
) -> None:
    await circle.buy(business_id, anna, "receipt-1", 1_000)
    refund = NewRefund(None, "receipt-1", "refund-1", 400, "", NOON + HOUR)
    _, given, _ = await circle.refunds.refund(IMPORTER, business_id, refund)
    await erase(personal_data, anna.user_id)
    _, again, duplicate = await circle.refunds.refund(IMPORTER, business_id, refund)
    assert (again.id, duplicate) == (given.id, True)


async def test_her_purchase_can_be_read_and_listed_without_a_person_and_without_its_id(
    circle: Circle, personal_data: PersonalData, business_id: UUID, anna: Member
) -> None:
    purchase_id = await circle.buy(business_id, anna, "receipt-1", 1_000)
    await erase(personal_data, anna.user_id)
    read = await circle.purchases.get(IMPORTER, business_id, purchase_id)
    listed = await circle.purchases.list_of_business(business_id, 10, "")
    assert (read.user_id, read.external_id, read.amount_minor) == (None, "", 1_000)
    assert [purchase.id for purchase in listed.purchases] == [purchase_id]


async def test_a_new_purchase_of_hers_is_of_nobody(
    circle: Circle, personal_data: PersonalData, business_id: UUID, anna: Member
) -> None:
    await erase(personal_data, anna.user_id)
    with pytest.raises(FailedPrecondition) as refused:
        await circle.buy(business_id, anna, "receipt-1")
    assert refused.value.reason == "MEMBER_UNKNOWN"


async def test_while_she_is_only_deleted_her_purchases_are_recorded_and_shown_without_her(
    circle: Circle, personal_data: PersonalData, business_id: UUID, anna: Member
) -> None:
    async with circle.postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.execute("UPDATE users SET status = 'deleted' WHERE id = $1", anna.user_id)
    purchase_id = await circle.buy(business_id, anna, "receipt-1")
    assert (await circle.purchases.get(IMPORTER, business_id, purchase_id)).user_id is None
    async with circle.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE users SET status = 'active', referral_code = 'ANNA22'")
    assert (await circle.purchases.get(IMPORTER, business_id, purchase_id)).user_id == anna.user_id


async def test_a_purchase_under_way_while_she_is_erased_keeps_nothing_of_her_either(
    circle: Circle, personal_data: PersonalData, business_id: UUID, anna: Member
) -> None:
    ordered = await ordered_erasure(personal_data, anna)
    async with circle.postgres.transaction() as tx:
        found = await circle.writer._ledger.selling_business(tx, business_id)
        assert found is not None
        judged = circle.writer.judge(rows_of(("receipt-1", anna.phone, 1_000, NOON)))
        await circle.writer._write_good(tx, found[0], judged, keep_unknown=False, forget=False)
        assert await personal_data.eraser.attempt()
        assert (await personal_data.use_cases.deletion.receipt(ordered)).state is ErasureState.RUNNING
    circle.pass_time(60)
    assert await personal_data.eraser.attempt()
    assert (await personal_data.use_cases.deletion.receipt(ordered)).state is ErasureState.DONE
    assert await tables_holding(circle.postgres, circle.warehouse, ["receipt-1", anna.phone]) == set()


async def test_purchases_and_refunds_go_on_beside_erasures(
    circle: Circle, personal_data: PersonalData, business_id: UUID
) -> None:
    members = [await circle.add_member() for _ in range(8)]
    bought = [await circle.buy(business_id, member, f"early-{n}", 1_000) for n, member in enumerate(members)]
    for member in members[:4]:
        await ordered_erasure(personal_data, member)

    async def refund(number: int, purchase_id: UUID) -> None:
        new = NewRefund(purchase_id, None, f"refund-{number}", 100, "", NOON + HOUR)
        await circle.refunds.refund(IMPORTER, business_id, new)

    async def erase_all() -> None:
        while await personal_data.eraser.attempt():
            """The next one."""

    await asyncio.gather(
        erase_all(),
        *(refund(number, purchase_id) for number, purchase_id in enumerate(bought)),
        *(circle.buy(business_id, member, f"late-{n}") for n, member in enumerate(members[4:])),
    )
    circle.pass_time(60)
    await erase_all()
    await circle.relay.step()
    assert await circle.ledger() == await circle.warehouse_rows()
    assert len(await circle.ledger()) == 8 + 8 + 4


async def ordered_erasure(personal_data: PersonalData, member: Member) -> UUID:
    """Orders a member's erasure and returns its id."""
    return (await personal_data.use_cases.deletion.erase_user(CallBy(person()), member.user_id)).id
