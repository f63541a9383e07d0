"""Bans that outlive a deleted and an erased account."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from svoykrug_server.kit.account import AccountStatus, RevokeReason
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.secrets import Secret, SecretName, Secrets
from svoykrug_server.users.administration.accounts import AccountAdministration
from svoykrug_server.users.administration.model import BanReason
from svoykrug_server.users.administration.servicer import AdministrationUseCases
from svoykrug_server.users.number_bans import NumberBans
from tests.callers import CallBy, admin
from tests.revocations import RecordedRevocations
from tests.users.administration.test_accounts import reason_of, set_columns, traces, user_of
from tests.users.people import join, new_phone, number_bans


@pytest.fixture
def accounts(administration: AdministrationUseCases) -> AccountAdministration:
    return administration.accounts


@pytest.fixture
async def anna(postgres: Postgres, clock: ManualClock) -> UUID:
    """A member."""
    return await join(postgres, clock.now())


async def test_a_deleted_user_is_banned_by_her_number_once_and_stays_deleted(
    postgres: Postgres,
    accounts: AccountAdministration,
    revocations: RecordedRevocations,
    clock: ManualClock,
    anna: UUID,
) -> None:
    await set_columns(postgres, anna, clock, status="deleted")
    for _ in range(2):
        assert (await accounts.ban(CallBy(admin()), anna, BanReason.FRAUD)).status is AccountStatus.DELETED
    assert revocations.ended == [(anna, RevokeReason.BANNED)]
    assert await traces(postgres, anna, "USER_BANNED") == [("done", {"reason": "fraud"})]
    assert await banned_user(postgres, clock, (await user_of(postgres, anna)).phone) == anna
    for _ in range(2):
        let_in = await accounts.unban(CallBy(admin()), anna)
        assert let_in is not None
        assert let_in.status is AccountStatus.DELETED
    assert await traces(postgres, anna, "USER_UNBANNED") == [("done", {})]
    assert await banned_user(postgres, clock, (await user_of(postgres, anna)).phone) is None


async def test_a_deleted_user_without_a_number_has_nothing_to_come_back_with(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock, anna: UUID
) -> None:
    await set_columns(postgres, anna, clock, status="deleted", phone=None)
    assert await reason_of(accounts.ban(CallBy(admin()), anna, BanReason.OTHER)) == "USER_STATE"
    assert await traces(postgres, anna, "USER_BANNED") == [("refused", {"error_reason": "USER_STATE"})]


async def test_the_ban_of_a_number_whose_owner_is_erased_is_lifted_by_her_id(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock
) -> None:
    erased, phone = uuid4(), new_phone()
    async with postgres.transaction() as tx:
        await number_bans().add(tx, erased, phone, clock.now())
    assert await banned_user(postgres, clock, phone) == erased
    assert await accounts.unban(CallBy(admin()), erased) is None
    assert await traces(postgres, erased, "USER_UNBANNED") == [("done", {})]
    assert await banned_user(postgres, clock, phone) is None
    assert await reason_of(accounts.unban(CallBy(admin()), erased)) == "NOT_FOUND"


async def test_a_number_is_banned_for_180_days_and_then_forgotten(postgres: Postgres, clock: ManualClock) -> None:
    banned, phone = uuid4(), new_phone()
    async with postgres.transaction() as tx:
        await number_bans().add(tx, banned, phone, clock.now())
    clock.advance(timedelta(days=180, seconds=-1))
    assert await banned_user(postgres, clock, phone) == banned
    clock.advance(timedelta(seconds=1))
    assert await banned_user(postgres, clock, phone) is None
    async with postgres.transaction() as tx:
        await number_bans().forget(tx, clock.now())
    async with postgres.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM number_bans WHERE user_id = $1", banned) == 0


async def test_a_number_that_was_banned_with_an_older_secret_stays_banned(
    postgres: Postgres, clock: ManualClock
) -> None:
    banned, phone = uuid4(), new_phone()
    async with postgres.transaction() as tx:
        await number_bans().add(tx, banned, phone, clock.now())
    rotated = Secrets({SecretName.NUMBER_BAN: (Secret("1", b"k" * 32), Secret("2", b"l" * 32))})
    async with postgres.transaction() as tx:
        assert await NumberBans(rotated, timedelta(days=180)).banned_user_id(tx, phone, clock.now()) == banned


async def banned_user(postgres: Postgres, clock: ManualClock, phone: str | None) -> UUID | None:
    assert phone is not None
    async with postgres.transaction() as tx:
        return await number_bans().banned_user_id(tx, phone, clock.now())
