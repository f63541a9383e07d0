from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from svoykrug.auth.v1 import auth_service_pb2, signing_key_pb2
from svoykrug.users.v1 import user_pb2

from svoykrug_server.auth import admin_convert
from svoykrug_server.auth.key_model import KeyState, ServiceAccount, ServiceKey, SigningKeyView
from svoykrug_server.kit.caller import Caller, Role, StaffRole

NOON = datetime(2026, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize("state", KeyState)
def test_every_state_of_a_key_has_its_name_in_the_contract(state: KeyState) -> None:
    shown = admin_convert.signing_key_to_proto(SigningKeyView("kid", "RS256", state, NOON, NOON))
    assert signing_key_pb2.SigningKeyState.Name(shown.state) == f"SIGNING_KEY_STATE_{state.name}"
    assert shown.create_time.ToDatetime(UTC) == NOON
    assert not any(shown.HasField(field) for field in ("activate_time", "retire_time", "verify_until_time"))


def test_a_service_account_is_shown_with_its_scopes_in_order_and_its_keys_as_they_came() -> None:
    keys = (ServiceKey("b", "RS256", NOON), ServiceKey("a", "ES256", NOON))
    account = ServiceAccount(uuid4(), "crm", frozenset({"users.write", "analytics.read"}), 3, NOON, keys=keys)
    shown = admin_convert.service_account_to_proto(account)
    assert list(shown.scopes) == ["analytics.read", "users.write"]
    assert [(key.kid, key.algorithm) for key in shown.keys] == [("b", "RS256"), ("a", "ES256")]
    assert not shown.HasField("disable_time")


def test_what_is_known_of_a_person_at_her_businesses_is_told() -> None:
    staff = {UUID(int=2): StaffRole.OWNER, UUID(int=1): StaffRole.STAFF}
    caller = Caller(uuid4(), "jti", NOON, uuid4(), frozenset(Role), staff)
    shown = admin_convert.introspection_to_proto(caller)
    assert [(role.business_id, role.role) for role in shown.staff_roles] == [
        (str(UUID(int=1)), user_pb2.STAFF_ROLE_STAFF),
        (str(UUID(int=2)), user_pb2.STAFF_ROLE_OWNER),
    ]
    assert list(shown.roles) == [user_pb2.ROLE_MEMBER, user_pb2.ROLE_ADMIN, user_pb2.ROLE_SUPERADMIN]


def test_of_a_token_that_is_not_good_nothing_is_told() -> None:
    assert admin_convert.introspection_to_proto(None) == auth_service_pb2.IntrospectTokenResponse()
