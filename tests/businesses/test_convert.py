from datetime import UTC, datetime
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st
from svoykrug.businesses.v1 import business_pb2
from svoykrug.businesses.v1 import businesses_service_pb2 as pb
from svoykrug.users.v1 import user_pb2

from svoykrug_server.businesses import convert
from svoykrug_server.businesses.model import (
    ALWAYS_SENSITIVE,
    Business,
    BusinessChange,
    BusinessPage,
    BusinessStatus,
    Category,
    NewBusiness,
    StaffMember,
    is_name,
)
from svoykrug_server.kit.caller import StaffRole
from svoykrug_server.kit.errors import InvalidFields

INSTANTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy wants naive bounds
NAMES = st.text(min_size=1, max_size=200).filter(is_name)
BUSINESSES = st.sampled_from(Category).flatmap(
    lambda category: st.builds(
        Business,
        id=st.uuids(),
        name=NAMES,
        category=st.just(category),
        sensitive=st.just(True) if category in ALWAYS_SENSITIVE else st.booleans(),
        status=st.sampled_from(BusinessStatus),
        version=st.integers(1, 2**62),
        create_time=INSTANTS,
        update_time=INSTANTS,
    )
)


@given(BUSINESSES)
def test_a_business_says_the_same_in_protobuf_after_a_trip_over_the_wire(business: Business) -> None:
    proto = business_pb2.Business.FromString(convert.business_to_proto(business).SerializeToString())
    assert (proto.id, proto.name, proto.sensitive) == (str(business.id), business.name, business.sensitive)
    assert business_pb2.Category.Name(proto.category) == f"CATEGORY_{business.category.name}"
    assert business_pb2.BusinessState.Name(proto.state) == f"BUSINESS_STATE_{business.status.name}"
    assert proto.etag == business.etag
    assert proto.create_time.ToDatetime(UTC) == business.create_time
    assert proto.update_time.ToDatetime(UTC) == business.update_time


@given(NAMES, st.sampled_from(Category), st.booleans())
def test_a_business_to_create_is_read_as_it_was_sent(name: str, category: Category, sensitive: bool) -> None:
    request = pb.CreateBusinessRequest(name=name, category=convert.CATEGORIES[category], sensitive=sensitive)
    assert convert.new_business_from_proto(request) == NewBusiness(name, category, sensitive)


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\x00"])
def test_a_name_that_is_none_is_refused_by_path(name: str) -> None:
    with pytest.raises(InvalidFields) as refusal:
        convert.new_business_from_proto(pb.CreateBusinessRequest(name=name, category=business_pb2.CATEGORY_BEAUTY))
    assert [violation.path for violation in refusal.value.violations] == ["name"]


def test_a_change_takes_exactly_the_fields_its_mask_names() -> None:
    business = business_pb2.Business(name="Дом", category=business_pb2.CATEGORY_OPTICS, sensitive=True)
    changes = {
        ("name",): BusinessChange(name="Дом"),
        ("category",): BusinessChange(category=Category.OPTICS),
        ("category", "name", "name"): BusinessChange(name="Дом", category=Category.OPTICS),
    }
    for paths, change in changes.items():
        request = pb.UpdateBusinessRequest(business=business, update_mask=FieldMask(paths=paths))
        assert convert.business_change_from_proto(request) == change


@pytest.mark.parametrize(
    ("business", "mask", "paths"),
    [
        (business_pb2.Business(name="Дом"), [], ["update_mask"]),
        (business_pb2.Business(name="Дом"), ["name", "sensitive"], ["update_mask.paths[1]"]),
        (
            business_pb2.Business(name="Дом"),
            ["state", "id", "*"],
            [f"update_mask.paths[{index}]" for index in range(3)],
        ),
        (business_pb2.Business(), ["name"], ["business.name"]),
        (business_pb2.Business(name=" "), ["name", "category"], ["business.name", "business.category"]),
        (business_pb2.Business(), ["category", "x"], ["update_mask.paths[1]", "business.category"]),
    ],
)
def test_every_bad_field_of_a_change_is_named_at_once(
    business: business_pb2.Business, mask: list[str], paths: list[str]
) -> None:
    with pytest.raises(InvalidFields) as refusal:
        convert.business_change_from_proto(
            pb.UpdateBusinessRequest(business=business, update_mask=FieldMask(paths=mask))
        )
    assert [violation.path for violation in refusal.value.violations] == paths


@pytest.mark.parametrize(
    "text", ["", "x", "urn:uuid:" + str(uuid4()), "{" + str(uuid4()) + "}", uuid4().hex, f"{uuid4()}\n"]
)
def test_an_id_that_is_no_uuid_is_refused_by_path(text: str) -> None:
    with pytest.raises(InvalidFields) as refusal:
        convert.updated_business_id(pb.UpdateBusinessRequest(business=business_pb2.Business(id=text)))
    assert [violation.path for violation in refusal.value.violations] == ["business.id"]


@given(st.lists(BUSINESSES, max_size=3), st.text())
def test_a_page_keeps_its_order_and_its_token(businesses: list[Business], token: str) -> None:
    proto = convert.page_to_proto(BusinessPage(tuple(businesses), token))
    assert [entry.id for entry in proto.businesses] == [str(business.id) for business in businesses]
    assert proto.next_page_token == token


@given(st.uuids(), st.sampled_from(StaffRole), st.text(), INSTANTS)
def test_a_staff_member_says_the_same_in_protobuf(user_id: object, role: StaffRole, name: str, since: datetime) -> None:
    member = StaffMember(user_id, role, name, since)  # type: ignore[arg-type]  # hypothesis draws a UUID
    proto = convert.staff_member_to_proto(member)
    assert (proto.user_id, proto.display_name) == (str(user_id), name)
    assert convert.staff_role_from_proto(proto.role) is role
    assert proto.create_time.ToDatetime(UTC) == since


def test_every_value_of_every_enum_of_the_contract_has_its_model() -> None:
    assert set(convert.CATEGORIES.values()) == set(business_pb2.Category.values()) - {0}
    assert set(convert.STATES.values()) == set(business_pb2.BusinessState.values()) - {0}
    assert set(convert.STAFF_ROLES.values()) == set(user_pb2.StaffRole.values()) - {0}
    assert convert.category_from_proto(business_pb2.CATEGORY_UNSPECIFIED) is None
