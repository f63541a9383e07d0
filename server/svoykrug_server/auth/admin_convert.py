"""Protobuf <-> model for the administration of auth."""

from datetime import UTC, datetime
from typing import cast

from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.auth.v1 import auth_admin_service_pb2, auth_service_pb2, service_account_pb2, signing_key_pb2
from svoykrug.users.v1 import user_pb2

from svoykrug_server.auth.key_model import (
    Algorithm,
    KeyState,
    NewServiceAccount,
    ServiceAccount,
    ServiceAccountPage,
    ServiceKey,
    SigningKeyView,
)
from svoykrug_server.auth.model import DemoPhone
from svoykrug_server.kit.caller import Caller, Role, StaffRole
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.rpc.timestamps import timestamp_from

_KEY_STATES = {
    KeyState.NEXT: signing_key_pb2.SIGNING_KEY_STATE_NEXT,
    KeyState.ACTIVE: signing_key_pb2.SIGNING_KEY_STATE_ACTIVE,
    KeyState.RETIRED: signing_key_pb2.SIGNING_KEY_STATE_RETIRED,
}
_ROLES = {
    Role.MEMBER: user_pb2.ROLE_MEMBER,
    Role.ADMIN: user_pb2.ROLE_ADMIN,
    Role.SUPERADMIN: user_pb2.ROLE_SUPERADMIN,
}
_STAFF_ROLES = {
    StaffRole.STAFF: user_pb2.STAFF_ROLE_STAFF,
    StaffRole.OWNER: user_pb2.STAFF_ROLE_OWNER,
}


def new_service_account_from_proto(request: auth_admin_service_pb2.CreateServiceAccountRequest) -> NewServiceAccount:
    """Reads the account to make."""
    return NewServiceAccount(request.name, tuple(request.scopes), request.public_key_pem.encode())


def service_account_to_proto(account: ServiceAccount) -> service_account_pb2.ServiceAccount:
    """Returns a service account."""
    return service_account_pb2.ServiceAccount(
        id=str(account.service_account_id),
        name=account.name,
        scopes=sorted(account.scopes),
        keys=map(_service_key_to_proto, account.keys),
        create_time=timestamp_from(account.create_time),
        disable_time=_timestamp_or_none(account.disable_time),
    )


def service_account_page_to_proto(page: ServiceAccountPage) -> auth_admin_service_pb2.ListServiceAccountsResponse:
    """Returns a page of service accounts."""
    return auth_admin_service_pb2.ListServiceAccountsResponse(
        service_accounts=map(service_account_to_proto, page.accounts), next_page_token=page.next_page_token
    )


def algorithm_from_proto(text: str) -> Algorithm | None:
    """Reads how a new key is to sign; None for the server's setting. The edge lets nothing else through."""
    return cast(Algorithm, text) if text else None


def signing_key_to_proto(key: SigningKeyView) -> signing_key_pb2.SigningKey:
    """Returns a signing key; its private half is not part of it."""
    return signing_key_pb2.SigningKey(
        kid=key.kid,
        algorithm=key.algorithm,
        state=_KEY_STATES[key.state],
        create_time=timestamp_from(key.create_time),
        ready_time=timestamp_from(key.ready_time),
        activate_time=_timestamp_or_none(key.activate_time),
        retire_time=_timestamp_or_none(key.retire_time),
        verify_until_time=_timestamp_or_none(key.verify_until_time),
    )


def expire_time_from_proto(request: auth_admin_service_pb2.SetDemoPhoneRequest) -> datetime:
    """Reads until when a demo phone works.

    Raises:
        InvalidFields: It lies outside the years 1 to 9999.
    """
    try:
        return request.expire_time.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidFields.of("expire_time", "must lie between the years 1 and 9999") from error


def demo_phone_to_proto(demo: DemoPhone) -> auth_admin_service_pb2.DemoPhone:
    """Returns a demo phone; nothing of its code is part of it."""
    return auth_admin_service_pb2.DemoPhone(
        phone=demo.phone,
        expire_time=timestamp_from(demo.expire_time),
        create_time=timestamp_from(demo.create_time),
    )


def introspection_to_proto(caller: Caller | None) -> auth_service_pb2.IntrospectTokenResponse:
    """Returns what a token is good for; of one that is not good, nothing but that."""
    if caller is None:
        return auth_service_pb2.IntrospectTokenResponse(active=False)
    return auth_service_pb2.IntrospectTokenResponse(
        active=True,
        subject_id=str(caller.subject_id),
        session_id="" if caller.session_id is None else str(caller.session_id),
        token_id=caller.token_id,
        expire_time=timestamp_from(caller.expire_time),
        roles=[proto for role, proto in _ROLES.items() if role in caller.roles],
        staff_roles=[
            user_pb2.BusinessRole(business_id=str(business_id), role=_STAFF_ROLES[role])
            for business_id, role in sorted(caller.staff.items())
        ],
        scopes=sorted(caller.scopes),
    )


def _service_key_to_proto(key: ServiceKey) -> service_account_pb2.ServiceAccountKey:
    return service_account_pb2.ServiceAccountKey(
        kid=key.kid, algorithm=key.algorithm, create_time=timestamp_from(key.create_time)
    )


def _timestamp_or_none(instant: datetime | None) -> Timestamp | None:
    return None if instant is None else timestamp_from(instant)
