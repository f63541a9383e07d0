import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import jwt
import pytest
from google.rpc import error_details_pb2
from prometheus_client import CollectorRegistry, generate_latest
from svoykrug.auth.v1 import auth_service_pb2 as pb
from svoykrug.auth.v1 import session_pb2
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceStub, add_AuthServiceServicer_to_server
from svoykrug.users.v1 import user_pb2

from svoykrug_server.auth.convert import challenge_id_from_text
from svoykrug_server.auth.servicer import AuthServicer
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.server import RpcServer
from tests.auth.services import Service
from tests.auth.world import OTHER_PHONE, PHONE, World
from tests.rpc.rich import RichError
from tests.serving import Metadata, Refusal, refusal_of

INVALID = grpc.StatusCode.INVALID_ARGUMENT
CONSENTS = [
    user_pb2.ConsentGrant(kind=kind, version="2026-11", granted=True)
    for kind in (user_pb2.CONSENT_KIND_TERMS, user_pb2.CONSENT_KIND_PERSONAL_DATA)
]


@dataclass(slots=True)
class App:
    """The app on a member's phone: everything it knows came over the network or by SMS."""

    world: World
    stub: AuthServiceStub
    registry: CollectorRegistry
    sent: list[str] = field(default_factory=list)

    async def start(self, phone: str = PHONE) -> pb.Challenge:
        """Asks for a code."""
        return (await self.stub.StartSignIn(pb.StartSignInRequest(phone=phone))).challenge

    async def read_code(self) -> str:
        """Reads the code off the last SMS, as a phone fills it in."""
        await self.world.auth.sms_worker.send_due()
        found = re.fullmatch(r"@\S+ #(\d{6})", self.world.phones.delivered[-1].text.splitlines()[-1])
        assert found is not None
        return found[1]

    async def answer(self, phone: str = PHONE, **changes: Any) -> pb.CompleteSignInRequest:
        """Asks for a code and returns the right answer, with changes."""
        self.world.clock.advance(timedelta(seconds=61))
        challenge = await self.start(phone)
        request = pb.CompleteSignInRequest(
            challenge_id=challenge.challenge_id,
            code=await self.read_code(),
            request_id=str(uuid4()),
            device_name="iPhone 17",
            consents=CONSENTS,
        )
        request.MergeFrom(pb.CompleteSignInRequest(**changes))
        return request

    async def sign_in(self, phone: str = PHONE) -> pb.CompleteSignInResponse:
        """Signs in."""
        return await self.stub.CompleteSignIn(await self.answer(phone))

    async def refresh(self, token: str, request_id: str = "") -> session_pb2.Tokens:
        """Refreshes."""
        request = pb.RefreshTokensRequest(refresh_token=token, request_id=request_id or str(uuid4()))
        return (await self.stub.RefreshTokens(request)).tokens


@pytest.fixture
async def app(world: World) -> AsyncIterator[App]:
    """An app that talks to a real server with the edge and the real verifier of tokens."""
    registry = CollectorRegistry()
    server = RpcServer(RpcOptions(listen=("127.0.0.1:0",), grace_seconds=1), world.auth.verifier, registry)
    add_AuthServiceServicer_to_server(AuthServicer(world.auth.use_cases), server.methods)
    await server.start()
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        yield App(world, AuthServiceStub(channel), registry)
    await server.stop()


def by(token: str, *more: tuple[str, str]) -> Metadata:
    return (("authorization", f"Bearer {token}"), *more)


async def rich_error_of(call: Any) -> RichError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return RichError.of(refused.value)


async def test_she_signs_in_with_the_code_of_the_sms_and_calls_with_her_token(app: App) -> None:
    signed_in = await app.sign_in()
    assert signed_in.new_user
    assert signed_in.session.device_name == "iPhone 17"
    assert signed_in.session.current
    tokens = signed_in.tokens
    now = app.world.clock.now()
    assert tokens.access_expire_time.ToDatetime(UTC) == now + timedelta(minutes=15)
    assert tokens.refresh_expire_time.ToDatetime(UTC) == now + timedelta(days=30)
    listed = await app.stub.ListSessions(pb.ListSessionsRequest(), metadata=by(tokens.access_token))
    assert [session.id for session in listed.sessions] == [signed_in.session.id]


async def test_a_challenge_can_be_counted_down(app: App) -> None:
    challenge = await app.start()
    now = app.world.clock.now()
    assert challenge.expire_time.ToDatetime(UTC) == now + timedelta(minutes=5)
    assert challenge.resend_time.ToDatetime(UTC) == now + timedelta(minutes=1)
    assert challenge.guesses_left_count == 5
    assert len(challenge.challenge_id) == 22
    assert isinstance(challenge_id_from_text(challenge.challenge_id), UUID)


async def test_the_code_is_sent_again(app: App) -> None:
    challenge = await app.start()
    first = await app.read_code()
    app.world.clock.advance(timedelta(minutes=1))
    again = await app.stub.ResendCode(pb.ResendCodeRequest(challenge_id=challenge.challenge_id))
    assert again.challenge.expire_time == challenge.expire_time
    assert await app.read_code() == first
    assert len(app.world.phones.delivered) == 2


async def test_a_device_without_a_name_is_called_unknown(app: App) -> None:
    request = await app.answer()
    request.device_name = "  "
    assert (await app.stub.CompleteSignIn(request)).session.device_name == "unknown device"


async def test_the_sms_is_in_the_language_of_the_call(app: App) -> None:
    await app.stub.StartSignIn(pb.StartSignInRequest(phone=PHONE), metadata=(("accept-language", "en-US,en"),))
    await app.read_code()
    assert "sign-in code" in app.world.phones.delivered[-1].text


async def test_a_refusal_names_its_reason_for_programs_and_a_text_for_people_as_zitadel_12498_did_not(app: App) -> None:
    await app.start()
    call = app.stub.StartSignIn(pb.StartSignInRequest(phone=PHONE), metadata=(("accept-language", "ru"),))
    error = await rich_error_of(call)
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RESEND_TOO_SOON")
    assert error.one(error_details_pb2.RetryInfo).retry_delay.ToTimedelta() == timedelta(minutes=1)
    assert error.one(error_details_pb2.LocalizedMessage).locale == "ru"


async def test_a_wrong_code_says_how_many_guesses_are_left(app: App) -> None:
    request = await app.answer()
    request.code = f"{(int(request.code) + 1) % 10**6:06d}"
    error = await rich_error_of(app.stub.CompleteSignIn(request))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CODE_WRONG")
    assert error.one(error_details_pb2.ErrorInfo).metadata["guesses_left"] == "4"


async def test_a_new_user_without_consents_learns_which_are_missing(app: App) -> None:
    request = await app.answer()
    request.ClearField("consents")
    error = await rich_error_of(app.stub.CompleteSignIn(request))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONSENT_REQUIRED")
    assert error.one(error_details_pb2.ErrorInfo).metadata["missing"] == "terms,personal_data"


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"challenge_id": "x"}, ("challenge_id",)),
        ({"challenge_id": "A" * 64}, ("challenge_id",)),
        ({"code": "12345"}, ("code",)),
        ({"code": "١٢٣٤٥٦"}, ("code",)),
        ({"request_id": "x"}, ("request_id",)),
        ({"device_name": "x" * 101}, ("device_name",)),
        ({"referral_code": "a b c"}, ("referral_code",)),
        ({"code": "x", "request_id": "x"}, ("code", "request_id")),
    ],
    ids=str,
)
async def test_every_malformed_field_is_named(app: App, changes: dict[str, str], paths: tuple[str, ...]) -> None:
    request = await app.answer(**changes)
    assert await refusal_of(app.stub.CompleteSignIn(request)) == Refusal(INVALID, "INVALID_FIELDS", paths)


@pytest.mark.parametrize(
    "phone", ["", "+7", "hello world", "+7999123456789012345", "'; DROP TABLE users; --", "\0" * 10]
)
async def test_a_bad_phone_is_named_and_never_echoed(app: App, phone: str) -> None:
    error = await rich_error_of(app.stub.StartSignIn(pb.StartSignInRequest(phone=phone)))
    assert (error.code, error.reason, error.fields) == (INVALID, "INVALID_FIELDS", ["phone"])
    assert not phone or phone not in str(error.status)


async def test_a_lost_answer_of_a_sign_in_is_given_again(app: App) -> None:
    request = await app.answer()
    first, again = await app.stub.CompleteSignIn(request), await app.stub.CompleteSignIn(request)
    assert first.tokens.refresh_token == again.tokens.refresh_token
    assert first.session.id == again.session.id


async def test_a_lost_answer_of_a_refresh_is_given_again(app: App) -> None:
    token, request_id = (await app.sign_in()).tokens.refresh_token, str(uuid4())
    first, again = await app.refresh(token, request_id), await app.refresh(token, request_id)
    assert first.refresh_token == again.refresh_token != token


async def test_a_stolen_refresh_token_ends_the_session_and_warns_her(app: App) -> None:
    signed_in = await app.sign_in()
    await app.refresh(signed_in.tokens.refresh_token)
    app.world.clock.advance(timedelta(minutes=2))
    refused = await refusal_of(app.refresh(signed_in.tokens.refresh_token))
    assert refused == Refusal(grpc.StatusCode.UNAUTHENTICATED, "SESSION_COMPROMISED")
    listing = app.stub.ListSessions(pb.ListSessionsRequest(), metadata=by(signed_in.tokens.access_token))
    assert (await refusal_of(listing)).reason == "SESSION_REVOKED"
    await app.world.auth.sms_worker.send_due()
    assert app.world.phones.delivered[-1].phone == PHONE
    assert app.world.phones.delivered[-1].code is None


async def test_reasons_tell_a_client_whether_to_refresh_or_to_sign_in(app: App) -> None:
    signed_in = await app.sign_in()
    async with app.world.postgres.transaction() as tx:
        await app.world.auth.ends.revoke_for_user(tx, UUID(signed_in.user_id))
    await app.world.heard_by(app.world.auth, UUID(signed_in.session.id))
    listing = app.stub.ListSessions(pb.ListSessionsRequest(), metadata=by(signed_in.tokens.access_token))
    assert (await refusal_of(listing)).reason == "ACCESS_TOKEN_REVOKED"
    tokens = await app.refresh(signed_in.tokens.refresh_token)
    await app.stub.SignOut(pb.SignOutRequest(), metadata=by(tokens.access_token))
    assert (await refusal_of(app.refresh(tokens.refresh_token))).reason == "SESSION_REVOKED"
    again = app.stub.SignOut(pb.SignOutRequest(), metadata=by(tokens.access_token))
    assert (await refusal_of(again)).reason == "SESSION_REVOKED"


async def test_an_expired_token_says_so(app: App) -> None:
    signed_in = await app.sign_in()
    app.world.clock.advance(timedelta(minutes=16))
    listing = app.stub.ListSessions(pb.ListSessionsRequest(), metadata=by(signed_in.tokens.access_token))
    assert await refusal_of(listing) == Refusal(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")


async def test_she_ends_her_other_sessions(app: App) -> None:
    first, second, mine = [await app.sign_in() for _ in range(3)]
    as_me = by(mine.tokens.access_token)
    await app.stub.RevokeSession(pb.RevokeSessionRequest(session_id=first.session.id), metadata=as_me)
    answer = await app.stub.RevokeOtherSessions(pb.RevokeOtherSessionsRequest(), metadata=as_me)
    assert answer.revoked_count == 1
    for ended in (first, second):
        listing = app.stub.ListSessions(pb.ListSessionsRequest(), metadata=by(ended.tokens.access_token))
        assert (await refusal_of(listing)).reason == "SESSION_REVOKED"


async def test_another_members_session_cannot_be_ended(app: App) -> None:
    hers, mine = await app.sign_in(OTHER_PHONE), await app.sign_in()
    revoking = app.stub.RevokeSession(
        pb.RevokeSessionRequest(session_id=hers.session.id), metadata=by(mine.tokens.access_token)
    )
    assert await refusal_of(revoking) == Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


@pytest.mark.parametrize("method", ["SignOut", "ListSessions", "RevokeSession", "RevokeOtherSessions"])
async def test_a_method_of_her_own_needs_her_token(app: App, method: str) -> None:
    request = getattr(pb, f"{method}Request")()
    for metadata, reason in (((), "TOKEN_MISSING"), (by("x.y.z"), "TOKEN_INVALID")):
        refused = await refusal_of(getattr(app.stub, method)(request, metadata=metadata))
        assert refused == Refusal(grpc.StatusCode.UNAUTHENTICATED, reason)


@pytest.mark.parametrize("method", ["SignOut", "ListSessions", "RevokeOtherSessions"])
async def test_a_service_has_no_sessions(app: App, method: str) -> None:
    service = await Service.made(app.world)
    token = await app.stub.IssueServiceToken(pb.IssueServiceTokenRequest(assertion=service.assertion()))
    call = getattr(app.stub, method)(getattr(pb, f"{method}Request")(), metadata=by(token.access_token))
    assert (await refusal_of(call)).reason == "PERMISSION_DENIED"


async def test_a_service_exchanges_its_assertion_once(app: App) -> None:
    assertion = (await Service.made(app.world)).assertion()
    request = pb.IssueServiceTokenRequest(assertion=assertion, scopes=["users.write"])
    answer = await app.stub.IssueServiceToken(request)
    assert list(answer.scopes) == ["users.write"]
    assert answer.expire_time.ToDatetime(UTC) == app.world.clock.now() + timedelta(minutes=15)
    refused = await refusal_of(app.stub.IssueServiceToken(request))
    assert refused == Refusal(grpc.StatusCode.UNAUTHENTICATED, "ASSERTION_INVALID")


async def test_the_published_keys_verify_her_token(app: App) -> None:
    answer = await app.stub.GetJwks(pb.GetJwksRequest())
    assert answer.max_age.ToTimedelta() == timedelta(minutes=5)
    (published,) = answer.keys
    members = {name.name: value for name, value in published.ListFields()}
    assert set(members) == {"kid", "kty", "alg", "use", "crv", "x", "y"}
    token = (await app.sign_in()).tokens.access_token
    options: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, jwt.PyJWK(members), audience="svoykrug-api", issuer="svoykrug", options=options)
    assert datetime.fromtimestamp(claims["iat"], UTC) == app.world.clock.now()


async def test_no_log_line_and_no_metric_holds_a_phone_code_or_token(
    app: App, capfd: pytest.CaptureFixture[str]
) -> None:
    signed_in = await app.sign_in()
    code = app.world.phones.delivered[-1].code
    tokens = await app.refresh(signed_in.tokens.refresh_token)
    await refusal_of(app.refresh("A" * 86))
    await app.stub.SignOut(pb.SignOutRequest(), metadata=by(tokens.access_token))
    shown = "".join(capfd.readouterr()) + generate_latest(app.registry).decode()
    assert "StartSignIn" in shown
    for secret in (PHONE, PHONE[1:], code, tokens.access_token, tokens.refresh_token, signed_in.tokens.refresh_token):
        assert secret is not None
        assert secret not in shown
