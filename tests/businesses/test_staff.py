import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, update

from svoykrug_server.businesses.archiving import BusinessArchive
from svoykrug_server.businesses.model import Business, Category, NewBusiness, StaffMember
from svoykrug_server.businesses.service import BusinessesService
from svoykrug_server.businesses.staff import StaffService
from svoykrug_server.kit.caller import Caller, Role, StaffRole
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import DomainError, FailedPrecondition, NotFound, PermissionDenied, Unauthenticated
from svoykrug_server.kit.ids import random_referral_code, uuid7
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.schema.users import users
from tests.callers import CallBy, admin, person, service
from tests.revocations import RecordedRevocations
from tests.users.people import new_phone
from tests.waiting import until

ADMIN = CallBy(admin())


@pytest.fixture
async def business(businesses: BusinessesService) -> Business:
    return await businesses.create_business(ADMIN, uuid4(), NewBusiness("Салон", Category.BEAUTY))


async def person_in(postgres: Postgres, now: datetime, name: str = "Анна", status: str = "active") -> UUID:
    user_id = uuid7(now)
    async with postgres.transaction() as tx:
        named = {"id": user_id, "phone": new_phone(), "display_name": name, "status": status}
        values = {**named, "create_time": now, "update_time": now}
        await tx.execute(insert(users).values({**values, "referral_code": random_referral_code()}))
    return user_id


async def test_an_added_person_works_there_from_now_on_and_needs_a_new_access_token(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock, revocations: RecordedRevocations
) -> None:
    user_id = await person_in(postgres, clock.now())
    member = await staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF)
    assert member == StaffMember(user_id, StaffRole.STAFF, "Анна", clock.now())
    assert await staff.list_staff(admin(), business.id) == [member]
    assert revocations.user_ids == [user_id]


async def test_the_same_role_again_changes_nothing(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock, revocations: RecordedRevocations
) -> None:
    user_id = await person_in(postgres, clock.now())
    first = await staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF)
    clock.advance(timedelta(days=1))
    assert await staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF) == first
    assert revocations.user_ids == [user_id]
    assert len(await audited(postgres)) == 1


async def test_another_role_is_a_change_that_keeps_the_day_she_was_added(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock, revocations: RecordedRevocations
) -> None:
    user_id = await person_in(postgres, clock.now())
    since = clock.now()
    await staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF)
    clock.advance(timedelta(days=1))
    member = await staff.add_staff(ADMIN, business.id, user_id, StaffRole.OWNER)
    assert (member.role, member.create_time) == (StaffRole.OWNER, since)
    assert revocations.user_ids == [user_id, user_id]
    assert [role for _, role in await audited(postgres)] == ["staff", "owner"]


async def test_a_removed_person_works_there_no_more_and_removing_her_again_changes_nothing(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock, revocations: RecordedRevocations
) -> None:
    user_id = await person_in(postgres, clock.now())
    await staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF)
    clock.advance(timedelta(minutes=1))
    await staff.remove_staff(ADMIN, business.id, user_id)
    await staff.remove_staff(ADMIN, business.id, user_id)
    assert await staff.list_staff(admin(), business.id) == []
    assert revocations.user_ids == [user_id, user_id]
    assert [action for action, _ in await audited(postgres)] == ["STAFF_ADDED", "STAFF_REMOVED"]


async def test_owners_come_first_then_whoever_was_there_earlier(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock
) -> None:
    roles = [StaffRole.STAFF, StaffRole.OWNER, StaffRole.STAFF, StaffRole.OWNER]
    ids = []
    for role in roles:
        ids.append(await person_in(postgres, clock.now()))
        await staff.add_staff(ADMIN, business.id, ids[-1], role)
        clock.advance(timedelta(minutes=1))
    listed = [member.user_id for member in await staff.list_staff(admin(), business.id)]
    assert listed == [ids[1], ids[3], ids[0], ids[2]]


async def test_parallel_additions_of_one_person_end_with_one_row(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock
) -> None:
    user_id = await person_in(postgres, clock.now())
    await asyncio.gather(*(staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF) for _ in range(6)))
    assert len(await staff.list_staff(admin(), business.id)) == 1
    assert len(await audited(postgres)) == 1


@pytest.mark.parametrize("status", ["unclaimed", "banned", "deleted", None])
async def test_nobody_who_cannot_sign_in_or_is_unknown_can_be_added(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock, status: str | None
) -> None:
    user_id = uuid4() if status is None else await person_in(postgres, clock.now(), status=status)
    with pytest.raises(FailedPrecondition) as refusal:
        await staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF)
    assert refusal.value.reason == "MEMBER_UNKNOWN"
    assert await staff.list_staff(admin(), business.id) == []


async def test_somebody_without_a_number_cannot_be_added(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock
) -> None:
    user_id = await person_in(postgres, clock.now())
    async with postgres.transaction() as tx:
        await tx.execute(update(users).where(users.c.id == user_id).values(phone=None))
    with pytest.raises(FailedPrecondition) as refusal:
        await staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF)
    assert refusal.value.reason == "MEMBER_UNKNOWN"


async def test_a_business_with_1000_people_takes_no_other_but_changes_those_it_has(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock
) -> None:
    user_id = await person_in(postgres, clock.now())
    await staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF)
    async with postgres.transaction() as tx:
        await (await tx.driver()).execute(
            "WITH made AS (INSERT INTO users (id, status, create_time, update_time) "
            "SELECT gen_random_uuid(), 'unclaimed', now(), now() FROM generate_series(1, 999) RETURNING id) "
            "INSERT INTO business_staff (business_id, user_id, role, create_time, update_time) "
            "SELECT $1, id, 'staff', now(), now() FROM made",
            business.id,
        )
    with pytest.raises(FailedPrecondition) as refusal:
        await staff.add_staff(ADMIN, business.id, await person_in(postgres, clock.now()), StaffRole.STAFF)
    assert (refusal.value.reason, refusal.value.metadata) == ("STAFF_FULL", {"most": "1000"})
    assert (await staff.add_staff(ADMIN, business.id, user_id, StaffRole.OWNER)).role is StaffRole.OWNER
    assert len(await staff.list_staff(admin(), business.id)) == 1_000


async def test_a_person_with_50_businesses_gets_no_other_since_her_token_names_them_all(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock
) -> None:
    user_id = await person_in(postgres, clock.now())
    async with postgres.transaction() as tx:
        await (await tx.driver()).execute(
            "WITH made AS (INSERT INTO businesses (id, name, category, sensitive, create_time, update_time) "
            "SELECT gen_random_uuid(), 'Дом ' || n, 'beauty', false, now(), now() FROM generate_series(1, 50) AS n "
            "RETURNING id) INSERT INTO business_staff (business_id, user_id, role, create_time, update_time) "
            "SELECT id, $1, 'staff', now(), now() FROM made",
            user_id,
        )
    with pytest.raises(FailedPrecondition) as refusal:
        await staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF)
    assert (refusal.value.reason, refusal.value.metadata) == ("STAFF_FULL", {"most": "50"})


async def test_who_gets_a_role_finds_it_in_the_trail_about_her(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock
) -> None:
    user_id = await person_in(postgres, clock.now())
    await staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF)
    await staff.remove_staff(ADMIN, business.id, user_id)
    async with postgres.read() as connection:
        rows = await connection.fetch(
            "SELECT action, details->>'business_id' AS business_id FROM audit_events "
            "WHERE target_kind = 'user' AND target_id = $1 ORDER BY event_id",
            str(user_id),
        )
    assert {row["action"] for row in rows} == {"STAFF_ADDED", "STAFF_REMOVED"}
    assert {row["business_id"] for row in rows} == {str(business.id)}


async def test_an_archived_business_takes_no_new_staff_but_lets_people_go(
    postgres: Postgres, staff: StaffService, archive: BusinessArchive, business: Business, clock: ManualClock
) -> None:
    user_id = await person_in(postgres, clock.now())
    await staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF)
    await archive.archive(ADMIN, business.id, "")
    with pytest.raises(FailedPrecondition) as refusal:
        await staff.add_staff(ADMIN, business.id, await person_in(postgres, clock.now()), StaffRole.STAFF)
    assert refusal.value.reason == "BUSINESS_ARCHIVED"
    await staff.remove_staff(ADMIN, business.id, user_id)
    assert await staff.list_staff(admin(), business.id) == []


@pytest.mark.parametrize("kind", ["staff", "other owner", "member", "service", "nobody"])
async def test_only_owner_and_admin_choose_and_see_the_staff(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock, kind: str
) -> None:
    user_id = await person_in(postgres, clock.now())
    callers: dict[str, Caller | None] = {
        "staff": person(staff={business.id: StaffRole.STAFF}),
        "other owner": person(staff={uuid4(): StaffRole.OWNER}),
        "member": person(),
        "service": service("businesses.read", "users.write"),
        "nobody": None,
    }
    caller = callers[kind]
    refusal: type[DomainError] = Unauthenticated if caller is None else PermissionDenied
    with pytest.raises(refusal):
        await staff.add_staff(CallBy(caller), business.id, user_id, StaffRole.OWNER)
    with pytest.raises(refusal):
        await staff.remove_staff(CallBy(caller), business.id, user_id)
    if caller is not None:
        with pytest.raises(PermissionDenied):
            await staff.list_staff(caller, business.id)
    assert await staff.list_staff(admin(), business.id) == []


async def test_an_owner_chooses_and_sees_her_own_staff(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock
) -> None:
    owner = person(staff={business.id: StaffRole.OWNER})
    user_id = await person_in(postgres, clock.now())
    added = await staff.add_staff(CallBy(owner), business.id, user_id, StaffRole.STAFF)
    assert await staff.list_staff(owner, business.id) == [added]
    await staff.remove_staff(CallBy(owner), business.id, user_id)
    assert await staff.list_staff(owner, business.id) == []


async def test_an_owner_neither_makes_nor_changes_nor_removes_another_owner(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock, revocations: RecordedRevocations
) -> None:
    first = CallBy(person(staff={business.id: StaffRole.OWNER}))
    second_id, anna_id = await person_in(postgres, clock.now()), await person_in(postgres, clock.now())
    await staff.add_staff(ADMIN, business.id, second_id, StaffRole.OWNER)
    before = await staff.list_staff(admin(), business.id)
    for user_id, role in (
        (anna_id, StaffRole.OWNER),
        (second_id, StaffRole.STAFF),
        (second_id, StaffRole.OWNER),
        (uuid4(), StaffRole.OWNER),
    ):
        with pytest.raises(PermissionDenied):
            await staff.add_staff(first, business.id, user_id, role)
    with pytest.raises(PermissionDenied):
        await staff.remove_staff(first, business.id, second_id)
    assert await staff.list_staff(admin(), business.id) == before
    assert revocations.user_ids == [second_id]


async def test_an_owner_may_leave(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock
) -> None:
    owner_id = await person_in(postgres, clock.now())
    await staff.add_staff(ADMIN, business.id, owner_id, StaffRole.OWNER)
    owner = CallBy(person(owner_id, staff={business.id: StaffRole.OWNER}))
    await staff.remove_staff(owner, business.id, owner_id)
    assert await staff.list_staff(admin(), business.id) == []


async def test_who_deleted_her_account_is_listed_no_more_and_who_is_banned_still_is(
    postgres: Postgres, staff: StaffService, business: Business, clock: ManualClock
) -> None:
    deleted_id, banned_id = await person_in(postgres, clock.now()), await person_in(postgres, clock.now())
    for user_id, status in ((deleted_id, "deleted"), (banned_id, "banned")):
        await staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF)
        async with postgres.transaction() as tx:
            await tx.execute(update(users).where(users.c.id == user_id).values(status=status))
    assert [member.user_id for member in await staff.list_staff(admin(), business.id)] == [banned_id]


@pytest.mark.parametrize("change", ["given", "taken", "archived"])
async def test_a_change_of_rights_waits_for_a_sign_in_under_way_so_that_its_token_ends_too(
    postgres: Postgres,
    staff: StaffService,
    archive: BusinessArchive,
    business: Business,
    clock: ManualClock,
    revocations: RecordedRevocations,
    change: str,
) -> None:
    user_id = await person_in(postgres, clock.now())
    if change != "given":
        await staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF)
    revocations.user_ids.clear()
    changes: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "given": lambda: staff.add_staff(ADMIN, business.id, user_id, StaffRole.STAFF),
        "taken": lambda: staff.remove_staff(ADMIN, business.id, user_id),
        "archived": lambda: archive.archive(ADMIN, business.id, ""),
    }
    async with postgres.transaction() as sign_in:
        await sign_in.execute(select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True))
        changing = asyncio.create_task(changes[change]())
        await until(lambda: somebody_waits(postgres))
        assert revocations.user_ids == []
    await changing
    assert revocations.user_ids == [user_id]


async def somebody_waits(postgres: Postgres) -> bool:
    async with postgres.read() as connection:
        return bool(
            await connection.fetchval(
                "SELECT EXISTS (SELECT FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock')"
            )
        )


@pytest.mark.parametrize(
    ("role", "refusal"), [(Role.ADMIN, NotFound), (Role.SUPERADMIN, NotFound), (Role.MEMBER, PermissionDenied)]
)
async def test_a_missing_business_is_not_found_by_admins_and_denied_to_others(
    staff: StaffService, role: Role, refusal: type[DomainError]
) -> None:
    missing = uuid4()
    caller = person(None, role, staff={missing: StaffRole.OWNER})
    with pytest.raises(refusal):
        await staff.add_staff(CallBy(caller), missing, uuid4(), StaffRole.STAFF)
    with pytest.raises(refusal):
        await staff.remove_staff(CallBy(caller), missing, uuid4())
    with pytest.raises(refusal):
        await staff.list_staff(caller, missing)


async def audited(postgres: Postgres) -> list[tuple[str, Any]]:
    async with postgres.read() as connection:
        rows = await connection.fetch(
            "SELECT action, details->>'role' AS role FROM audit_events WHERE action LIKE 'STAFF_%' ORDER BY event_id"
        )
    return [(row["action"], row["role"]) for row in rows]
