"""She deletes her account, comes back in time or not, and the circle keeps a superadmin."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import DomainError, FailedPrecondition, NotFound, PermissionDenied
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.personal_data.composition import PersonalData
from svoykrug_server.users.personal_data.deletion import AccountDeletion
from svoykrug_server.users.personal_data.model import ErasureState
from tests.callers import CallBy, person
from tests.users.people import audited, join, new_phone, number_bans

MONTH = timedelta(days=30)


@pytest.fixture
def deletion(personal_data: PersonalData) -> AccountDeletion:
    return personal_data.use_cases.deletion


async def status_of(postgres: Postgres, user_id: UUID) -> str | None:
    async with postgres.read() as connection:
        status: str | None = await connection.fetchval("SELECT status FROM users WHERE id = $1", user_id)
    return status


async def make_superadmin(postgres: Postgres, user_id: UUID) -> None:
    async with postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.execute("UPDATE users SET roles = '{member,superadmin}' WHERE id = $1", user_id)


async def test_a_deletion_is_done_30_days_later_and_not_before(
    postgres: Postgres, clock: ManualClock, personal_data: PersonalData, deletion: AccountDeletion
) -> None:
    anna = await join(postgres, clock.now())
    asked = await deletion.delete_me(CallBy(person(anna)))
    assert (asked.state, asked.erase_time) == (ErasureState.SCHEDULED, clock.now() + MONTH)
    clock.advance(MONTH - timedelta(seconds=1))
    assert not await personal_data.eraser.attempt()
    assert await status_of(postgres, anna) == "deleted"
    clock.advance(timedelta(seconds=1))
    assert await personal_data.eraser.attempt()
    assert await status_of(postgres, anna) is None
    done = await deletion.receipt(asked.id)
    assert (done.state, done.request_time, done.done_time) == (ErasureState.DONE, asked.request_time, clock.now())


async def test_deleting_twice_is_one_erasure_and_one_audit_event(
    postgres: Postgres, clock: ManualClock, deletion: AccountDeletion
) -> None:
    anna = await join(postgres, clock.now())
    first = await deletion.delete_me(CallBy(person(anna)))
    clock.advance(timedelta(days=1))
    assert await deletion.delete_me(CallBy(person(anna))) == first
    assert sorted(action for action, _ in await audited(postgres, anna)) == ["ACCOUNT_DELETED", "MEMBER_JOINED"]


async def test_whoever_lost_the_answer_finds_the_receipt_in_the_trail_when_she_is_erased(
    postgres: Postgres, clock: ManualClock, personal_data: PersonalData, deletion: AccountDeletion
) -> None:
    anna = await join(postgres, clock.now())
    deleted = await deletion.delete_me(CallBy(person(anna)))
    ordered = await deletion.erase_user(CallBy(person()), anna)
    assert await personal_data.eraser.attempt()
    with pytest.raises(NotFound):
        await deletion.erase_user(CallBy(person()), anna)
    named = {action: details.get("erasure_id") for action, details in await audited(postgres, anna)}
    assert named["ACCOUNT_DELETED"] == named["ERASURE_ORDERED"] == str(ordered.id) == str(deleted.id)


async def test_whoever_was_banned_a_moment_ago_deletes_no_account_and_stays_banned(
    postgres: Postgres, clock: ManualClock, deletion: AccountDeletion
) -> None:
    anna = await join(postgres, clock.now())
    async with postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE users SET status = 'banned' WHERE id = $1", anna)
    with pytest.raises(PermissionDenied):
        await deletion.delete_me(CallBy(person(anna)))
    assert await status_of(postgres, anna) == "banned"


async def test_two_deletions_at_once_are_one(postgres: Postgres, clock: ManualClock, deletion: AccountDeletion) -> None:
    anna = await join(postgres, clock.now())
    call = CallBy(person(anna))
    first, second = await asyncio.gather(deletion.delete_me(call), deletion.delete_me(call))
    assert first == second


async def test_restoring_takes_it_back_and_leaves_nothing_to_erase(
    postgres: Postgres, clock: ManualClock, personal_data: PersonalData, deletion: AccountDeletion
) -> None:
    anna = await join(postgres, clock.now())
    call = CallBy(person(anna))
    asked = await deletion.delete_me(call)
    restored = await deletion.restore_me(call)
    assert (restored.id, restored.status) == (anna, AccountStatus.ACTIVE)
    assert await deletion.restore_me(call) == restored
    assert (await deletion.receipt(asked.id)).state is ErasureState.CANCELLED
    clock.advance(2 * MONTH)
    assert not await personal_data.eraser.attempt()
    again = await deletion.delete_me(call)
    assert again.id != asked.id


async def test_an_erasure_under_way_cannot_be_taken_back(
    postgres: Postgres, clock: ManualClock, deletion: AccountDeletion
) -> None:
    anna = await join(postgres, clock.now())
    await deletion.delete_me(CallBy(person(anna)))
    ordered = await deletion.erase_user(CallBy(person()), anna)
    assert await deletion.erase_user(CallBy(person()), anna) == ordered
    with pytest.raises(FailedPrecondition) as refused:
        await deletion.restore_me(CallBy(person(anna)))
    assert (refused.value.reason, refused.value.metadata) == ("USER_STATE", {"state": "deleted"})


async def test_an_order_hastens_the_erasure_that_she_asked_for(
    postgres: Postgres, clock: ManualClock, personal_data: PersonalData, deletion: AccountDeletion
) -> None:
    anna = await join(postgres, clock.now())
    asked = await deletion.delete_me(CallBy(person(anna)))
    ordered = await deletion.erase_user(CallBy(person()), anna)
    assert (ordered.id, ordered.erase_time) == (asked.id, clock.now())
    assert await personal_data.eraser.attempt()
    assert (await deletion.receipt(asked.id)).state is ErasureState.DONE


async def test_a_phone_that_was_erased_starts_a_new_life(
    postgres: Postgres, clock: ManualClock, personal_data: PersonalData, deletion: AccountDeletion
) -> None:
    anna = await join(postgres, clock.now(), "+79161234567")
    await deletion.erase_user(CallBy(person()), anna)
    assert await personal_data.eraser.attempt()
    assert await join(postgres, clock.now(), "+79161234567") != anna


async def test_who_does_not_exist_cannot_be_erased_and_no_receipt_is_shown(deletion: AccountDeletion) -> None:
    with pytest.raises(NotFound):
        await deletion.erase_user(CallBy(person()), uuid4())
    with pytest.raises(PermissionDenied):
        await deletion.receipt(uuid4())


async def test_the_last_superadmin_cannot_go(postgres: Postgres, clock: ManualClock, deletion: AccountDeletion) -> None:
    chief = await join(postgres, clock.now())
    await make_superadmin(postgres, chief)
    for attempt in (deletion.delete_me(CallBy(person(chief))), deletion.erase_user(CallBy(person()), chief)):
        with pytest.raises(FailedPrecondition) as refused:
            await attempt
        assert refused.value.reason == "LAST_SUPERADMIN"
    assert await status_of(postgres, chief) == "active"


async def test_of_two_superadmins_who_go_at_once_one_stays(
    postgres: Postgres, clock: ManualClock, deletion: AccountDeletion
) -> None:
    for _ in range(5):
        chiefs = [await join(postgres, clock.now()) for _ in range(2)]
        for chief in chiefs:
            await make_superadmin(postgres, chief)
        outcomes = await asyncio.gather(
            *(deletion.delete_me(CallBy(person(chief))) for chief in chiefs), return_exceptions=True
        )
        refusals = [outcome.reason for outcome in outcomes if isinstance(outcome, DomainError)]
        assert refusals == ["LAST_SUPERADMIN"]
        async with postgres.transaction() as tx:
            await (await tx.driver()).execute("UPDATE users SET roles = '{member}'")


async def test_who_was_banned_after_she_deleted_her_account_does_not_restore_it_but_is_erased(
    postgres: Postgres, clock: ManualClock, personal_data: PersonalData, deletion: AccountDeletion
) -> None:
    phone = new_phone()
    anna = await join(postgres, clock.now(), phone)
    await deletion.delete_me(CallBy(person(anna)))
    async with postgres.transaction() as tx:
        await number_bans().add(tx, anna, phone, clock.now())
    with pytest.raises(PermissionDenied) as refusal:
        await deletion.restore_me(CallBy(person(anna)))
    assert refusal.value.reason == "USER_BANNED"
    assert await status_of(postgres, anna) == "deleted"
    clock.advance(MONTH)
    assert await personal_data.eraser.attempt()
    assert await status_of(postgres, anna) is None
    assert await banned_user(postgres, clock, phone) == anna


@pytest.mark.parametrize(("status", "banned"), [("banned", True), ("active", False), ("deleted", False)])
async def test_the_number_of_whoever_is_erased_while_banned_stays_banned(
    postgres: Postgres,
    clock: ManualClock,
    personal_data: PersonalData,
    deletion: AccountDeletion,
    status: str,
    banned: bool,
) -> None:
    phone = new_phone()
    anna = await join(postgres, clock.now(), phone)
    async with postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE users SET status = $2 WHERE id = $1", anna, status)
    await deletion.erase_user(CallBy(person()), anna)
    assert await personal_data.eraser.attempt()
    assert await status_of(postgres, anna) is None
    assert await banned_user(postgres, clock, phone) == (anna if banned else None)
    async with postgres.read() as connection:
        kept = await connection.fetch("SELECT kept::text AS text FROM number_bans AS kept WHERE user_id = $1", anna)
    assert not [row["text"] for row in kept if phone[1:] in row["text"]]


async def banned_user(postgres: Postgres, clock: ManualClock, phone: str) -> UUID | None:
    async with postgres.transaction() as tx:
        return await number_bans().banned_user_id(tx, phone, clock.now())
