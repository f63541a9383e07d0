from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from svoykrug.businesses.v1 import business_pb2
from svoykrug.businesses.v1 import businesses_service_pb2 as pb
from svoykrug.businesses.v1.businesses_service_pb2_grpc import (
    BusinessesServiceStub,
    add_BusinessesServiceServicer_to_server,
)
from svoykrug.users.v1 import user_pb2

from svoykrug_server.businesses.archiving import BusinessArchive
from svoykrug_server.businesses.service import BusinessesService
from svoykrug_server.businesses.servicer import BusinessesServicer
from svoykrug_server.businesses.staff import StaffService
from svoykrug_server.kit.caller import StaffRole
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from tests.businesses.test_staff import person_in
from tests.callers import admin, person, service
from tests.serving import Metadata, Refusal, Served, refusal_of, serving

INVALID = grpc.StatusCode.INVALID_ARGUMENT
DENIED = Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
NOT_FOUND = Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


@pytest.fixture
async def served(businesses: BusinessesService, archive: BusinessArchive, staff: StaffService) -> AsyncIterator[Served]:
    servicer = BusinessesServicer(businesses, archive, staff)
    async with serving(lambda server: add_BusinessesServiceServicer_to_server(servicer, server)) as running:
        yield running


@pytest.fixture
def stub(served: Served) -> BusinessesServiceStub:
    return BusinessesServiceStub(served.channel)


@pytest.fixture
def as_admin(served: Served) -> Metadata:
    return served.tokens.sign_in(admin())


def creation(
    name: str = "Салон",
    category: business_pb2.Category.ValueType = business_pb2.CATEGORY_BEAUTY,
    request_id: str | None = None,
) -> pb.CreateBusinessRequest:
    return pb.CreateBusinessRequest(name=name, category=category, request_id=request_id or str(uuid4()))


async def test_a_business_is_created_read_changed_and_listed(stub: BusinessesServiceStub, as_admin: Metadata) -> None:
    created = (await stub.CreateBusiness(creation("Глазки", business_pb2.CATEGORY_OPTICS), metadata=as_admin)).business
    assert (created.name, created.state, created.etag) == ("Глазки", business_pb2.BUSINESS_STATE_ACTIVE, "1")
    read = await stub.GetBusiness(pb.GetBusinessRequest(business_id=created.id), metadata=as_admin)
    assert read.business == created
    request = pb.UpdateBusinessRequest(
        business=business_pb2.Business(id=created.id, name="Очки", etag="1"), update_mask=FieldMask(paths=["name"])
    )
    changed = (await stub.UpdateBusiness(request, metadata=as_admin)).business
    assert (changed.name, changed.category, changed.etag) == ("Очки", business_pb2.CATEGORY_OPTICS, "2")
    listed = await stub.ListBusinesses(pb.ListBusinessesRequest(), metadata=as_admin)
    assert list(listed.businesses) == [changed]
    assert listed.next_page_token == ""


async def test_a_repeated_creation_returns_the_first_answer_and_another_body_is_refused(
    stub: BusinessesServiceStub, as_admin: Metadata
) -> None:
    request_id = str(uuid4())
    first = await stub.CreateBusiness(creation("Салон", request_id=request_id), metadata=as_admin)
    assert await stub.CreateBusiness(creation("Салон", request_id=request_id), metadata=as_admin) == first
    refusal = await refusal_of(stub.CreateBusiness(creation("Другой", request_id=request_id), metadata=as_admin))
    assert refusal == Refusal(INVALID, "REQUEST_ID_REUSED", ("request_id",))


async def test_a_taken_name_is_said_so(stub: BusinessesServiceStub, as_admin: Metadata) -> None:
    await stub.CreateBusiness(creation("Салон"), metadata=as_admin)
    refusal = await refusal_of(stub.CreateBusiness(creation("САЛОН"), metadata=as_admin))
    assert refusal == Refusal(grpc.StatusCode.ALREADY_EXISTS, "BUSINESS_EXISTS")


@pytest.mark.parametrize(
    ("request_message", "path"),
    [
        (creation(""), "name"),
        (creation("x" * 201), "name"),
        (creation("a\x00b"), "name"),
        (creation("   "), "name"),
        (creation("x", business_pb2.CATEGORY_UNSPECIFIED), "category"),
        (pb.CreateBusinessRequest.FromString(creation("x").SerializeToString() + b"\x10\x63"), "category"),
        (creation("x", request_id="x"), "request_id"),
        (pb.CreateBusinessRequest(name="x", category=business_pb2.CATEGORY_BEAUTY), "request_id"),
    ],
)
async def test_every_bad_field_of_a_creation_is_named(
    stub: BusinessesServiceStub, as_admin: Metadata, request_message: pb.CreateBusinessRequest, path: str
) -> None:
    refusal = await refusal_of(stub.CreateBusiness(request_message, metadata=as_admin))
    assert (refusal.code, refusal.reason, set(refusal.paths)) == (INVALID, "INVALID_FIELDS", {path})


@pytest.mark.parametrize(
    ("business", "mask", "path"),
    [
        (business_pb2.Business(name="x"), ["name"], "business.id"),
        (business_pb2.Business(id="urn:uuid:00000000-0000-0000-0000-000000000000"), ["name"], "business.id"),
        (business_pb2.Business(id=str(uuid4()), name=""), ["name"], "business.name"),
        (business_pb2.Business(id=str(uuid4())), ["category"], "business.category"),
        (business_pb2.Business(id=str(uuid4()), sensitive=True), ["sensitive"], "update_mask.paths[0]"),
        (business_pb2.Business(id=str(uuid4())), [], "update_mask"),
    ],
)
async def test_every_bad_field_of_a_change_is_named(
    stub: BusinessesServiceStub, as_admin: Metadata, business: business_pb2.Business, mask: list[str], path: str
) -> None:
    request = pb.UpdateBusinessRequest(business=business, update_mask=FieldMask(paths=mask))
    refusal = await refusal_of(stub.UpdateBusiness(request, metadata=as_admin))
    assert refusal == Refusal(INVALID, "INVALID_FIELDS", (path,))


async def test_pages_are_walked_by_their_tokens(stub: BusinessesServiceStub, as_admin: Metadata) -> None:
    names = [f"Салон {number}" for number in range(5)]
    for name in names:
        await stub.CreateBusiness(creation(name), metadata=as_admin)
    seen: list[str] = []
    token = ""
    for _ in range(3):
        request = pb.ListBusinessesRequest(page_size=2, page_token=token)
        page = await stub.ListBusinesses(request, metadata=as_admin)
        seen += [business.name for business in page.businesses]
        token = page.next_page_token
    assert (seen, token) == (names, "")


@pytest.mark.parametrize(
    ("request_message", "reason", "path"),
    [
        (pb.ListBusinessesRequest(page_size=-1), "INVALID_FIELDS", "page_size"),
        (pb.ListBusinessesRequest(page_token="x" * 513), "INVALID_FIELDS", "page_token"),
        (pb.ListBusinessesRequest(page_token="damaged"), "INVALID_PAGE_TOKEN", "page_token"),
    ],
)
async def test_a_bad_page_is_named(
    stub: BusinessesServiceStub, as_admin: Metadata, request_message: pb.ListBusinessesRequest, reason: str, path: str
) -> None:
    refusal = await refusal_of(stub.ListBusinesses(request_message, metadata=as_admin))
    assert refusal == Refusal(INVALID, reason, (path,))


async def test_staff_is_added_listed_and_removed_by_the_owner(
    postgres: Postgres, stub: BusinessesServiceStub, served: Served, as_admin: Metadata, clock: ManualClock
) -> None:
    business_id = (await stub.CreateBusiness(creation(), metadata=as_admin)).business.id
    owner = served.tokens.sign_in(person(staff={UUID(business_id): StaffRole.OWNER}))
    user_id = str(await person_in(postgres, clock.now(), "Вера"))
    request = pb.AddStaffRequest(business_id=business_id, user_id=user_id, role=user_pb2.STAFF_ROLE_STAFF)
    added = (await stub.AddStaff(request, metadata=owner)).staff_member
    assert (added.user_id, added.role, added.display_name) == (user_id, user_pb2.STAFF_ROLE_STAFF, "Вера")
    listed = await stub.ListStaff(pb.ListStaffRequest(business_id=business_id), metadata=owner)
    assert list(listed.staff) == [added]
    await stub.RemoveStaff(pb.RemoveStaffRequest(business_id=business_id, user_id=user_id), metadata=owner)
    assert not (await stub.ListStaff(pb.ListStaffRequest(business_id=business_id), metadata=owner)).staff


async def test_the_people_of_one_business_see_nothing_of_another(
    stub: BusinessesServiceStub, served: Served, as_admin: Metadata
) -> None:
    theirs = (await stub.CreateBusiness(creation("Чужой"), metadata=as_admin)).business.id
    owner = served.tokens.sign_in(person(staff={uuid4(): StaffRole.OWNER}))
    change = pb.UpdateBusinessRequest(
        business=business_pb2.Business(id=theirs, name="Мой"), update_mask=FieldMask(paths=["name"])
    )
    addition = pb.AddStaffRequest(business_id=theirs, user_id=str(uuid4()), role=user_pb2.STAFF_ROLE_OWNER)
    removal = pb.RemoveStaffRequest(business_id=theirs, user_id=str(uuid4()))
    assert await refusal_of(stub.GetBusiness(pb.GetBusinessRequest(business_id=theirs), metadata=owner)) == DENIED
    assert await refusal_of(stub.UpdateBusiness(change, metadata=owner)) == DENIED
    assert await refusal_of(stub.AddStaff(addition, metadata=owner)) == DENIED
    assert await refusal_of(stub.RemoveStaff(removal, metadata=owner)) == DENIED
    assert await refusal_of(stub.ListStaff(pb.ListStaffRequest(business_id=theirs), metadata=owner)) == DENIED
    assert await refusal_of(stub.CreateBusiness(creation(), metadata=owner)) == DENIED


async def test_a_missing_business_is_not_found_by_admins_and_services_and_denied_to_others(
    stub: BusinessesServiceStub, served: Served, as_admin: Metadata
) -> None:
    missing = uuid4()
    request = pb.GetBusinessRequest(business_id=str(missing))
    as_service = served.tokens.sign_in(service("businesses.read"))
    as_owner = served.tokens.sign_in(person(staff={missing: StaffRole.OWNER}))
    assert await refusal_of(stub.GetBusiness(request, metadata=as_admin)) == NOT_FOUND
    assert await refusal_of(stub.GetBusiness(request, metadata=as_service)) == NOT_FOUND
    assert await refusal_of(stub.GetBusiness(request, metadata=as_owner)) == DENIED
    staff_request = pb.ListStaffRequest(business_id=str(missing))
    assert await refusal_of(stub.ListStaff(staff_request, metadata=as_admin)) == NOT_FOUND
    assert await refusal_of(stub.ListStaff(staff_request, metadata=as_owner)) == DENIED


async def test_a_business_is_archived_and_taken_back_and_a_stale_etag_is_refused(
    stub: BusinessesServiceStub, as_admin: Metadata
) -> None:
    created = (await stub.CreateBusiness(creation(), metadata=as_admin)).business
    archiving = pb.ArchiveBusinessRequest(business_id=created.id, etag=created.etag)
    archived = (await stub.ArchiveBusiness(archiving, metadata=as_admin)).business
    assert (archived.state, archived.etag) == (business_pb2.BUSINESS_STATE_ARCHIVED, "2")
    assert (await stub.ArchiveBusiness(archiving, metadata=as_admin)).business == archived
    stale = pb.UnarchiveBusinessRequest(business_id=created.id, etag=created.etag)
    refusal = await refusal_of(stub.UnarchiveBusiness(stale, metadata=as_admin))
    assert refusal == Refusal(grpc.StatusCode.ABORTED, "STALE_ETAG")
    unarchiving = pb.UnarchiveBusinessRequest(business_id=created.id)
    active = (await stub.UnarchiveBusiness(unarchiving, metadata=as_admin)).business
    assert (active.state, active.etag) == (business_pb2.BUSINESS_STATE_ACTIVE, "3")


async def test_nobody_unknown_can_be_added(stub: BusinessesServiceStub, as_admin: Metadata) -> None:
    business_id = (await stub.CreateBusiness(creation(), metadata=as_admin)).business.id
    request = pb.AddStaffRequest(business_id=business_id, user_id=str(uuid4()), role=user_pb2.STAFF_ROLE_STAFF)
    refusal = await refusal_of(stub.AddStaff(request, metadata=as_admin))
    assert refusal == Refusal(grpc.StatusCode.FAILED_PRECONDITION, "MEMBER_UNKNOWN")


@pytest.mark.parametrize(
    ("request_message", "paths"),
    [
        (pb.AddStaffRequest(), {"business_id", "user_id", "role"}),
        (pb.AddStaffRequest(business_id="x", user_id="y", role=user_pb2.STAFF_ROLE_OWNER), {"business_id", "user_id"}),
    ],
)
async def test_every_bad_field_of_an_addition_is_named_at_once(
    stub: BusinessesServiceStub, as_admin: Metadata, request_message: pb.AddStaffRequest, paths: set[str]
) -> None:
    refusal = await refusal_of(stub.AddStaff(request_message, metadata=as_admin))
    assert (refusal.reason, set(refusal.paths)) == ("INVALID_FIELDS", paths)
