from datetime import timedelta

import pytest

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import DomainError, InvalidFields
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users import repository
from svoykrug_server.users.commands import GrantRole
from svoykrug_server.users.service import UsersService
from tests.revocations import RecordedRevocations
from tests.users.people import audited, join, new_phone


@pytest.fixture
def revocations() -> RecordedRevocations:
    return RecordedRevocations()


@pytest.fixture
def grant_role(postgres: Postgres, clock: ManualClock, revocations: RecordedRevocations) -> GrantRole:
    return GrantRole(postgres, clock, revocations)


async def test_the_first_superadmin_is_created_and_claims_the_account_by_signing_in(
    postgres: Postgres, users: UsersService, clock: ManualClock, grant_role: GrantRole
) -> None:
    phone = new_phone()
    grant = await grant_role(f"8{phone[2:]}", Role.SUPERADMIN)
    assert (grant.created, grant.changed) == (True, True)
    clock.advance(timedelta(minutes=1))
    assert await join(postgres, clock.now(), phone) == grant.user_id
    user = await users.get_me(grant.user_id)
    assert user.roles == {Role.MEMBER, Role.SUPERADMIN}
    assert user.status is AccountStatus.ACTIVE
    assert (await audited(postgres, grant.user_id))[0] == ("ROLE_GRANTED", {"role": "superadmin", "created": True})


async def test_a_member_who_gets_a_role_keeps_her_others_and_loses_her_access_tokens(
    postgres: Postgres, users: UsersService, clock: ManualClock, grant_role: GrantRole, revocations: RecordedRevocations
) -> None:
    phone = new_phone()
    user_id = await join(postgres, clock.now(), phone)
    grant = await grant_role(phone, Role.ADMIN)
    assert (grant.user_id, grant.created, grant.changed) == (user_id, False, True)
    assert (await users.get_me(user_id)).roles == {Role.MEMBER, Role.ADMIN}
    assert revocations.user_ids == [user_id]


async def test_granting_twice_is_granting_once(
    postgres: Postgres, grant_role: GrantRole, revocations: RecordedRevocations
) -> None:
    phone = new_phone()
    first = await grant_role(phone, Role.ADMIN)
    again = await grant_role(phone, Role.ADMIN)
    assert (again.user_id, again.created, again.changed) == (first.user_id, False, False)
    assert revocations.user_ids == [first.user_id]
    assert len(await audited(postgres, first.user_id)) == 1


@pytest.mark.parametrize("state", ["banned", "deleted", "demo"])
async def test_whoever_is_shut_out_or_whose_code_is_known_gets_no_role(
    postgres: Postgres, users: UsersService, clock: ManualClock, grant_role: GrantRole, state: str
) -> None:
    phone = new_phone()
    user_id = await join(postgres, clock.now(), phone)
    async with postgres.transaction() as tx:
        values: dict[str, object] = {"demo": True} if state == "demo" else {"status": state}
        await repository.change(tx, user_id, values, clock.now())
    with pytest.raises(DomainError) as refusal:
        await grant_role(phone, Role.ADMIN)
    assert (refusal.value.reason, refusal.value.metadata) == ("USER_STATE", {"state": state})
    assert (await users.get_me(user_id)).roles == {Role.MEMBER}


@pytest.mark.parametrize(
    ("phone", "role", "path"), [("abc", Role.ADMIN, "phone"), ("+79990000000", Role.MEMBER, "role")]
)
async def test_what_is_no_phone_or_no_role_to_grant_is_named(
    grant_role: GrantRole, phone: str, role: Role, path: str
) -> None:
    with pytest.raises(InvalidFields) as refusal:
        await grant_role(phone, role)
    assert [violation.path for violation in refusal.value.violations] == [path]
