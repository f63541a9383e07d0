import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from svoykrug_server.businesses.archiving import BusinessArchive
from svoykrug_server.businesses.model import Business, BusinessChange, BusinessStatus, Category, NewBusiness
from svoykrug_server.businesses.service import BusinessesService
from svoykrug_server.kit.caller import Caller, Role, StaffRole
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import Conflict, DomainError, InvalidFields, NotFound, PermissionDenied, Unauthenticated
from svoykrug_server.storage.postgres import Postgres
from tests.callers import CallBy, admin, person, service

ADMIN = CallBy(admin())


async def create(businesses: BusinessesService, name: str = "Салон", category: Category = Category.BEAUTY) -> Business:
    return await businesses.create_business(ADMIN, uuid4(), NewBusiness(name, category))


async def test_a_created_business_can_be_read(businesses: BusinessesService, clock: ManualClock) -> None:
    business = await create(businesses, "Стоматология", Category.DENTAL)
    assert (business.sensitive, business.status, business.create_time) == (True, BusinessStatus.ACTIVE, clock.now())
    assert await businesses.get_business(ADMIN.caller or admin(), business.id) == business


async def test_the_same_request_again_returns_the_business_as_it_was_created(
    postgres: Postgres, businesses: BusinessesService, clock: ManualClock
) -> None:
    request_id = uuid4()
    first = await businesses.create_business(ADMIN, request_id, NewBusiness("Салон", Category.BEAUTY))
    await businesses.update_business(ADMIN, first.id, BusinessChange(name="Салон 2"), "")
    clock.advance(timedelta(days=6))
    assert await businesses.create_business(ADMIN, request_id, NewBusiness("Салон", Category.BEAUTY)) == first
    async with postgres.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM businesses") == 1
        assert await connection.fetchval("SELECT count(*) FROM audit_events WHERE action = 'BUSINESS_CREATED'") == 1


@pytest.mark.parametrize(
    "other",
    [
        NewBusiness("Салон 2", Category.BEAUTY),
        NewBusiness("Салон", Category.OPTICS),
        NewBusiness("Салон", Category.BEAUTY, sensitive=True),
    ],
)
async def test_a_request_id_is_not_good_for_another_business(businesses: BusinessesService, other: NewBusiness) -> None:
    request_id = uuid4()
    await businesses.create_business(ADMIN, request_id, NewBusiness("Салон", Category.BEAUTY))
    with pytest.raises(InvalidFields) as refusal:
        await businesses.create_business(ADMIN, request_id, other)
    assert refusal.value.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize("name", ["Салон", "САЛОН", "салон"])
async def test_a_name_is_taken_whatever_its_case(businesses: BusinessesService, name: str) -> None:
    await create(businesses, "Салон")
    with pytest.raises(Conflict) as refusal:
        await create(businesses, name)
    assert refusal.value.reason == "BUSINESS_EXISTS"


async def test_of_parallel_creations_with_one_name_exactly_one_wins(businesses: BusinessesService) -> None:
    outcomes = await asyncio.gather(*(create(businesses) for _ in range(6)), return_exceptions=True)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert [refusal.reason for refusal in refusals] == ["BUSINESS_EXISTS"] * 5


async def test_parallel_repeats_of_one_creation_return_one_business(businesses: BusinessesService) -> None:
    request_id = uuid4()
    new = NewBusiness("Салон", Category.BEAUTY)
    outcomes = await asyncio.gather(*(businesses.create_business(ADMIN, request_id, new) for _ in range(6)))
    assert len(set(outcomes)) == 1


@pytest.mark.parametrize("caller", [person(), service("businesses.read"), person(None, Role.MEMBER)])
async def test_only_admins_create_businesses(businesses: BusinessesService, caller: Caller) -> None:
    with pytest.raises(PermissionDenied):
        await businesses.create_business(CallBy(caller), uuid4(), NewBusiness("Салон", Category.BEAUTY))
    with pytest.raises(Unauthenticated):
        await businesses.create_business(CallBy(None), uuid4(), NewBusiness("Салон", Category.BEAUTY))


@pytest.mark.parametrize("kind", ["admin", "superadmin", "service", "staff", "owner", "other member", "other owner"])
async def test_who_may_see_a_business(businesses: BusinessesService, kind: str) -> None:
    business = await create(businesses)
    missing = uuid4()
    at = {business.id, missing}
    caller, refusal_of_missing = {
        "admin": (admin(), NotFound),
        "superadmin": (person(None, Role.SUPERADMIN), NotFound),
        "service": (service("businesses.read"), NotFound),
        "staff": (person(staff=dict.fromkeys(at, StaffRole.STAFF)), PermissionDenied),
        "owner": (person(staff=dict.fromkeys(at, StaffRole.OWNER)), PermissionDenied),
        "other member": (person(), PermissionDenied),
        "other owner": (person(staff={uuid4(): StaffRole.OWNER}), PermissionDenied),
    }[kind]
    if kind.startswith("other"):
        with pytest.raises(PermissionDenied):
            await businesses.get_business(caller, business.id)
    else:
        assert await businesses.get_business(caller, business.id) == business
    with pytest.raises(refusal_of_missing):
        await businesses.get_business(caller, missing)


async def test_pages_hold_every_business_once_by_name(businesses: BusinessesService) -> None:
    names = [f"Салон {number:02}" for number in range(23)] + ["аптека", "Яблоко", "x" * 200, "я" * 200]
    for name in names:
        await create(businesses, name)
    seen: list[str] = []
    token = ""
    sizes = []
    while True:
        page = await businesses.list_businesses(person(), size=5, token=token, category=None)
        seen += [business.name for business in page.businesses]
        sizes.append(len(page.businesses))
        token = page.next_page_token
        assert len(token) <= 512
        if not token:
            break
    assert seen == sorted(names, key=str.lower)
    assert sizes == [5, 5, 5, 5, 5, 2]


async def test_a_last_page_that_is_exactly_full_has_no_next(businesses: BusinessesService) -> None:
    for number in range(4):
        await create(businesses, f"Салон {number}")
    first = await businesses.list_businesses(person(), size=2, token="", category=None)
    second = await businesses.list_businesses(person(), size=2, token=first.next_page_token, category=None)
    assert (len(second.businesses), second.next_page_token) == (2, "")


async def test_an_empty_circle_has_one_empty_page(businesses: BusinessesService) -> None:
    page = await businesses.list_businesses(person(), size=0, token="", category=None)
    assert (page.businesses, page.next_page_token) == ((), "")


async def test_a_business_created_between_two_pages_is_neither_lost_nor_makes_another_come_twice(
    businesses: BusinessesService,
) -> None:
    for name in ("a", "c", "e", "g"):
        await create(businesses, name)
    first = await businesses.list_businesses(person(), size=2, token="", category=None)
    await create(businesses, "b")
    await create(businesses, "d")
    second = await businesses.list_businesses(person(), size=9, token=first.next_page_token, category=None)
    assert [business.name for business in (*first.businesses, *second.businesses)] == ["a", "c", "d", "e", "g"]


async def test_a_list_can_be_cut_to_a_category(businesses: BusinessesService) -> None:
    await create(businesses, "Салон", Category.BEAUTY)
    optics = await create(businesses, "Оптика", Category.OPTICS)
    page = await businesses.list_businesses(person(), size=0, token="", category=Category.OPTICS)
    assert page.businesses == (optics,)


async def test_members_do_not_see_archived_businesses_and_admins_and_services_do(
    businesses: BusinessesService, archive: BusinessArchive
) -> None:
    business = await create(businesses)
    await archive.archive(ADMIN, business.id, "")
    counts = [
        len((await businesses.list_businesses(caller, size=0, token="", category=None)).businesses)
        for caller in (person(), admin(), service("businesses.read"))
    ]
    assert counts == [0, 1, 1]


@pytest.mark.parametrize("token", ["x", "AAAA", "not base64!", "я", "====", "QUFBQUFBQUFbXQ"])
async def test_a_damaged_page_token_is_refused(businesses: BusinessesService, token: str) -> None:
    with pytest.raises(InvalidFields) as refusal:
        await businesses.list_businesses(person(), size=0, token=token, category=None)
    assert refusal.value.reason == "INVALID_PAGE_TOKEN"


async def test_a_page_token_of_another_list_is_refused(businesses: BusinessesService) -> None:
    await create(businesses, "a")
    await create(businesses, "b")
    token = (await businesses.list_businesses(person(), size=1, token="", category=None)).next_page_token
    for caller, category in ((person(), Category.BEAUTY), (admin(), None)):
        with pytest.raises(InvalidFields):
            await businesses.list_businesses(caller, size=1, token=token, category=category)


async def test_a_negative_page_size_is_refused_and_a_large_one_is_cut(businesses: BusinessesService) -> None:
    await create(businesses)
    with pytest.raises(InvalidFields):
        await businesses.list_businesses(person(), size=-1, token="", category=None)
    page = await businesses.list_businesses(person(), size=2**31 - 1, token="", category=None)
    assert len(page.businesses) == 1


async def test_owner_and_admin_change_a_business(businesses: BusinessesService, clock: ManualClock) -> None:
    business = await create(businesses)
    owner = CallBy(person(staff={business.id: StaffRole.OWNER}))
    clock.advance(timedelta(minutes=1))
    renamed = await businesses.update_business(owner, business.id, BusinessChange(name="Салон 2"), business.etag)
    assert renamed == replace(business, name="Салон 2", version=2, update_time=clock.now())
    moved = await businesses.update_business(ADMIN, business.id, BusinessChange(category=Category.OPTICS), renamed.etag)
    assert moved == await businesses.get_business(admin(), business.id)
    assert (moved.name, moved.category, moved.version) == ("Салон 2", Category.OPTICS, 3)


@pytest.mark.parametrize("kind", ["staff", "other owner", "member", "service"])
async def test_nobody_else_changes_a_business(businesses: BusinessesService, kind: str) -> None:
    business = await create(businesses)
    caller = {
        "staff": person(staff={business.id: StaffRole.STAFF}),
        "other owner": person(staff={uuid4(): StaffRole.OWNER}),
        "member": person(),
        "service": service("businesses.read"),
    }[kind]
    with pytest.raises(PermissionDenied):
        await businesses.update_business(CallBy(caller), business.id, BusinessChange(name="x"), "")
    assert await businesses.get_business(admin(), business.id) == business


async def test_a_missing_business_is_not_found_by_admins_and_denied_to_others(businesses: BusinessesService) -> None:
    missing = uuid4()
    owner = CallBy(person(staff={missing: StaffRole.OWNER}))
    expected: list[tuple[CallBy, type[DomainError]]] = [(ADMIN, NotFound), (owner, PermissionDenied)]
    for call, refusal in expected:
        with pytest.raises(refusal):
            await businesses.update_business(call, missing, BusinessChange(name="x"), "")


async def test_of_two_parallel_changes_with_one_etag_exactly_one_wins(businesses: BusinessesService) -> None:
    business = await create(businesses)
    outcomes = await asyncio.gather(
        *(
            businesses.update_business(ADMIN, business.id, BusinessChange(name=f"Салон {number}"), business.etag)
            for number in range(6)
        ),
        return_exceptions=True,
    )
    won = [outcome for outcome in outcomes if isinstance(outcome, Business)]
    lost = [outcome.reason for outcome in outcomes if isinstance(outcome, Conflict)]
    assert (len(won), lost) == (1, ["STALE_ETAG"] * 5)
    assert await businesses.get_business(admin(), business.id) == won[0]


async def test_the_same_change_again_with_the_same_etag_changes_nothing(businesses: BusinessesService) -> None:
    business = await create(businesses)
    first = await businesses.update_business(ADMIN, business.id, BusinessChange(name="Салон 2"), business.etag)
    again = await businesses.update_business(ADMIN, business.id, BusinessChange(name="Салон 2"), business.etag)
    assert again == first


async def test_a_name_cannot_be_changed_to_one_that_is_taken(businesses: BusinessesService) -> None:
    await create(businesses, "Салон")
    other = await create(businesses, "Оптика")
    with pytest.raises(Conflict) as refusal:
        await businesses.update_business(ADMIN, other.id, BusinessChange(name="салон"), "")
    assert refusal.value.reason == "BUSINESS_EXISTS"
    assert (await businesses.get_business(admin(), other.id)).name == "Оптика"


@pytest.mark.parametrize("category", [Category.DENTAL, Category.MEDICAL])
async def test_a_business_that_is_not_sensitive_cannot_become_one_that_must_be(
    businesses: BusinessesService, category: Category
) -> None:
    business = await create(businesses)
    with pytest.raises(InvalidFields) as refusal:
        await businesses.update_business(ADMIN, business.id, BusinessChange(category=category), "")
    assert [violation.path for violation in refusal.value.violations] == ["business.category"]


async def test_a_sensitive_business_stays_sensitive_in_another_category(businesses: BusinessesService) -> None:
    business = await create(businesses, "Стоматология", Category.DENTAL)
    changed = await businesses.update_business(ADMIN, business.id, BusinessChange(category=Category.BEAUTY), "")
    assert (changed.category, changed.sensitive) == (Category.BEAUTY, True)


async def test_every_write_leaves_one_audit_event_without_the_name(
    postgres: Postgres, businesses: BusinessesService, clock: ManualClock
) -> None:
    business = await create(businesses, "Тайна")
    clock.advance(timedelta(minutes=1))
    await businesses.update_business(ADMIN, business.id, BusinessChange(name="Тайна 2"), "")
    async with postgres.read() as connection:
        events = await connection.fetch(
            "SELECT action, target_kind, target_id, actor_id, details::text FROM audit_events ORDER BY event_id"
        )
    assert [event["action"] for event in events] == ["BUSINESS_CREATED", "BUSINESS_UPDATED"]
    assert {(event["target_kind"], event["target_id"]) for event in events} == {("business", str(business.id))}
    assert all("Тайна" not in event["details"] for event in events)
