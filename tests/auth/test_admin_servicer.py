"""AuthAdminService over the network, behind the edge and the real verifier of tokens."""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any
from uuid import uuid4

import grpc
import jwt
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from prometheus_client import CollectorRegistry, generate_latest
from svoykrug.auth.v1 import auth_admin_service_pb2 as pb
from svoykrug.auth.v1 import auth_service_pb2, code_delivery_pb2, signing_key_pb2
from svoykrug.auth.v1.auth_admin_service_pb2_grpc import AuthAdminServiceStub, add_AuthAdminServiceServicer_to_server
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceStub, add_AuthServiceServicer_to_server

from svoykrug_server.auth import key_material
from svoykrug_server.auth.admin_servicer import AuthAdminServicer
from svoykrug_server.auth.key_material import PrivateKey
from svoykrug_server.auth.servicer import AuthServicer
from svoykrug_server.kit.caller import Role
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.server import RpcServer
from tests.auth.services import SCOPES, pem_of
from tests.auth.world import OTHER_PHONE, PHONE, World
from tests.rpc.rich import RichError
from tests.serving import Metadata, refusal_of

CHIEF_PHONE, ADMIN_PHONE, DEMO_PHONE = "+79990000001", "+79990000002", "+79990000003"


@dataclass(frozen=True, slots=True)
class Console:
    """The console of the circle's people, and the two who sit at it."""

    world: World
    stub: AuthAdminServiceStub
    auth: AuthServiceStub
    registry: CollectorRegistry
    chief: Metadata
    admin: Metadata

    async def create(self, private_key: PrivateKey | None = None, **changes: Any) -> pb.CreateServiceAccountResponse:
        """Makes a service account as the superadmin."""
        pem = pem_of(private_key or key_material.generate("ES256")).decode()
        values: dict[str, Any] = {"name": "crm", "scopes": SCOPES, "public_key_pem": pem, "request_id": str(uuid4())}
        request = pb.CreateServiceAccountRequest(**(values | changes))
        return await self.stub.CreateServiceAccount(request, metadata=self.chief)

    async def make_key(self, algorithm: str = "") -> signing_key_pb2.SigningKey:
        """Makes a signing key as the superadmin."""
        request = pb.CreateSigningKeyRequest(algorithm=algorithm, request_id=str(uuid4()))
        return (await self.stub.CreateSigningKey(request, metadata=self.chief)).signing_key


@pytest.fixture
async def console(world: World) -> AsyncIterator[Console]:
    """A real server, a superadmin and an admin."""
    registry = CollectorRegistry()
    server = RpcServer(RpcOptions(listen=("127.0.0.1:0",), grace_seconds=1), world.auth.verifier, registry)
    add_AuthServiceServicer_to_server(AuthServicer(world.auth.use_cases), server.methods)
    add_AuthAdminServiceServicer_to_server(AuthAdminServicer(world.auth.admin), server.methods)
    await server.start()
    chief = (await world.sign_in_as(CHIEF_PHONE, Role.SUPERADMIN)).tokens.access_token
    admin = (await world.sign_in_as(ADMIN_PHONE, Role.ADMIN)).tokens.access_token
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        stubs = AuthAdminServiceStub(channel), AuthServiceStub(channel)
        yield Console(world, *stubs, registry, by(chief), by(admin))
    await server.stop()


def by(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


async def rich_error_of(call: Awaitable[Any]) -> RichError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return RichError.of(refused.value)


async def test_a_service_account_is_made_listed_changed_and_disabled(console: Console) -> None:
    stub, chief = console.stub, console.chief
    private_key = key_material.generate("ES256")
    account = (await console.create(private_key)).service_account
    now = console.world.clock.now()
    kid = key_material.thumbprint(private_key.public_key())
    assert (account.name, list(account.scopes), account.create_time.ToDatetime(UTC)) == ("crm", sorted(SCOPES), now)
    assert [(key.kid, key.algorithm, key.create_time.ToDatetime(UTC)) for key in account.keys] == [(kid, "ES256", now)]
    assert not account.HasField("disable_time")
    listing = pb.ListServiceAccountsRequest()
    assert list((await stub.ListServiceAccounts(listing, metadata=console.admin)).service_accounts) == [account]
    scopes = pb.SetServiceAccountScopesRequest(service_account_id=account.id, scopes=["users.read_phone"])
    changed = await stub.SetServiceAccountScopes(scopes, metadata=chief)
    assert list(changed.service_account.scopes) == ["users.read_phone"]
    disabling = pb.DisableServiceAccountRequest(service_account_id=account.id)
    disabled = (await stub.DisableServiceAccount(disabling, metadata=chief)).service_account
    assert disabled.disable_time.ToDatetime(UTC) == now
    assert list((await stub.ListServiceAccounts(listing, metadata=console.admin)).service_accounts) == [disabled]


async def test_a_scope_with_an_underscore_can_be_asked_for(console: Console) -> None:
    private_key = key_material.generate("RS256")
    account = (await console.create(private_key, scopes=["users.read_phone"])).service_account
    expire_seconds = int(console.world.clock.now().timestamp()) + 60
    claims = {"iss": account.id, "sub": account.id, "aud": "svoykrug", "jti": str(uuid4()), "exp": expire_seconds}
    assertion = jwt.encode(claims, private_key, algorithm="RS256", headers={"kid": account.keys[0].kid})
    request = auth_service_pb2.IssueServiceTokenRequest(assertion=assertion, scopes=["users.read_phone"])
    assert list((await console.auth.IssueServiceToken(request)).scopes) == ["users.read_phone"]


async def test_a_key_is_added_and_removed(console: Console) -> None:
    account = (await console.create()).service_account
    pem = pem_of(key_material.generate("RS256")).decode()
    adding = pb.AddServiceAccountKeyRequest(service_account_id=account.id, public_key_pem=pem)
    added = await console.stub.AddServiceAccountKey(adding, metadata=console.chief)
    assert {key.kid: key.algorithm for key in added.service_account.keys} == {
        account.keys[0].kid: "ES256",
        added.kid: "RS256",
    }
    removing = pb.RemoveServiceAccountKeyRequest(service_account_id=account.id, kid=account.keys[0].kid)
    removed = await console.stub.RemoveServiceAccountKey(removing, metadata=console.chief)
    assert [key.kid for key in removed.service_account.keys] == [added.kid]


async def test_accounts_come_page_by_page(console: Console) -> None:
    for name in ("beta", "alpha"):
        await console.create(name=name)
    seen: list[str] = []
    request = pb.ListServiceAccountsRequest(page_size=1)
    while True:
        page = await console.stub.ListServiceAccounts(request, metadata=console.admin)
        seen += [account.name for account in page.service_accounts]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert seen == ["alpha", "beta"]


async def test_a_repeated_request_gets_the_first_answer(console: Console) -> None:
    private_key, request_id = key_material.generate("ES256"), str(uuid4())
    first = await console.create(private_key, request_id=request_id)
    assert await console.create(private_key, request_id=request_id) == first
    request = pb.CreateSigningKeyRequest(request_id=request_id)
    key = await console.stub.CreateSigningKey(request, metadata=console.chief)
    assert await console.stub.CreateSigningKey(request, metadata=console.chief) == key


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"name": "X"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"),
        ({"scopes": ["users.everything"]}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"),
        ({"scopes": []}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"),
        ({"public_key_pem": "x"}, grpc.StatusCode.INVALID_ARGUMENT, "SERVICE_KEY_INVALID"),
        ({"request_id": "x"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"),
        ({"name": "taken"}, grpc.StatusCode.ALREADY_EXISTS, "SERVICE_ACCOUNT_EXISTS"),
    ],
    ids=str,
)
async def test_what_cannot_be_is_refused_by_its_reason(
    console: Console, changes: dict[str, Any], code: grpc.StatusCode, reason: str
) -> None:
    await console.create(name="taken")
    refused = await refusal_of(console.create(**changes))
    assert (refused.code, refused.reason) == (code, reason)


async def test_a_signing_key_is_made_waits_signs_and_is_retired(console: Console) -> None:
    stub, chief, clock = console.stub, console.chief, console.world.clock
    old = console.world.auth.use_cases.keys.active.kid
    key = await console.make_key()
    assert (key.state, key.algorithm) == (signing_key_pb2.SIGNING_KEY_STATE_NEXT, "ES256")
    assert key.ready_time.ToDatetime(UTC) == clock.now() + timedelta(minutes=10)
    activating = pb.ActivateSigningKeyRequest(kid=key.kid)
    early = await rich_error_of(stub.ActivateSigningKey(activating, metadata=chief))
    assert (early.code, early.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SIGNING_KEY_STATE")
    assert early.one(error_details_pb2.RetryInfo).retry_delay.ToTimedelta() == timedelta(minutes=10)
    clock.advance(timedelta(minutes=10))
    active = (await stub.ActivateSigningKey(activating, metadata=chief)).signing_key
    assert active.state == signing_key_pb2.SIGNING_KEY_STATE_ACTIVE
    rejecting = pb.RetireSigningKeyRequest(kid=old, reject_tokens=True)
    fresh = by((await console.world.sign_in(CHIEF_PHONE)).tokens.access_token)
    retired = (await stub.RetireSigningKey(rejecting, metadata=fresh)).signing_key
    assert retired.state == signing_key_pb2.SIGNING_KEY_STATE_RETIRED
    assert retired.verify_until_time.ToDatetime(UTC) == clock.now()
    listed = (await stub.ListSigningKeys(pb.ListSigningKeysRequest(), metadata=fresh)).signing_keys
    assert [listed_key.kid for listed_key in listed] == [key.kid]
    assert (
        await refusal_of(stub.ListSigningKeys(pb.ListSigningKeysRequest(), metadata=chief))
    ).reason == "TOKEN_INVALID"


async def test_a_second_key_does_not_wait_and_the_refusal_names_the_first(console: Console) -> None:
    first = await console.make_key("RS256")
    refused = await rich_error_of(console.make_key())
    assert refused.reason == "SIGNING_KEY_STATE"
    assert refused.one(error_details_pb2.ErrorInfo).metadata == {"state": "next", "kid": first.kid}


async def test_an_admin_looks_and_ends_members_sessions_but_changes_neither_keys_nor_accounts(
    console: Console,
) -> None:
    some_id = str(uuid4())
    demo = pb.SetDemoPhoneRequest(phone=DEMO_PHONE, code="123456", expire_time=Timestamp(seconds=2**31))
    for call in (
        console.stub.CreateServiceAccount(pb.CreateServiceAccountRequest(), metadata=console.admin),
        console.stub.SetServiceAccountScopes(
            pb.SetServiceAccountScopesRequest(service_account_id=some_id), metadata=console.admin
        ),
        console.stub.DisableServiceAccount(
            pb.DisableServiceAccountRequest(service_account_id=some_id), metadata=console.admin
        ),
        console.stub.AddServiceAccountKey(
            pb.AddServiceAccountKeyRequest(service_account_id=some_id), metadata=console.admin
        ),
        console.stub.RemoveServiceAccountKey(
            pb.RemoveServiceAccountKeyRequest(service_account_id=some_id), metadata=console.admin
        ),
        console.stub.CreateSigningKey(pb.CreateSigningKeyRequest(request_id=some_id), metadata=console.admin),
        console.stub.ActivateSigningKey(pb.ActivateSigningKeyRequest(kid="x"), metadata=console.admin),
        console.stub.RetireSigningKey(pb.RetireSigningKeyRequest(kid="x"), metadata=console.admin),
        console.stub.SetDemoPhone(demo, metadata=console.admin),
        console.stub.RemoveDemoPhone(pb.RemoveDemoPhoneRequest(phone=DEMO_PHONE), metadata=console.admin),
    ):
        assert (await refusal_of(call)).code is grpc.StatusCode.PERMISSION_DENIED


async def test_an_admin_sees_and_ends_a_members_sessions_and_not_the_superadmins(console: Console) -> None:
    hers = await console.world.sign_in(PHONE)
    listing = pb.ListUserSessionsRequest(user_id=str(hers.user_id))
    (seen,) = (await console.stub.ListUserSessions(listing, metadata=console.admin)).sessions
    assert (seen.id, seen.device_name) == (str(hers.session.session_id), "iPhone 17")
    ending = pb.RevokeUserSessionsRequest(user_id=str(hers.user_id), session_id=seen.id)
    assert (await console.stub.RevokeUserSessions(ending, metadata=console.admin)).revoked_count == 1
    assert (await console.stub.RevokeUserSessions(ending, metadata=console.admin)).revoked_count == 0
    assert not (await console.stub.ListUserSessions(listing, metadata=console.admin)).sessions
    (row,) = await console.world.read("SELECT id FROM users WHERE phone = $1", CHIEF_PHONE)
    chiefs = pb.RevokeUserSessionsRequest(user_id=str(row["id"]))
    refused = await refusal_of(console.stub.RevokeUserSessions(chiefs, metadata=console.admin))
    assert refused.reason == "PERMISSION_DENIED"
    unknown = pb.RevokeUserSessionsRequest(user_id=str(uuid4()))
    assert (await refusal_of(console.stub.RevokeUserSessions(unknown, metadata=console.admin))).reason == "NOT_FOUND"


async def test_an_admin_traces_the_codes_of_a_phone_in_any_spelling(console: Console) -> None:
    await console.world.sign_in(PHONE)
    await console.world.auth.sms_worker.send_due()
    request = pb.TraceCodeDeliveryRequest(phone="8 (999) 123-45-67")
    (traced,) = (await console.stub.TraceCodeDelivery(request, metadata=console.admin)).deliveries
    assert traced.kind == code_delivery_pb2.SMS_KIND_SIGN_IN_CODE
    assert traced.verified
    assert [row["actor_kind"] for row in await console.world.audited("CODE_DELIVERY_TRACED")] == ["user"]


async def test_a_demo_phone_is_set_listed_and_removed(console: Console) -> None:
    expire_time = Timestamp(seconds=int((console.world.clock.now() + timedelta(days=30)).timestamp()))
    setting = pb.SetDemoPhoneRequest(phone="8 999 000-00-03", code="123456", expire_time=expire_time)
    demo = (await console.stub.SetDemoPhone(setting, metadata=console.chief)).demo_phone
    assert (demo.phone, demo.expire_time) == (DEMO_PHONE, expire_time)
    listing = pb.ListDemoPhonesRequest()
    assert list((await console.stub.ListDemoPhones(listing, metadata=console.admin)).demo_phones) == [demo]
    await console.stub.RemoveDemoPhone(pb.RemoveDemoPhoneRequest(phone=DEMO_PHONE), metadata=console.chief)
    assert not (await console.stub.ListDemoPhones(listing, metadata=console.admin)).demo_phones


@pytest.mark.parametrize("expire_time", [Timestamp(seconds=2**60), Timestamp(seconds=1), None], ids=str)
async def test_an_end_that_is_none_or_passed_is_refused(console: Console, expire_time: Timestamp | None) -> None:
    request = pb.SetDemoPhoneRequest(phone=DEMO_PHONE, code="123456", expire_time=expire_time)
    refused = await refusal_of(console.stub.SetDemoPhone(request, metadata=console.chief))
    assert (refused.reason, refused.paths) == ("INVALID_FIELDS", ("expire_time",))


async def test_no_log_metric_or_audit_event_holds_a_phone_a_code_or_a_key(
    console: Console, capfd: pytest.CaptureFixture[str]
) -> None:
    expire_time = Timestamp(seconds=int((console.world.clock.now() + timedelta(days=30)).timestamp()))
    setting = pb.SetDemoPhoneRequest(phone=DEMO_PHONE, code="424242", expire_time=expire_time)
    await console.stub.SetDemoPhone(setting, metadata=console.chief)
    await console.stub.TraceCodeDelivery(pb.TraceCodeDeliveryRequest(phone=OTHER_PHONE), metadata=console.admin)
    private_key = key_material.generate("ES256")
    await console.create(private_key)
    shown = "".join(capfd.readouterr()) + generate_latest(console.registry).decode()
    shown += str(await console.world.read("SELECT * FROM audit_events"))
    assert "SetDemoPhone" in shown
    for secret in (DEMO_PHONE[1:], OTHER_PHONE[1:], "424242", pem_of(private_key).decode().splitlines()[1]):
        assert secret not in shown
