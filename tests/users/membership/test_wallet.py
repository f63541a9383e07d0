"""Wallet codes: good once, for a minute, for whoever shows them; guesses are counted and end."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import (
    Conflict,
    DomainError,
    FailedPrecondition,
    InvalidFields,
    Limited,
    NotFound,
    PermissionDenied,
)
from svoykrug_server.purchases.model import Purchase
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.membership.composition import Membership
from svoykrug_server.users.membership.wallet import CODE_CHARACTERS, KEPT, read_wallet_code
from tests.callers import service
from tests.conftest import isolated_settings
from tests.purchases.circle import rows_of
from tests.users.membership.shops import Shop, Shops
from tests.users.memberships import OLD_SECRETS, membership_of
from tests.users.people import audited, join

TILL = service("purchases.write")
WRONG = "00000000"


@pytest.fixture
async def anna(postgres: Postgres, clock: ManualClock) -> UUID:
    return await join(postgres, clock.now())


@pytest.fixture
async def salon(shops: Shops) -> Shop:
    return await shops.open("beauty")


async def show(membership: Membership, user_id: UUID) -> str:
    """Returns a fresh code that a person shows."""
    return (await membership.use_cases.wallet.make(user_id)).code


async def pay(
    shops: Shops, shop: Shop, code: str, receipt: str = "receipt-1", amount_minor: int = 500, caller: Caller = TILL
) -> tuple[Purchase, bool]:
    """Records a purchase by wallet code."""
    rows = rows_of((receipt, "", amount_minor, shops.circle.clock.now()))
    return await shops.circle.purchases.record(caller, shop.id, replace(rows, wallet_codes=[code]))


async def refusal(
    shops: Shops, shop: Shop, code: str, receipt: str = "receipt-1", caller: Caller = TILL
) -> DomainError:
    """Returns how a purchase by wallet code is refused."""
    with pytest.raises(DomainError) as refused:
        await pay(shops, shop, code, receipt, caller=caller)
    return refused.value


async def fetch(postgres: Postgres, query: str) -> "Sequence[asyncpg.Record]":
    """Reads rows by another connection."""
    connection = await postgres.dedicated()
    rows = await connection.fetch(query)
    await connection.close()
    return rows


async def test_a_purchase_by_code_is_hers(shops: Shops, membership: Membership, anna: UUID, salon: Shop) -> None:
    purchase, duplicate = await pay(shops, salon, await show(membership, anna))
    assert (purchase.user_id, purchase.amount_minor, duplicate) == (anna, 500, False)


async def test_a_code_has_eight_characters_and_lives_a_minute(
    membership: Membership, anna: UUID, clock: ManualClock
) -> None:
    code = await membership.use_cases.wallet.make(anna)
    assert read_wallet_code(code.code) == code.code
    assert (len(code.code), code.expire_time) == (CODE_CHARACTERS, clock.now() + timedelta(seconds=60))
    assert code.code not in repr(code)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("0123456A", "0123456A"),
        ("o1il-5 6 a-b", "011156AB"),
        ("0123456U", None),
        ("0123456", None),
        ("0123456AB", None),
        ("", None),
        ("0123456\u0660", None),
        ("\x000123456", None),
        (" " * 100 + "0123456A", None),
    ],
)
def test_codes_are_read_as_people_type_them(typed: str, read: str | None) -> None:
    assert read_wallet_code(typed) == read


async def test_of_eight_purchases_at_once_exactly_one_uses_the_code(
    shops: Shops, membership: Membership, postgres: Postgres, anna: UUID, salon: Shop
) -> None:
    code = await show(membership, anna)
    paying = (pay(shops, salon, code, f"receipt-{number}", caller=service()) for number in range(8))
    outcomes = await asyncio.gather(*paying, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, DomainError)]
    assert [error.reason for error in refused] == ["WALLET_CODE_INVALID"] * 7
    assert len(await fetch(postgres, "SELECT FROM purchase_entries")) == 1
    assert len(await fetch(postgres, "SELECT FROM wallet_guesses")) == 7


async def test_the_same_purchase_repeated_with_its_used_code_is_answered_with_the_first(
    shops: Shops, membership: Membership, anna: UUID, salon: Shop, clock: ManualClock
) -> None:
    code = await show(membership, anna)
    at_once = await asyncio.gather(*(pay(shops, salon, code) for _ in range(8)))
    assert sorted(duplicate for _, duplicate in at_once) == [False] + [True] * 7
    assert len({purchase.id for purchase, _ in at_once}) == 1

    first_time = clock.now()
    clock.advance(timedelta(days=6))
    await show(membership, anna)
    rows = rows_of(("receipt-1", "", 500, first_time))
    again, duplicate = await shops.circle.purchases.record(TILL, salon.id, replace(rows, wallet_codes=[code]))
    assert (again.id, duplicate) == (at_once[0][0].id, True)


async def test_a_used_code_writes_no_other_purchase_and_no_other_body(
    shops: Shops, membership: Membership, anna: UUID, salon: Shop
) -> None:
    code = await show(membership, anna)
    await pay(shops, salon, code)
    assert isinstance(await refusal(shops, salon, code, "receipt-2"), FailedPrecondition)
    with pytest.raises(Conflict, match="EXTERNAL_ID_CONFLICT"):
        await pay(shops, salon, code, amount_minor=501)
    assert isinstance(await refusal(shops, await shops.open("beauty"), code), FailedPrecondition)


async def test_an_old_an_unknown_and_a_malformed_code_are_refused_alike(
    shops: Shops, membership: Membership, anna: UUID, salon: Shop, clock: ManualClock
) -> None:
    code = await show(membership, anna)
    clock.advance(timedelta(seconds=60))
    for wrong in (code, WRONG, "nonsense", "x" * 10_000, "\x00", "'; DROP TABLE users; --"):
        error = await refusal(shops, salon, wrong)
        assert (error.reason, error.metadata) == ("WALLET_CODE_INVALID", {})
        assert [violation.path for violation in error.violations] == ["purchase.wallet_code"]


async def test_a_code_is_good_until_the_last_of_its_seconds_and_until_the_next_is_shown(
    shops: Shops, membership: Membership, anna: UUID, salon: Shop, clock: ManualClock
) -> None:
    replaced = await show(membership, anna)
    code = await show(membership, anna)
    assert (await refusal(shops, salon, replaced)).reason == "WALLET_CODE_INVALID"
    clock.advance(timedelta(seconds=59, microseconds=999_999))
    assert (await pay(shops, salon, code))[0].user_id == anna


async def test_codes_shown_at_once_leave_one_that_is_good(
    membership: Membership, postgres: Postgres, anna: UUID
) -> None:
    await asyncio.gather(*(show(membership, anna) for _ in range(8)))
    assert len(await fetch(postgres, "SELECT FROM wallet_codes")) == 1


async def test_a_refused_purchase_uses_no_code_up(
    shops: Shops, membership: Membership, anna: UUID, salon: Shop
) -> None:
    await shops.circle.buy(salon.id, await shops.circle.add_member(), "receipt-1")
    code = await show(membership, anna)
    archived = Shop(await shops.circle.add_business(archived=True), "beauty", sensitive=False)
    assert (await refusal(shops, archived, code)).reason == "BUSINESS_ARCHIVED"
    assert isinstance(await refusal(shops, Shop(UUID(int=1), "beauty", sensitive=False), code), NotFound)
    assert (await refusal(shops, salon, code)).reason == "EXTERNAL_ID_CONFLICT"
    with pytest.raises(InvalidFields, match="AMOUNT_OUT_OF_RANGE"):
        await pay(shops, salon, code, "receipt-2", amount_minor=-1)
    with pytest.raises(InvalidFields, match="INVALID_FIELDS"):
        await pay(shops, salon, code, "\x00")
    assert (await pay(shops, salon, code, "receipt-2"))[0].user_id == anna


async def test_a_used_code_with_an_external_id_that_cannot_be_one_is_refused(
    shops: Shops, membership: Membership, anna: UUID, salon: Shop
) -> None:
    code = await show(membership, anna)
    await pay(shops, salon, code)
    assert (await refusal(shops, salon, code, "\x00")).reason == "WALLET_CODE_INVALID"


@pytest.mark.parametrize("status", ["banned", "deleted"])
async def test_whoever_is_shut_out_pays_with_no_code_and_gets_none(
    shops: Shops, membership: Membership, postgres: Postgres, anna: UUID, salon: Shop, status: str
) -> None:
    code = await show(membership, anna)
    async with postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE users SET status = $2 WHERE id = $1", anna, status)
    assert (await refusal(shops, salon, code)).reason == "WALLET_CODE_INVALID"
    with pytest.raises(PermissionDenied):
        await show(membership, anna)


async def test_wrong_codes_are_counted_for_each_caller_and_end_with_the_time_to_wait(
    shops: Shops, postgres: Postgres, anna: UUID, salon: Shop, clock: ManualClock
) -> None:
    limited = Shops(shops.circle)
    membership = membership_of(postgres, clock, isolated_settings(wallet_wrong_codes_per_caller_hour=3))
    limited.circle.use_wallet(membership.use_cases.wallet)
    for _ in range(3):
        assert (await refusal(limited, salon, WRONG)).reason == "WALLET_CODE_INVALID"
        clock.advance(timedelta(minutes=10))
    code = await show(membership, anna)
    refused = await refusal(limited, salon, code)
    assert isinstance(refused, Limited)
    assert (refused.reason, refused.retry_after) == ("WALLET_GUESSES_EXHAUSTED", timedelta(minutes=30))

    assert (await pay(limited, salon, code, caller=service()))[0].user_id == anna
    clock.advance(timedelta(minutes=30))
    assert (await pay(limited, salon, await show(membership, anna), "receipt-2"))[0].user_id == anna


async def test_of_fifty_wrong_codes_at_once_only_as_many_as_allowed_are_judged(
    shops: Shops, postgres: Postgres, salon: Shop, clock: ManualClock
) -> None:
    limits = isolated_settings(wallet_wrong_codes_per_caller_hour=5)
    shops.circle.use_wallet(membership_of(postgres, clock, limits).use_cases.wallet)
    reasons = [error.reason for error in await asyncio.gather(*(refusal(shops, salon, WRONG) for _ in range(50)))]
    assert reasons.count("WALLET_CODE_INVALID") == 5
    assert reasons.count("WALLET_GUESSES_EXHAUSTED") == 45
    assert len(await fetch(postgres, "SELECT FROM wallet_guesses")) == 5
    assert [action for action, _ in await audited(postgres, salon.id)] == ["WALLET_CODE_REFUSED"] * 5


async def test_postgres_holds_no_code(
    shops: Shops, membership: Membership, postgres: Postgres, anna: UUID, salon: Shop
) -> None:
    code = await show(membership, anna)
    await pay(shops, salon, code)
    (kept,) = await fetch(postgres, "SELECT * FROM wallet_codes")
    assert len(kept["code_hash"]) == 32
    assert code not in str(dict(kept))
    assert code not in str([dict(row) for row in await fetch(postgres, "SELECT * FROM audit_events")])


async def test_a_code_made_with_the_key_before_is_still_taken(
    shops: Shops, postgres: Postgres, anna: UUID, salon: Shop, clock: ManualClock
) -> None:
    before_the_rotation = membership_of(postgres, clock, secrets=OLD_SECRETS)
    assert (await pay(shops, salon, await show(before_the_rotation, anna)))[0].user_id == anna


async def test_batches_and_imports_refuse_a_row_with_a_code_and_only_that(shops: Shops, salon: Shop) -> None:
    member = await shops.circle.add_member()
    now = shops.circle.clock.now()
    rows = replace(
        rows_of(("receipt-1", "", 1, now), ("receipt-2", member.phone, 1, now)), wallet_codes=["0123456A", ""]
    )
    outcome = await shops.circle.purchases.record_batch(TILL, salon.id, rows)
    assert outcome.recorded_count == 1
    assert [(refused.row_number, refused.reason, refused.field) for refused in outcome.rejections] == [
        (0, "INVALID_FIELDS", "wallet_code")
    ]


async def test_old_codes_and_guesses_are_forgotten_and_young_ones_kept(
    shops: Shops, membership: Membership, postgres: Postgres, anna: UUID, salon: Shop, clock: ManualClock
) -> None:
    wallet = membership.use_cases.wallet
    code = await show(membership, anna)
    await pay(shops, salon, code)
    await refusal(shops, salon, WRONG)
    await wallet.forget()
    assert (
        len(await fetch(postgres, "SELECT FROM wallet_codes"))
        == len(await fetch(postgres, "SELECT FROM wallet_guesses"))
        == 1
    )
    clock.advance(KEPT + timedelta(minutes=2))
    await wallet.forget()
    assert not await fetch(postgres, "SELECT FROM wallet_codes")
    assert not await fetch(postgres, "SELECT FROM wallet_guesses")
