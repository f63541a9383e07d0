"""What admins change of others' accounts, and the traces of what they were refused."""

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from svoykrug_server.kit.account import AccountStatus, RevokeReason
from svoykrug_server.kit.caller import Caller, Role
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import Conflict, DomainError, FailedPrecondition, InvalidFields, NotFound
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users import repository
from svoykrug_server.users.administration.accounts import AccountAdministration
from svoykrug_server.users.administration.model import AccountChange, BanReason
from svoykrug_server.users.administration.servicer import AdministrationUseCases
from svoykrug_server.users.model import NewMember, ProfileChange, ProfileField, User
from svoykrug_server.users.service import UsersService
from tests.callers import CallBy, admin, person, service
from tests.revocations import RecordedRevocations
from tests.users.people import join, new_phone

MEMBER = frozenset({Role.MEMBER})
ADMIN = MEMBER | {Role.ADMIN}
SUPERADMIN = MEMBER | {Role.SUPERADMIN}


@pytest.fixture
def accounts(administration: AdministrationUseCases) -> AccountAdministration:
    return administration.accounts


@pytest.fixture
async def anna(postgres: Postgres, clock: ManualClock) -> UUID:
    """A member."""
    return await join(postgres, clock.now())


def superadmin(user_id: UUID | None = None) -> Caller:
    return person(user_id, Role.MEMBER, Role.SUPERADMIN)


def naming(name: str) -> AccountChange:
    return AccountChange(ProfileChange(frozenset({ProfileField.DISPLAY_NAME}), display_name=name))


async def set_columns(postgres: Postgres, user_id: UUID, clock: ManualClock, **values: object) -> None:
    async with postgres.transaction() as tx:
        await repository.change(tx, user_id, values, clock.now())


async def user_of(postgres: Postgres, user_id: UUID) -> User:
    async with postgres.read() as connection:
        user = await repository.get(connection, user_id)
    assert user is not None
    return user


async def reason_of(call: Awaitable[object]) -> str:
    with pytest.raises(DomainError) as refusal:
        await call
    return refusal.value.reason


async def traces(postgres: Postgres, target_id: UUID, action: str) -> list[tuple[str, dict[str, Any]]]:
    """Reads result and details of the audit events of an action on a user, on a connection of its own."""
    connection = await postgres.dedicated()
    rows = await connection.fetch(
        "SELECT result, details::text FROM audit_events WHERE target_id = $1 AND action = $2", str(target_id), action
    )
    await connection.close()
    return [(row["result"], json.loads(row["details"])) for row in rows]


async def test_a_profile_is_changed_by_its_mask_and_the_trail_names_fields_without_values(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock, anna: UUID
) -> None:
    before = await user_of(postgres, anna)
    clock.advance(timedelta(hours=1))
    fields = frozenset({ProfileField.DISPLAY_NAME, ProfileField.BIRTH_DATE})
    change = AccountChange(ProfileChange(fields, display_name="Анна", birth_date=date(1985, 2, 28)))
    answer = await accounts.update(CallBy(admin()), anna, change, before.etag)
    assert answer == await user_of(postgres, anna)
    assert answer == replace(
        before, display_name="Анна", birth_date=date(1985, 2, 28), version=before.version + 1, update_time=clock.now()
    )
    details = {"fields": ["birth_date", "display_name"]}
    assert await traces(postgres, anna, "USER_UPDATED") == [("done", details)]


async def test_a_new_phone_ends_all_her_sessions_and_is_in_no_event(
    postgres: Postgres, accounts: AccountAdministration, revocations: RecordedRevocations, anna: UUID
) -> None:
    phone = new_phone()
    answer = await accounts.update(CallBy(admin()), anna, AccountChange(phone=phone), "")
    assert answer.phone == phone
    assert revocations.ended == [(anna, RevokeReason.PHONE_CHANGED)]
    assert await traces(postgres, anna, "USER_UPDATED") == [("done", {"fields": ["phone"]})]


async def test_the_same_change_twice_is_one_change_and_ends_nothing_again(
    postgres: Postgres, accounts: AccountAdministration, revocations: RecordedRevocations, anna: UUID
) -> None:
    change = AccountChange(phone=new_phone())
    first = await accounts.update(CallBy(admin()), anna, change, "1")
    assert await accounts.update(CallBy(admin()), anna, change, "1") == first
    assert len(revocations.ended) == 1
    assert len(await traces(postgres, anna, "USER_UPDATED")) == 1


async def test_a_phone_of_somebody_else_is_taken_and_nothing_is_written(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock, anna: UUID
) -> None:
    phone = new_phone()
    await join(postgres, clock.now(), phone)
    before = await user_of(postgres, anna)
    assert await reason_of(accounts.update(CallBy(admin()), anna, AccountChange(phone=phone), "")) == "PHONE_TAKEN"
    assert await user_of(postgres, anna) == before


async def test_two_admins_who_give_two_users_each_others_phones_wait_in_no_circle(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock
) -> None:
    phones = [new_phone(), new_phone()]
    one, other = [await join(postgres, clock.now(), phone) for phone in phones]
    for _ in range(20):
        outcomes = await asyncio.gather(
            *(accounts.update(CallBy(admin()), one, AccountChange(phone=phones[1]), "") for _ in range(2)),
            *(accounts.update(CallBy(admin()), other, AccountChange(phone=phones[0]), "") for _ in range(2)),
            return_exceptions=True,
        )
        assert [getattr(outcome, "reason", outcome) for outcome in outcomes] == ["PHONE_TAKEN"] * 4


async def test_of_many_who_want_one_phone_at_once_one_gets_it(
    postgres: Postgres, accounts: AccountAdministration, users: UsersService, clock: ManualClock
) -> None:
    for _ in range(5):
        phone = new_phone()
        people = [await join(postgres, clock.now()) for _ in range(4)]
        changes = [accounts.update(CallBy(admin()), each, AccountChange(phone=phone), "") for each in people]
        batch = users.batch_create_users(CallBy(service("users.write")), [NewMember(phone)])
        outcomes = await asyncio.gather(*changes, batch, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert all(isinstance(outcome, Conflict) and outcome.reason == "PHONE_TAKEN" for outcome in refused)
        async with postgres.read() as connection:
            assert await connection.fetchval("SELECT count(*) FROM users WHERE phone = $1", phone) == 1


async def test_a_stale_etag_changes_nothing(postgres: Postgres, accounts: AccountAdministration, anna: UUID) -> None:
    before = await user_of(postgres, anna)
    assert await reason_of(accounts.update(CallBy(admin()), anna, naming("Анна"), "7")) == "STALE_ETAG"
    assert await reason_of(accounts.set_roles(CallBy(superadmin()), anna, ADMIN, "7")) == "STALE_ETAG"
    assert await user_of(postgres, anna) == before


async def test_a_birth_date_of_the_future_is_refused(accounts: AccountAdministration, anna: UUID) -> None:
    change = AccountChange(ProfileChange(frozenset({ProfileField.BIRTH_DATE}), birth_date=date(2099, 1, 1)))
    with pytest.raises(InvalidFields):
        await accounts.update(CallBy(admin()), anna, change, "")


async def test_nobody_there_is_not_found(accounts: AccountAdministration) -> None:
    nobody, call = uuid4(), CallBy(superadmin())
    for attempt in (
        accounts.update(call, nobody, naming("Анна"), ""),
        accounts.set_roles(call, nobody, ADMIN, ""),
        accounts.ban(call, nobody, BanReason.OTHER),
        accounts.unban(call, nobody),
    ):
        with pytest.raises(NotFound):
            await attempt


@pytest.mark.parametrize("roles", [ADMIN, SUPERADMIN])
async def test_an_admins_account_is_changed_by_a_superadmin_only_and_the_attempt_leaves_its_trace(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock, anna: UUID, roles: frozenset[Role]
) -> None:
    await set_columns(postgres, anna, clock, roles=sorted(roles))
    await join(postgres, clock.now())
    before = await user_of(postgres, anna)
    by_admin = CallBy(admin())
    attempts = {
        "USER_UPDATED": accounts.update(by_admin, anna, AccountChange(phone=new_phone()), ""),
        "USER_BANNED": accounts.ban(by_admin, anna, BanReason.ABUSE),
        "USER_UNBANNED": accounts.unban(by_admin, anna),
    }
    for action, attempt in attempts.items():
        assert await reason_of(attempt) == "PERMISSION_DENIED"
        assert await traces(postgres, anna, action) == [("refused", {"error_reason": "PERMISSION_DENIED"})]
    assert await user_of(postgres, anna) == before
    assert (await accounts.update(CallBy(superadmin()), anna, naming("Анна"), "")).display_name == "Анна"


async def test_roles_are_replaced_and_her_access_tokens_end(
    postgres: Postgres, accounts: AccountAdministration, revocations: RecordedRevocations, anna: UUID
) -> None:
    user = await accounts.set_roles(CallBy(superadmin()), anna, ADMIN, "1")
    assert (user.roles, user.etag) == (ADMIN, "2")
    assert user == await user_of(postgres, anna)
    assert revocations.user_ids == [anna]
    details = {"before": ["member"], "after": ["admin", "member"]}
    assert await traces(postgres, anna, "ROLES_CHANGED") == [("done", details)]
    assert await accounts.set_roles(CallBy(superadmin()), anna, ADMIN, "1") == user
    assert revocations.user_ids == [anna]


@pytest.mark.parametrize("state", ["unclaimed", "banned", "deleted", "demo"])
async def test_somebody_who_cannot_sign_in_or_whose_code_is_known_gets_no_role(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock, anna: UUID, state: str
) -> None:
    values: dict[str, object] = {"demo": True} if state == "demo" else {"status": state}
    await set_columns(postgres, anna, clock, **values)
    with pytest.raises(FailedPrecondition) as refusal:
        await accounts.set_roles(CallBy(superadmin()), anna, ADMIN, "")
    assert (refusal.value.reason, refusal.value.metadata) == ("USER_STATE", {"state": state})
    assert await traces(postgres, anna, "ROLES_CHANGED") == [("refused", {"error_reason": "USER_STATE"})]
    assert (await user_of(postgres, anna)).roles == MEMBER


async def test_a_banned_admin_can_lose_her_roles(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock, anna: UUID
) -> None:
    await set_columns(postgres, anna, clock, roles=sorted(ADMIN), status="banned")
    assert (await accounts.set_roles(CallBy(superadmin()), anna, MEMBER, "")).roles == MEMBER


@pytest.mark.parametrize("roles", [MEMBER, ADMIN])
async def test_the_last_superadmin_keeps_her_role(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock, anna: UUID, roles: frozenset[Role]
) -> None:
    await set_columns(postgres, anna, clock, roles=sorted(SUPERADMIN))
    assert await reason_of(accounts.set_roles(CallBy(superadmin(anna)), anna, roles, "")) == "LAST_SUPERADMIN"
    assert await traces(postgres, anna, "ROLES_CHANGED") == [("refused", {"error_reason": "LAST_SUPERADMIN"})]
    assert (await user_of(postgres, anna)).roles == SUPERADMIN


async def test_a_superadmin_whose_number_has_a_new_owner_is_no_superadmin_who_can_sign_in(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock, anna: UUID
) -> None:
    former = await join(postgres, clock.now())
    await set_columns(postgres, former, clock, roles=sorted(SUPERADMIN), phone=None)
    await set_columns(postgres, anna, clock, roles=sorted(SUPERADMIN))
    assert await reason_of(accounts.set_roles(CallBy(superadmin(anna)), anna, MEMBER, "")) == "LAST_SUPERADMIN"


async def test_two_superadmins_who_demote_or_ban_each_other_at_once_leave_one(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock
) -> None:
    for _ in range(10):
        one, other = [await join(postgres, clock.now()) for _ in range(2)]
        for each in (one, other):
            await set_columns(postgres, each, clock, roles=sorted(SUPERADMIN))
        outcomes = await asyncio.gather(
            accounts.set_roles(CallBy(superadmin(one)), other, MEMBER, ""),
            accounts.ban(CallBy(superadmin(other)), one, BanReason.OTHER),
            return_exceptions=True,
        )
        reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, DomainError)]
        assert len(reasons) == 1
        assert set(reasons) <= {"LAST_SUPERADMIN", "PERMISSION_DENIED"}
        left = [user for user in (await user_of(postgres, one), await user_of(postgres, other)) if _can_lead(user)]
        assert len(left) == 1
        await set_columns(postgres, left[0].id, clock, roles=["member"])


def _can_lead(user: User) -> bool:
    return Role.SUPERADMIN in user.roles and user.status is AccountStatus.ACTIVE


async def test_a_ban_shuts_her_out_at_once_and_only_once(
    postgres: Postgres, accounts: AccountAdministration, revocations: RecordedRevocations, anna: UUID
) -> None:
    user = await accounts.ban(CallBy(admin()), anna, BanReason.FRAUD)
    assert user.status is AccountStatus.BANNED
    assert revocations.ended == [(anna, RevokeReason.BANNED)]
    assert await traces(postgres, anna, "USER_BANNED") == [("done", {"reason": "fraud"})]
    assert await accounts.ban(CallBy(admin()), anna, BanReason.ABUSE) == user
    assert len(revocations.ended) == 1


async def test_whoever_is_let_in_again_is_what_she_was(
    postgres: Postgres, accounts: AccountAdministration, users: UsersService, clock: ManualClock, anna: UUID
) -> None:
    [guest] = await users.batch_create_users(CallBy(service("users.write")), [NewMember(new_phone())])
    assert guest.user_id is not None
    for user_id, status in ((anna, AccountStatus.ACTIVE), (guest.user_id, AccountStatus.UNCLAIMED)):
        await accounts.ban(CallBy(admin()), user_id, BanReason.TAKEN_OVER)
        let_in = await accounts.unban(CallBy(admin()), user_id)
        assert let_in is not None
        assert let_in.status is status
        assert await traces(postgres, user_id, "USER_UNBANNED") == [("done", {})]
        again = await accounts.unban(CallBy(admin()), user_id)
        assert again == await user_of(postgres, user_id)


async def test_nobody_bans_herself(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock, anna: UUID
) -> None:
    await set_columns(postgres, anna, clock, roles=sorted(SUPERADMIN))
    assert await reason_of(accounts.ban(CallBy(superadmin(anna)), anna, BanReason.OTHER)) == "PERMISSION_DENIED"
    assert await traces(postgres, anna, "USER_BANNED") == [("refused", {"error_reason": "PERMISSION_DENIED"})]
    assert (await user_of(postgres, anna)).status is AccountStatus.ACTIVE


async def test_a_deleted_user_is_not_changed(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock, anna: UUID
) -> None:
    await set_columns(postgres, anna, clock, status="deleted")
    assert await reason_of(accounts.update(CallBy(admin()), anna, naming("Анна"), "")) == "USER_STATE"


async def test_an_account_without_a_number_gets_no_role(
    postgres: Postgres, accounts: AccountAdministration, clock: ManualClock, anna: UUID
) -> None:
    await set_columns(postgres, anna, clock, phone=None)
    with pytest.raises(FailedPrecondition) as refusal:
        await accounts.set_roles(CallBy(superadmin()), anna, ADMIN, "")
    assert (refusal.value.reason, refusal.value.metadata) == ("USER_STATE", {"state": "no_phone"})
    assert (await user_of(postgres, anna)).roles == MEMBER
