"""Refunds: parts of a purchase given back, never more than the whole."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from svoykrug_server.kit.errors import (
    Conflict,
    DomainError,
    FailedPrecondition,
    InvalidFields,
    NotFound,
    PermissionDenied,
)
from svoykrug_server.kit.money import MAX_AMOUNT_MINOR
from svoykrug_server.purchases.model import NewRefund
from tests.callers import person
from tests.purchases.circle import IMPORTER, NOON, RULES, Circle

LATER = NOON + timedelta(days=2)


def refund_of(purchase_id: UUID, external_id: str, amount_minor: int) -> NewRefund:
    return NewRefund(purchase_id, None, external_id, amount_minor, "", LATER)


async def test_refunds_add_up_to_the_purchase_and_no_further(circle: Circle) -> None:
    business_id = await circle.add_business()
    purchase_id = await circle.buy(business_id, await circle.add_member(), "receipt", 1_000)

    for external_id, amount_minor in (("first", 300), ("second", 700)):
        await circle.refunds.refund(IMPORTER, business_id, refund_of(purchase_id, external_id, amount_minor))
    with pytest.raises(FailedPrecondition) as refused:
        await circle.refunds.refund(IMPORTER, business_id, refund_of(purchase_id, "third", 1))

    purchase = await circle.purchases.get(IMPORTER, business_id, purchase_id)
    assert (refused.value.reason, refused.value.metadata) == ("REFUND_EXCEEDS_PURCHASE", {"refundable_minor": "0"})
    assert purchase.refunded_minor == 1_000
    assert [(refund.external_id, refund.amount_minor) for refund in purchase.refunds] == [
        ("first", 300),
        ("second", 700),
    ]


async def test_refunds_in_parallel_never_exceed_the_purchase(circle: Circle) -> None:
    business_id = await circle.add_business()
    purchase_id = await circle.buy(business_id, await circle.add_member(), "receipt", 1_000)

    answers = await asyncio.gather(
        *(circle.refunds.refund(IMPORTER, business_id, refund_of(purchase_id, f"r{n}", 400)) for n in range(8)),
        return_exceptions=True,
    )

    refused = [answer.reason for answer in answers if isinstance(answer, DomainError)]
    assert refused == ["REFUND_EXCEEDS_PURCHASE"] * 6
    assert (await circle.purchases.get(IMPORTER, business_id, purchase_id)).refunded_minor == 800


async def test_the_same_refund_in_parallel_is_given_once(circle: Circle) -> None:
    business_id = await circle.add_business()
    purchase_id = await circle.buy(business_id, await circle.add_member(), "receipt", 1_000)

    answers = await asyncio.gather(
        *(circle.refunds.refund(IMPORTER, business_id, refund_of(purchase_id, "same", 400)) for _ in range(8))
    )

    assert sorted(duplicate for _, _, duplicate in answers) == [False] + [True] * 7
    assert len({refund.id for _, refund, _ in answers}) == 1


async def test_another_refund_or_purchase_with_the_same_external_id_is_a_conflict(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    purchase_id = await circle.buy(business_id, member, "receipt", 1_000)
    await circle.refunds.refund(IMPORTER, business_id, refund_of(purchase_id, "back", 400))

    for external_id in ("back", "receipt"):
        with pytest.raises(Conflict, match="EXTERNAL_ID_CONFLICT"):
            await circle.refunds.refund(IMPORTER, business_id, refund_of(purchase_id, external_id, 500))
    with pytest.raises(Conflict, match="EXTERNAL_ID_CONFLICT"):
        await circle.buy(business_id, member, "back", 400)


async def test_a_refund_may_name_its_purchase_by_external_id(circle: Circle) -> None:
    business_id = await circle.add_business()
    purchase_id = await circle.buy(business_id, await circle.add_member(), "receipt", 1_000)
    refund = NewRefund(None, "receipt", "back", 10, "RUB", LATER)

    purchase, given, duplicate = await circle.refunds.refund(IMPORTER, business_id, refund)

    assert (purchase.id, given.purchase_id, given.amount_minor, duplicate) == (purchase_id, purchase_id, 10, False)


@pytest.mark.parametrize(
    ("refund", "reason"),
    [
        (NewRefund(None, "receipt", "back", 0, "", LATER), "AMOUNT_OUT_OF_RANGE"),
        (NewRefund(None, "receipt", "back", MAX_AMOUNT_MINOR + 1, "", LATER), "AMOUNT_OUT_OF_RANGE"),
        (NewRefund(None, "receipt", "back", 1, "USD", LATER), "CURRENCY_FOREIGN"),
        (NewRefund(None, "receipt", "back", 1, "", NOON - timedelta(seconds=1)), "PURCHASE_TIME_OUT_OF_RANGE"),
        (NewRefund(None, "receipt", "back", 1, "", LATER + timedelta(days=90)), "PURCHASE_TIME_OUT_OF_RANGE"),
        (NewRefund(None, "receipt", "ba\nck", 1, "", LATER), "INVALID_FIELDS"),
    ],
)
async def test_a_refund_that_breaks_a_rule_is_refused(circle: Circle, refund: NewRefund, reason: str) -> None:
    business_id = await circle.add_business()
    await circle.buy(business_id, await circle.add_member(), "receipt", 1_000)
    with pytest.raises(InvalidFields, match=reason):
        await circle.refunds.refund(IMPORTER, business_id, refund)


async def test_a_refusal_says_what_would_be_taken(circle: Circle) -> None:
    business_id = await circle.add_business()
    await circle.buy(business_id, await circle.add_member(), "receipt", 1_000)
    oldest, newest = RULES.time_range(circle.clock)
    times = [(NOON - timedelta(seconds=1), NOON), (NOON - timedelta(days=20_000), oldest)]

    for refund_time, from_time in times:
        with pytest.raises(InvalidFields) as refused:
            await circle.refunds.refund(IMPORTER, business_id, NewRefund(None, "receipt", "back", 1, "", refund_time))
        assert refused.value.metadata == {"oldest_time": from_time.isoformat(), "newest_time": newest.isoformat()}
    with pytest.raises(InvalidFields) as foreign:
        await circle.refunds.refund(IMPORTER, business_id, NewRefund(None, "receipt", "back", 1, "USD", LATER))
    assert foreign.value.metadata == {"currency_code": "RUB"}


async def test_a_purchase_of_another_business_cannot_be_refunded_or_seen(circle: Circle) -> None:
    business_id, other_id = await circle.add_business(), await circle.add_business()
    purchase_id = await circle.buy(business_id, await circle.add_member(), "receipt", 1_000)
    for caller, refusal in ((IMPORTER, NotFound), (person(), PermissionDenied)):
        with pytest.raises(refusal):
            await circle.refunds.refund(caller, other_id, refund_of(purchase_id, "back", 1))
        with pytest.raises(refusal):
            await circle.purchases.get(caller, other_id, purchase_id)
        with pytest.raises(refusal):
            await circle.purchases.get(caller, business_id, uuid4())
