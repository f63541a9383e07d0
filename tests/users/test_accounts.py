import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from svoykrug_server.kit.account import Account, AccountStatus, ConsentGrant, Joining
from svoykrug_server.kit.caller import Role, StaffRole
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users import repository
from svoykrug_server.users.accounts import UserAccounts
from svoykrug_server.users.consent_texts import ConsentTexts
from svoykrug_server.users.model import NewMember
from svoykrug_server.users.service import UsersService
from tests.callers import CallBy, service
from tests.users.people import CONSENTS, accounts, audited, join, new_phone, number_bans

TERMS, PERSONAL_DATA = CONSENTS
MARKETING = ConsentGrant("marketing", "2026-10", granted=False)


async def test_nobody_has_a_new_phone(postgres: Postgres) -> None:
    async with postgres.transaction() as tx:
        assert await accounts().find_by_phone(tx, new_phone()) is None


async def test_a_first_sign_in_makes_an_active_member_with_a_code_a_member_id_and_her_consents(
    postgres: Postgres, users: UsersService, clock: ManualClock
) -> None:
    phone = new_phone()
    user_id = await join(postgres, clock.now(), phone, consents=(*CONSENTS, MARKETING))
    async with postgres.transaction() as tx:
        assert await accounts().find_by_phone(tx, phone) == Account(user_id, AccountStatus.ACTIVE)
    assert len((await users.get_me(user_id)).referral_code) == 8
    assert await member_id_of(postgres, user_id) > 0
    assert await consents_of(postgres, user_id) == [
        ("terms", "2026-11", True),
        ("personal_data", "2026-11", True),
        ("marketing", "2026-10", False),
    ]
    details = {"consents": {"terms": True, "personal_data": True, "marketing": False}, "referred": False}
    assert await audited(postgres, user_id) == [("MEMBER_JOINED", details)]


@pytest.mark.parametrize(
    ("consents", "missing"),
    [
        ((), "terms,personal_data"),
        ((TERMS,), "personal_data"),
        ((PERSONAL_DATA, MARKETING), "terms"),
        ((replace(TERMS, granted=False), PERSONAL_DATA), "terms"),
        ((TERMS, PERSONAL_DATA, replace(TERMS, granted=False)), "terms"),
    ],
)
async def test_whoever_lacks_a_required_consent_is_told_which_and_nothing_is_written(
    postgres: Postgres, clock: ManualClock, consents: tuple[ConsentGrant, ...], missing: str
) -> None:
    phone = new_phone()
    with pytest.raises(DomainError) as refusal:
        await join(postgres, clock.now(), phone, consents=consents)
    assert (refusal.value.reason, refusal.value.metadata) == ("CONSENT_REQUIRED", {"missing": missing})
    async with postgres.transaction() as tx:
        assert await accounts().find_by_phone(tx, phone) is None


async def test_whoever_consents_to_a_text_that_there_is_not_does_not_join(
    postgres: Postgres, clock: ManualClock
) -> None:
    people = UserAccounts(lambda: None, number_bans(), ConsentTexts(frozenset({"2026-11"})))
    phone = new_phone()
    for consents, paths in (((*CONSENTS, replace(MARKETING, granted=True)), ["consents[2].version"]), (CONSENTS, [])):
        async with postgres.transaction() as tx:
            joined = await people.join(tx, Joining(phone, consents, "", "ru", clock.now()))
        assert [violation.path for violation in getattr(joined, "violations", ())] == paths
    async with postgres.transaction() as tx:
        account = await people.find_by_phone(tx, phone)
    assert account is not None
    assert account.user_id == joined


async def test_a_referral_code_names_the_referrer_whatever_its_case(
    postgres: Postgres, users: UsersService, clock: ManualClock
) -> None:
    referrer_id = await join(postgres, clock.now())
    code = (await users.get_me(referrer_id)).referral_code
    invited_id = await join(postgres, clock.now(), referral_code=code.lower())
    async with postgres.read() as connection:
        assert await connection.fetchval("SELECT referrer_id FROM users WHERE id = $1", invited_id) == referrer_id


@pytest.mark.parametrize("code", ["ZZZZZZZZZZ", "ZZZZZZ", "short", "x" * 11, "АБВГДЕЖЗ"])
async def test_a_code_that_names_nobody_is_refused_and_nothing_is_written(
    postgres: Postgres, clock: ManualClock, code: str
) -> None:
    phone = new_phone()
    with pytest.raises(DomainError) as refusal:
        await join(postgres, clock.now(), phone, referral_code=code)
    assert refusal.value.reason == "REFERRAL_INVALID"
    async with postgres.transaction() as tx:
        assert await accounts().find_by_phone(tx, phone) is None


@pytest.mark.parametrize("status", ["banned", "deleted"])
async def test_a_code_of_someone_who_is_not_active_is_refused(
    postgres: Postgres, users: UsersService, clock: ManualClock, status: str
) -> None:
    referrer_id = await join(postgres, clock.now())
    code = (await users.get_me(referrer_id)).referral_code
    async with postgres.transaction() as tx:
        await repository.change(tx, referrer_id, {"status": status}, clock.now())
    with pytest.raises(DomainError) as refusal:
        await join(postgres, clock.now(), referral_code=code)
    assert refusal.value.reason == "REFERRAL_INVALID"


async def test_a_first_sign_in_claims_the_member_a_partner_brought_with_her_name_and_member_id(
    postgres: Postgres, users: UsersService, clock: ManualClock
) -> None:
    phone = new_phone()
    [row] = await users.batch_create_users(CallBy(service("users.write")), [NewMember(phone, "Гостья")])
    assert row.user_id is not None
    member_id = await member_id_of(postgres, row.user_id)
    clock.advance(timedelta(days=30))
    assert await join(postgres, clock.now(), phone) == row.user_id
    user = await users.get_me(row.user_id)
    assert (user.status, user.display_name, user.version) == (AccountStatus.ACTIVE, "Гостья", 2)
    assert user.update_time == clock.now()
    assert await member_id_of(postgres, row.user_id) == member_id
    assert [action for action, _ in await audited(postgres, row.user_id)] == ["MEMBER_CLAIMED"]


async def test_nobody_joins_twice(postgres: Postgres, clock: ManualClock) -> None:
    phone = new_phone()
    await join(postgres, clock.now(), phone)
    with pytest.raises(ValueError, match="only a new or an unclaimed member"):
        await join(postgres, clock.now(), phone)


async def test_of_parallel_first_sign_ins_with_one_phone_one_makes_the_member_and_the_others_find_her(
    postgres: Postgres, clock: ManualClock
) -> None:
    phone = new_phone()

    async def sign_in() -> tuple[UUID, bool]:
        async with postgres.transaction() as tx:
            found = await accounts().find_by_phone(tx, phone)
            if found is not None:
                return found.user_id, False
            user_id = await accounts().join(tx, Joining(phone, CONSENTS, "", "ru", clock.now()))
            assert isinstance(user_id, UUID)
            return user_id, True

    outcomes = await asyncio.gather(*(sign_in() for _ in range(8)))
    assert len({user_id for user_id, _ in outcomes}) == 1
    assert sum(made for _, made in outcomes) == 1


async def test_a_batch_and_a_first_sign_in_at_the_same_time_end_with_one_active_member(
    postgres: Postgres, users: UsersService, clock: ManualClock
) -> None:
    for _ in range(5):
        phone = new_phone()
        batch = users.batch_create_users(CallBy(service("users.write")), [NewMember(phone)])
        [row], joined = await asyncio.gather(batch, join(postgres, clock.now(), phone))
        assert row.user_id == joined
        assert (await users.get_me(joined)).status is AccountStatus.ACTIVE


async def test_claims_say_roles_tier_language_and_every_business_she_works_for(
    postgres: Postgres, clock: ManualClock
) -> None:
    phone = new_phone()
    user_id = await join(postgres, clock.now(), phone)
    staff = {uuid4(): StaffRole.OWNER, uuid4(): StaffRole.STAFF}
    async with postgres.transaction() as tx:
        await add_jobs(postgres, user_id, staff, clock)
        claims = await accounts().claims(tx, user_id)
    assert claims is not None
    assert claims.status is AccountStatus.ACTIVE
    assert claims.roles == {Role.MEMBER}
    assert (claims.tier, claims.phone, claims.locale) == ("insider", phone, "ru")
    assert claims.staff == staff


async def test_somebody_unknown_has_no_claims(postgres: Postgres) -> None:
    async with postgres.transaction() as tx:
        assert await accounts().claims(tx, uuid4()) is None


async def test_a_consent_once_given_cannot_be_rewritten(postgres: Postgres, clock: ManualClock) -> None:
    user_id = await join(postgres, clock.now())
    connection = await postgres.dedicated()
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute("UPDATE user_consents SET granted = false WHERE user_id = $1", user_id)
    finally:
        await connection.close()


async def test_joining_in_a_call_leaves_the_calls_origin_in_the_audit_trail(
    postgres: Postgres, clock: ManualClock
) -> None:
    call = CallBy(None)
    async with postgres.transaction() as tx:
        joining = Joining(new_phone(), CONSENTS, "", "en", clock.now())
        user_id = await UserAccounts(lambda: call, number_bans()).join(tx, joining)
    async with postgres.read() as connection:
        event = await connection.fetchrow("SELECT * FROM audit_events WHERE target_id = $1", str(user_id))
    assert event is not None
    assert (event["actor_kind"], event["actor_id"]) == ("user", user_id)
    assert (event["request_id"], str(event["peer_address"])) == (call.request_id, call.peer_address)


async def member_id_of(postgres: Postgres, user_id: UUID) -> int:
    async with postgres.read() as connection:
        member_id: int = await connection.fetchval("SELECT member_id FROM member_links WHERE user_id = $1", user_id)
    return member_id


async def consents_of(postgres: Postgres, user_id: UUID) -> list[tuple[str, str, bool]]:
    async with postgres.read() as connection:
        rows = await connection.fetch(
            "SELECT kind, document_version, granted FROM user_consents WHERE user_id = $1 ORDER BY id", user_id
        )
    return [(row["kind"], row["document_version"], row["granted"]) for row in rows]


async def add_jobs(postgres: Postgres, user_id: UUID, staff: dict[UUID, StaffRole], clock: ManualClock) -> None:
    connection = await postgres.dedicated()
    try:
        for business_id, role in staff.items():
            await connection.execute(
                "INSERT INTO businesses (id, name, category, sensitive, create_time, update_time) "
                "VALUES ($1, $2, 'beauty', false, $3, $3)",
                business_id,
                f"Салон {business_id}",
                clock.now(),
            )
            await connection.execute(
                "INSERT INTO business_staff VALUES ($1, $2, $3, $4, $4)", business_id, user_id, role.value, clock.now()
            )
    finally:
        await connection.close()
