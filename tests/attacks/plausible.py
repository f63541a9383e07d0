"""Requests that are right, for any method: what an attacker begins with."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.businesses.v1 import business_pb2
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as users_pb

from svoykrug_server.auth import key_material

PHONE = "+79995550011"
PUBLIC_KEY_PEM = key_material.public_to_pem(key_material.generate("ES256").public_key()).decode()


def request_for(method: MethodDescriptor, business_id: str, **values: object) -> Message:
    """Returns a request that passes every rule of the proto and changes nobody.

    Everything it names does not exist, but the business.

    Args:
        method: The method.
        business_id: The business it names, wherever it names one that the caller must work for.
        values: Values of fields by name, in place of the usual ones.
    """
    known = {**_values(business_id), **_OF_MESSAGE.get(method.input_type.name, {}), **values}
    return _filled(message_factory.GetMessageClass(method.input_type)(), known)


def _filled(message: Message, known: Mapping[str, Any]) -> Message:
    for field in message.DESCRIPTOR.fields:
        if field.name not in known:
            continue
        value = known[field.name]
        if field.is_repeated:
            _extend(getattr(message, field.name), field, value)
        elif isinstance(value, Message):
            getattr(message, field.name).CopyFrom(value)
        elif isinstance(value, Mapping):
            nested = getattr(message, field.name)
            nested.SetInParent()
            _filled(nested, value)
        else:
            setattr(message, field.name, value)
    return message


def _extend(repeated: Any, field: Any, values: list[Any]) -> None:
    for value in values:
        if field.message_type is None:
            repeated.append(value)
        else:
            _filled(repeated.add(), value)


def _values(business_id: str) -> dict[str, Any]:
    unknown, now = str(uuid4()), Timestamp()
    now.FromDatetime(datetime.now(UTC))
    purchase = {
        "user_id": unknown,
        "external_id": f"receipt-{uuid4()}",
        "amount_minor": 100,
        "currency_code": "RUB",
        "purchase_time": now,
    }
    return {
        **_ALWAYS,
        **dict.fromkeys(_UNKNOWN_IDS, unknown),
        "business": {"id": business_id, "name": f"Салон {uuid4()}"},
        "business_id": business_id,
        "expire_time": now,
        "external_id": f"refund-{uuid4()}",
        "purchase": purchase,
        "purchases": [purchase],
        "refund_time": now,
        "request_id": str(uuid4()),
        "user_ids": [unknown],
    }


_UNKNOWN_IDS = (
    "churn_model_id",
    "csv_import_id",
    "erasure_id",
    "from_snapshot_id",
    "import_id",
    "operation_id",
    "purchase_id",
    "row_id",
    "service_account_id",
    "session_id",
    "to_snapshot_id",
    "user_id",
)
_ALWAYS: Mapping[str, Any] = {
    "assertion": "no.assertion.really",
    "birth_date": {"year": 1985, "month": 5, "day": 17},
    "category": business_pb2.CATEGORY_BEAUTY,
    "challenge_id": "A" * 22,
    "chunk": b"phone;receipt",
    "code": "123456",
    "consents": [{"kind": user_pb2.CONSENT_KIND_MARKETING, "version": "2026-11", "granted": True}],
    "kid": "unknown",
    "phone": PHONE,
    "public_key_pem": PUBLIC_KEY_PEM,
    "reason": users_pb.BAN_REASON_ABUSE,
    "refresh_token": "A" * 43,
    "role": user_pb2.STAFF_ROLE_STAFF,
    "roles": [user_pb2.ROLE_MEMBER],
    "token": "no.token.really",
    "update_mask": {"paths": ["name"]},
    "users": [{"phone": PHONE, "display_name": "Гостья"}],
}
_OF_MESSAGE: Mapping[str, Mapping[str, Any]] = {
    "ArchiveBusinessRequest": {"business_id": str(uuid4())},
    "CreateBusinessRequest": {"name": f"Салон {uuid4()}"},
    "CreateServiceAccountRequest": {"name": "a-service", "scopes": ["users.read"]},
    "GetMemberInsightRequest": {"as_of_time": Timestamp(seconds=1_760_000_000)},
    "ListUsersRequest": {"phone": "", "roles": []},
    "ServerReflectionRequest": {"list_services": ""},
    "SetServiceAccountScopesRequest": {"scopes": ["users.read"]},
    "UnarchiveBusinessRequest": {"business_id": str(uuid4())},
    "UpdateMeRequest": {"user": {"display_name": "Анна"}, "update_mask": {"paths": ["display_name"]}},
    "UpdateUserRequest": {
        "user": {"id": str(uuid4()), "display_name": "Анна"},
        "update_mask": {"paths": ["display_name"]},
    },
}
"""Where a field's name alone does not say what is right in it."""
