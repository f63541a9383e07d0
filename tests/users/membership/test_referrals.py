from datetime import timedelta
from uuid import UUID

import pytest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.membership.model import Referral
from svoykrug_server.users.membership.referrals import Referrals
from svoykrug_server.users.model import NewMember
from svoykrug_server.users.service import UsersService
from tests.callers import CallBy, admin
from tests.users.people import join, new_phone


@pytest.fixture
def referrals(postgres: Postgres) -> Referrals:
    return Referrals(postgres, PageTokens(bytes(32)))


@pytest.fixture
async def anna(postgres: Postgres, clock: ManualClock) -> UUID:
    return await join(postgres, clock.now())


async def code_of(postgres: Postgres, user_id: UUID) -> str:
    async with postgres.read() as connection:
        code: str = await connection.fetchval("SELECT referral_code FROM users WHERE id = $1", user_id)
    return code


async def bring(postgres: Postgres, clock: ManualClock, referrer_id: UUID, count: int) -> list[UUID]:
    """Lets a person bring others, two each second, and returns them, the oldest first."""
    code, brought = await code_of(postgres, referrer_id), []
    for number in range(count):
        clock.advance(timedelta(seconds=number % 2))
        brought.append(await join(postgres, clock.now(), referral_code=code))
    return brought


async def write(postgres: Postgres, statement: str, user_id: UUID) -> None:
    async with postgres.transaction() as tx:
        await (await tx.driver()).execute(statement, user_id)


async def test_pages_list_everybody_once_the_newest_first(
    referrals: Referrals, postgres: Postgres, clock: ManualClock, anna: UUID
) -> None:
    brought = await bring(postgres, clock, anna, 7)
    await bring(postgres, clock, brought[0], 2)
    seen: list[Referral] = []
    token, totals = "", []
    while True:
        page = await referrals.list_of(anna, 2, token)
        seen += page.referrals
        totals.append(page.total_count)
        token = page.next_page_token
        if not token:
            break
    assert {referral.user_id for referral in seen} == set(brought)
    assert [referral.join_time for referral in seen] == sorted((referral.join_time for referral in seen), reverse=True)
    assert totals == [7, 7, 7, 7]


async def test_a_claimed_member_joined_when_she_signed_in_first(
    referrals: Referrals, postgres: Postgres, clock: ManualClock, anna: UUID
) -> None:
    phone = new_phone()
    await UsersService(postgres, clock).batch_create_users(CallBy(admin()), [NewMember(phone, "Вера")])
    clock.advance(timedelta(days=1))
    await join(postgres, clock.now(), phone, referral_code=await code_of(postgres, anna))
    (vera,) = (await referrals.list_of(anna, 0, "")).referrals
    assert (vera.display_name, vera.join_time) == ("Вера", clock.now())


async def test_members_who_deleted_their_account_are_neither_listed_nor_counted(
    referrals: Referrals, postgres: Postgres, clock: ManualClock, anna: UUID
) -> None:
    stays, deletes, banned = await bring(postgres, clock, anna, 3)
    await write(postgres, "UPDATE users SET status = 'deleted' WHERE id = $1", deletes)
    await write(postgres, "UPDATE users SET status = 'banned' WHERE id = $1", banned)
    page = await referrals.list_of(anna, 0, "")
    assert {referral.user_id for referral in page.referrals} == {stays, banned}
    assert page.total_count == 2


async def test_who_brought_nobody_has_an_empty_list(referrals: Referrals, anna: UUID) -> None:
    page = await referrals.list_of(anna, 0, "")
    assert (page.referrals, page.next_page_token, page.total_count) == ([], "", 0)


async def test_a_token_of_another_persons_list_and_a_negative_size_are_refused(
    referrals: Referrals, postgres: Postgres, clock: ManualClock, anna: UUID
) -> None:
    await bring(postgres, clock, anna, 2)
    token = (await referrals.list_of(anna, 1, "")).next_page_token
    for user_id, size, page_token, reason in (
        (UUID(int=1), 1, token, "INVALID_PAGE_TOKEN"),
        (anna, 1, "x", "INVALID_PAGE_TOKEN"),
        (anna, -1, "", "INVALID_FIELDS"),
    ):
        with pytest.raises(InvalidFields, match=reason):
            await referrals.list_of(user_id, size, page_token)
