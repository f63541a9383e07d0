"""Protobuf <-> model for businesses."""

import re
from collections.abc import Sequence
from uuid import UUID

from svoykrug.businesses.v1 import business_pb2
from svoykrug.businesses.v1 import businesses_service_pb2 as pb
from svoykrug.users.v1 import user_pb2

from svoykrug_server.businesses.model import (
    Business,
    BusinessChange,
    BusinessField,
    BusinessPage,
    BusinessStatus,
    Category,
    NewBusiness,
    StaffMember,
    is_name,
)
from svoykrug_server.kit.caller import StaffRole
from svoykrug_server.kit.errors import FieldViolation, InvalidFields
from svoykrug_server.rpc.timestamps import timestamp_from

CATEGORIES = {
    Category.BEAUTY: business_pb2.CATEGORY_BEAUTY,
    Category.COSMETOLOGY: business_pb2.CATEGORY_COSMETOLOGY,
    Category.DENTAL: business_pb2.CATEGORY_DENTAL,
    Category.MEDICAL: business_pb2.CATEGORY_MEDICAL,
    Category.GASTRONOMY: business_pb2.CATEGORY_GASTRONOMY,
    Category.FLORISTRY: business_pb2.CATEGORY_FLORISTRY,
    Category.OPTICS: business_pb2.CATEGORY_OPTICS,
    Category.TEXTILE: business_pb2.CATEGORY_TEXTILE,
    Category.LEGAL: business_pb2.CATEGORY_LEGAL,
}
STATES = {
    BusinessStatus.ACTIVE: business_pb2.BUSINESS_STATE_ACTIVE,
    BusinessStatus.ARCHIVED: business_pb2.BUSINESS_STATE_ARCHIVED,
}
STAFF_ROLES = {
    StaffRole.STAFF: user_pb2.STAFF_ROLE_STAFF,
    StaffRole.OWNER: user_pb2.STAFF_ROLE_OWNER,
}
_MODEL_CATEGORIES = {proto: category for category, proto in CATEGORIES.items()}
_MODEL_STAFF_ROLES = {proto: role for role, proto in STAFF_ROLES.items()}
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UPDATABLE = ", ".join(field.value for field in BusinessField)


def business_to_proto(business: Business) -> business_pb2.Business:
    """Returns a business as those who may see it see it."""
    return business_pb2.Business(
        id=str(business.id),
        name=business.name,
        category=CATEGORIES[business.category],
        sensitive=business.sensitive,
        state=STATES[business.status],
        etag=business.etag,
        create_time=timestamp_from(business.create_time),
        update_time=timestamp_from(business.update_time),
    )


def page_to_proto(page: BusinessPage) -> pb.ListBusinessesResponse:
    """Returns a page of businesses."""
    return pb.ListBusinessesResponse(
        businesses=[business_to_proto(business) for business in page.businesses],
        next_page_token=page.next_page_token,
    )


def staff_member_to_proto(member: StaffMember) -> business_pb2.StaffMember:
    """Returns a person who works at a business."""
    return business_pb2.StaffMember(
        user_id=str(member.user_id),
        role=STAFF_ROLES[member.role],
        display_name=member.display_name,
        create_time=timestamp_from(member.create_time),
    )


def new_business_from_proto(request: pb.CreateBusinessRequest) -> NewBusiness:
    """Returns the business to create.

    Raises:
        InvalidFields: The name holds nothing but blanks.
    """
    if not is_name(request.name):
        raise InvalidFields.of("name", "must name the business in 1 to 200 characters")
    return NewBusiness(request.name, _MODEL_CATEGORIES[request.category], request.sensitive)


def category_from_proto(category: business_pb2.Category.ValueType) -> Category | None:
    """Returns a category, or None when it is unspecified."""
    return _MODEL_CATEGORIES.get(category)


def staff_role_from_proto(role: user_pb2.StaffRole.ValueType) -> StaffRole:
    """Returns a role at a business."""
    return _MODEL_STAFF_ROLES[role]


def business_change_from_proto(request: pb.UpdateBusinessRequest) -> BusinessChange:
    """Returns which fields of a business to change, and their values.

    Raises:
        InvalidFields: The mask is empty or names a field that cannot be updated, or a named value is missing.
    """
    violations: list[FieldViolation] = []
    fields = _fields_from_mask(request.update_mask.paths, violations)
    if BusinessField.NAME in fields and not is_name(request.business.name):
        violations.append(FieldViolation("business.name", "must name the business in 1 to 200 characters"))
    category = category_from_proto(request.business.category)
    if BusinessField.CATEGORY in fields and category is None:
        violations.append(FieldViolation("business.category", "must be a category"))
    if violations:
        raise InvalidFields(violations=tuple(violations))
    return BusinessChange(
        name=request.business.name if BusinessField.NAME in fields else None,
        category=category if BusinessField.CATEGORY in fields else None,
    )


def updated_business_id(request: pb.UpdateBusinessRequest) -> UUID:
    """Returns the business to change.

    Raises:
        InvalidFields: The id is no UUID.
    """
    if not _UUID.fullmatch(request.business.id):
        raise InvalidFields.of("business.id", "must be a UUID")
    return UUID(request.business.id)


def _fields_from_mask(paths: Sequence[str], violations: list[FieldViolation]) -> set[BusinessField]:
    fields: set[BusinessField] = set()
    if not paths:
        violations.append(FieldViolation("update_mask", f"must name at least one of {_UPDATABLE}"))
    for index, path in enumerate(paths):
        if path in BusinessField.__members__.values():
            fields.add(BusinessField(path))
        else:
            violations.append(FieldViolation(f"update_mask.paths[{index}]", f"must be one of {_UPDATABLE}"))
    return fields
