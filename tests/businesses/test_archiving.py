import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from svoykrug_server.businesses.archiving import BusinessArchive
from svoykrug_server.businesses.model import Business, BusinessChange, BusinessStatus, Category, NewBusiness
from svoykrug_server.businesses.service import BusinessesService
from svoykrug_server.businesses.staff import StaffService
from svoykrug_server.kit.caller import Caller, Role, StaffRole
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import Conflict, NotFound, PermissionDenied, Unauthenticated
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users import repository as users_repository
from tests.businesses.test_staff import person_in
from tests.callers import CallBy, admin, person, service
from tests.revocations import RecordedRevocations

ADMIN = CallBy(admin())


@pytest.fixture
async def business(businesses: BusinessesService) -> Business:
    return await businesses.create_business(ADMIN, uuid4(), NewBusiness("Салон", Category.BEAUTY))


async def roles_of(postgres: Postgres, user_id: UUID) -> dict[UUID, StaffRole]:
    """Returns what an access token made now says of a user's work."""
    async with postgres.transaction() as tx:
        claims = await users_repository.claims(tx, user_id)
    assert claims is not None
    return dict(claims.staff)


async def test_an_archived_business_is_the_same_business_and_takes_no_purchases(
    businesses: BusinessesService, archive: BusinessArchive, business: Business, clock: ManualClock
) -> None:
    clock.advance(timedelta(days=1))
    archived = await archive.archive(ADMIN, business.id, business.etag)
    assert archived == replace(business, status=BusinessStatus.ARCHIVED, version=2, update_time=clock.now())
    assert await businesses.get_business(admin(), business.id) == archived
    clock.advance(timedelta(days=1))
    active = await archive.unarchive(ADMIN, business.id, archived.etag)
    assert active == replace(business, version=3, update_time=clock.now())
    assert await businesses.get_business(admin(), business.id) == active


async def test_the_people_of_an_archived_business_lose_their_rights_at_once_and_get_them_back(
    postgres: Postgres,
    staff: StaffService,
    archive: BusinessArchive,
    business: Business,
    clock: ManualClock,
    revocations: RecordedRevocations,
) -> None:
    owner_id, staff_id = await person_in(postgres, clock.now()), await person_in(postgres, clock.now())
    await staff.add_staff(ADMIN, business.id, owner_id, StaffRole.OWNER)
    await staff.add_staff(ADMIN, business.id, staff_id, StaffRole.STAFF)
    revocations.user_ids.clear()
    await archive.archive(ADMIN, business.id, "")
    assert revocations.user_ids == sorted([owner_id, staff_id])
    assert (await roles_of(postgres, owner_id), await roles_of(postgres, staff_id)) == ({}, {})
    await archive.unarchive(ADMIN, business.id, "")
    assert revocations.user_ids == sorted([owner_id, staff_id]) * 2
    assert await roles_of(postgres, owner_id) == {business.id: StaffRole.OWNER}
    assert await roles_of(postgres, staff_id) == {business.id: StaffRole.STAFF}


async def test_archiving_one_business_leaves_the_rights_at_another(
    postgres: Postgres,
    businesses: BusinessesService,
    staff: StaffService,
    archive: BusinessArchive,
    business: Business,
    clock: ManualClock,
) -> None:
    other = await businesses.create_business(ADMIN, uuid4(), NewBusiness("Оптика", Category.OPTICS))
    user_id = await person_in(postgres, clock.now())
    for place in (business, other):
        await staff.add_staff(ADMIN, place.id, user_id, StaffRole.STAFF)
    await archive.archive(ADMIN, business.id, "")
    assert await roles_of(postgres, user_id) == {other.id: StaffRole.STAFF}


async def test_a_token_that_still_names_the_role_opens_nothing_of_an_archived_business(
    businesses: BusinessesService, staff: StaffService, archive: BusinessArchive, business: Business
) -> None:
    await archive.archive(ADMIN, business.id, "")
    owner = person(staff={business.id: StaffRole.OWNER})
    with pytest.raises(PermissionDenied):
        await businesses.get_business(owner, business.id)
    with pytest.raises(PermissionDenied):
        await businesses.update_business(CallBy(owner), business.id, BusinessChange(name="Дом"), "")
    with pytest.raises(PermissionDenied):
        await staff.add_staff(CallBy(owner), business.id, uuid4(), StaffRole.STAFF)
    with pytest.raises(PermissionDenied):
        await staff.remove_staff(CallBy(owner), business.id, uuid4())
    with pytest.raises(PermissionDenied):
        await staff.list_staff(owner, business.id)


async def test_archiving_twice_and_taking_back_twice_changes_nothing_more(
    postgres: Postgres, archive: BusinessArchive, business: Business, clock: ManualClock
) -> None:
    first = await archive.archive(ADMIN, business.id, business.etag)
    clock.advance(timedelta(days=1))
    assert await archive.archive(ADMIN, business.id, business.etag) == first
    active = await archive.unarchive(ADMIN, business.id, "")
    assert await archive.unarchive(ADMIN, business.id, first.etag) == active
    async with postgres.read() as connection:
        events = await connection.fetch(
            "SELECT action, target_id FROM audit_events WHERE action LIKE 'BUSINESS_%ARCHIVED' ORDER BY event_id"
        )
    assert [event["action"] for event in events] == ["BUSINESS_ARCHIVED", "BUSINESS_UNARCHIVED"]
    assert {event["target_id"] for event in events} == {str(business.id)}


async def test_a_stale_etag_is_refused_and_nothing_changes(
    businesses: BusinessesService, archive: BusinessArchive, business: Business
) -> None:
    renamed = await businesses.update_business(ADMIN, business.id, BusinessChange(name="Дом"), "")
    with pytest.raises(Conflict) as refusal:
        await archive.archive(ADMIN, business.id, business.etag)
    assert refusal.value.reason == "STALE_ETAG"
    assert await businesses.get_business(admin(), business.id) == renamed


async def test_parallel_archivings_are_one(postgres: Postgres, archive: BusinessArchive, business: Business) -> None:
    outcomes = await asyncio.gather(*(archive.archive(ADMIN, business.id, "") for _ in range(6)))
    assert len(set(outcomes)) == 1
    async with postgres.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM audit_events WHERE action = 'BUSINESS_ARCHIVED'") == 1


@pytest.mark.parametrize("kind", ["owner", "member", "service"])
async def test_only_admins_archive_and_take_back(
    businesses: BusinessesService, archive: BusinessArchive, business: Business, kind: str
) -> None:
    callers: dict[str, Caller] = {
        "owner": person(staff={business.id: StaffRole.OWNER}),
        "member": person(),
        "service": service("businesses.read"),
    }
    with pytest.raises(PermissionDenied):
        await archive.archive(CallBy(callers[kind]), business.id, "")
    with pytest.raises(PermissionDenied):
        await archive.unarchive(CallBy(callers[kind]), business.id, "")
    with pytest.raises(Unauthenticated):
        await archive.archive(CallBy(None), business.id, "")
    assert await businesses.get_business(admin(), business.id) == business


@pytest.mark.parametrize("role", [Role.ADMIN, Role.SUPERADMIN])
async def test_a_missing_business_is_not_found(archive: BusinessArchive, role: Role) -> None:
    call = CallBy(person(None, role))
    with pytest.raises(NotFound):
        await archive.archive(call, uuid4(), "")
    with pytest.raises(NotFound):
        await archive.unarchive(call, uuid4(), "")
