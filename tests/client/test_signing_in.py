"""Signing in and out, as a person and as a service account."""

import asyncio
from datetime import date

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from svoykrug import errors
from svoykrug.auth.v1.auth_service_pb2 import (
    Challenge,
    CompleteSignInResponse,
    IssueServiceTokenResponse,
    SignOutResponse,
    StartSignInResponse,
)
from svoykrug.auth.v1.session_pb2 import Tokens
from svoykrug.users.v1.user_pb2 import CONSENT_KIND_TERMS, ConsentGrant
from svoykrug.users.v1.users_service_pb2 import GetMeRequest

from svoykrug_client import Client, MemoryTokenStore, ServiceKey, StoredSession
from tests.client.conftest import ME, USER_ID, access_token, refreshed
from tests.client.staged import Gate, Plain, Refusal, StagedServer
from tests.waiting import until

CHALLENGE = Challenge(challenge_id="challenge")
CONSENT = ConsentGrant(kind=CONSENT_KIND_TERMS, version="2026-11", granted=True)
GONE = Plain(grpc.StatusCode.UNAVAILABLE)
NO_ANSWER = Plain(grpc.StatusCode.DEADLINE_EXCEEDED)
OVER = ("SESSION_REVOKED", "TOKEN_MISSING")
WRONG = Refusal("CODE_WRONG", grpc.StatusCode.UNAUTHENTICATED, {"guesses_left": "4"})


def session() -> CompleteSignInResponse:
    return CompleteSignInResponse(
        user_id=USER_ID, tokens=Tokens(access_token=access_token(), refresh_token="first refresh token")
    )


def service_token(life_seconds: float = 900.0) -> IssueServiceTokenResponse:
    return IssueServiceTokenResponse(access_token=access_token(life_seconds))


async def test_after_signing_in_calls_carry_her_token(server: StagedServer) -> None:
    server.plays("StartSignIn", StartSignInResponse(challenge=CHALLENGE))
    answer = session()
    server.plays("CompleteSignIn", answer)
    store = MemoryTokenStore()
    async with Client(server.target, insecure=True, token_store=store) as client:
        challenge = await client.start_sign_in("8 999 123-45-67")
        assert await client.complete_sign_in(challenge, "123456", consents=[CONSENT], device_name="test") == answer
        await client.users.GetMe(GetMeRequest())
    (request,) = server.requests("CompleteSignIn")
    assert (request.challenge_id, request.code, list(request.consents)) == ("challenge", "123456", [CONSENT])
    assert [call.token for call in server.received("GetMe")] == [answer.tokens.access_token]
    assert store.load() == StoredSession(USER_ID, "first refresh token")
    assert server.received("RefreshTokens") == []


async def test_after_long_silence_a_sign_in_is_proved_or_started_anew(stranger: Client, server: StagedServer) -> None:
    proof = Refusal("ACCOUNT_PROOF_REQUIRED", grpc.StatusCode.FAILED_PRECONDITION, {"birth_date_known": "true"})
    server.plays("CompleteSignIn", proof, session(), session())

    with pytest.raises(errors.AccountProofRequired) as refused:
        await stranger.complete_sign_in(CHALLENGE, "123456")
    await stranger.complete_sign_in(CHALLENGE, "123456", birth_date=date(1985, 5, 17))
    await stranger.complete_sign_in(CHALLENGE, "123456", start_new_account=True)

    assert refused.value.metadata == {"birth_date_known": "true"}
    silent, proved, anew = server.requests("CompleteSignIn")
    assert (proved.birth_date.year, proved.birth_date.month, proved.birth_date.day) == (1985, 5, 17)
    assert anew.start_new_account
    assert not silent.HasField("birth_date")
    assert len({silent.request_id, proved.request_id, anew.request_id}) == 3


async def test_a_sign_in_whose_answer_was_lost_is_the_same_one_when_called_again(
    stranger: Client, server: StagedServer
) -> None:
    server.plays("CompleteSignIn", NO_ANSWER, session(), session())
    with pytest.raises(errors.DeadlineExceeded):
        await stranger.complete_sign_in(CHALLENGE, "123456")
    await stranger.complete_sign_in(CHALLENGE, "123456")
    await stranger.complete_sign_in(CHALLENGE, "123456")
    lost, again, later = server.requests("CompleteSignIn")
    assert lost == again
    assert later.request_id != again.request_id


async def test_another_code_or_further_consents_are_another_try(stranger: Client, server: StagedServer) -> None:
    missing = Refusal("CONSENT_REQUIRED", grpc.StatusCode.FAILED_PRECONDITION, {"missing": "terms"})
    server.plays("CompleteSignIn", WRONG, missing, session())
    with pytest.raises(errors.CodeWrong) as caught:
        await stranger.complete_sign_in(CHALLENGE, "000000")
    assert caught.value.metadata["guesses_left"] == "4"
    with pytest.raises(errors.ConsentRequired):
        await stranger.complete_sign_in(CHALLENGE, "123456")
    await stranger.complete_sign_in(CHALLENGE, "123456", consents=[CONSENT])
    assert len({request.request_id for request in server.requests("CompleteSignIn")}) == 3


async def test_a_refused_sign_in_leaves_the_session_before(
    client: Client, server: StagedServer, store: MemoryTokenStore
) -> None:
    server.plays("CompleteSignIn", WRONG)
    with pytest.raises(errors.CodeWrong):
        await client.complete_sign_in(CHALLENGE, "000000")
    assert store.load() == StoredSession(USER_ID, "first refresh token")


@pytest.mark.parametrize(
    "answer",
    [SignOutResponse(), *(Refusal(reason, grpc.StatusCode.UNAUTHENTICATED) for reason in OVER)],
    ids=["ended", *OVER],
)
async def test_signing_out_forgets_the_session(
    client: Client, server: StagedServer, store: MemoryTokenStore, answer: SignOutResponse | Refusal
) -> None:
    server.plays("SignOut", answer)
    await client.sign_out()
    assert store.load() is None
    server.plays("GetMe", Refusal("TOKEN_MISSING", grpc.StatusCode.UNAUTHENTICATED))
    with pytest.raises(errors.TokenMissing):
        await client.users.GetMe(GetMeRequest())


async def test_signing_out_of_a_session_that_cannot_be_refreshed_forgets_it(
    client: Client, server: StagedServer, store: MemoryTokenStore
) -> None:
    server.plays("RefreshTokens", Refusal("REFRESH_TOKEN_INVALID", grpc.StatusCode.UNAUTHENTICATED))
    await client.sign_out()
    assert store.load() is None


async def test_signing_out_where_nobody_is_signed_in_any_more_is_no_error(
    client: Client, server: StagedServer, store: MemoryTokenStore
) -> None:
    server.plays("GetMe", Refusal("TOKEN_EXPIRED", grpc.StatusCode.UNAUTHENTICATED))
    server.plays("RefreshTokens", Refusal("SESSION_REVOKED", grpc.StatusCode.UNAUTHENTICATED))
    server.plays("SignOut", Refusal("TOKEN_MISSING", grpc.StatusCode.UNAUTHENTICATED))
    with pytest.raises(errors.SessionRevoked):
        await client.users.GetMe(GetMeRequest())
    await client.sign_out()
    await client.sign_out()
    assert store.load() is None


async def test_a_session_is_forgotten_without_a_call_and_without_waiting_for_a_refresh_in_the_air(
    client: Client, server: StagedServer, store: MemoryTokenStore
) -> None:
    never = Gate(refreshed("second refresh token"))
    server.plays("RefreshTokens", never)
    waiting = asyncio.ensure_future(client.users.GetMe(GetMeRequest()))
    await until(lambda: never.waiting == 1)
    async with asyncio.timeout(5):  # The refresh has 10 seconds.
        await client.forget()
    assert store.load() is None
    assert await waiting == ME
    assert [call.token for call in server.received("GetMe")] == [None]
    assert server.received("SignOut") == []
    await until(lambda: never.cancelled == 1)


async def test_a_forgotten_session_gives_no_call_its_token(client: Client, server: StagedServer) -> None:
    await client.users.GetMe(GetMeRequest())
    await client.forget()
    await client.users.GetMe(GetMeRequest())
    first, second = server.received("GetMe")
    assert first.token
    assert second.token is None


async def test_a_sign_out_the_server_did_not_hear_of_can_be_repeated(
    client: Client, server: StagedServer, store: MemoryTokenStore
) -> None:
    server.plays("SignOut", NO_ANSWER, SignOutResponse())
    with pytest.raises(errors.DeadlineExceeded):
        await client.sign_out()
    assert store.load() is not None
    await client.sign_out()
    assert store.load() is None


async def test_a_service_signs_an_assertion_that_its_public_key_verifies(
    service: Client, server: StagedServer, service_key: ServiceKey, private_key: ec.EllipticCurvePrivateKey
) -> None:
    answer = service_token()
    server.plays("IssueServiceToken", answer)
    assert await service.users.GetMe(GetMeRequest()) == ME
    (request,) = server.requests("IssueServiceToken")
    claims = jwt.decode(request.assertion, private_key.public_key(), ["ES256"], audience=service_key.audience)
    assert claims["iss"] == claims["sub"] == service_key.service_account_id
    assert claims["exp"] - claims["iat"] == 120
    assert jwt.get_unverified_header(request.assertion)["kid"] == service_key.key_id
    assert [call.token for call in server.received("GetMe")] == [answer.access_token]


async def test_any_number_of_a_services_calls_share_one_token(service: Client, server: StagedServer) -> None:
    gate = Gate(service_token())
    server.plays("IssueServiceToken", gate)
    calls = [asyncio.ensure_future(service.users.GetMe(GetMeRequest())) for _ in range(20)]
    await until(lambda: gate.waiting == 1)
    gate.open()
    assert await asyncio.gather(*calls) == [ME] * 20
    assert len(server.received("IssueServiceToken")) == 1


@pytest.mark.parametrize("failure", [GONE, Plain(grpc.StatusCode.CANCELLED)], ids=["gone", "stopping"])
async def test_a_service_asks_an_unavailable_server_again_with_a_new_assertion(
    service: Client, server: StagedServer, failure: Plain
) -> None:
    server.plays("IssueServiceToken", failure, service_token())
    assert await service.users.GetMe(GetMeRequest()) == ME
    first, second = (
        jwt.decode(request.assertion, options={"verify_signature": False})
        for request in server.requests("IssueServiceToken")
    )
    assert first["jti"] != second["jti"]


async def test_a_service_whose_token_was_revoked_gets_a_new_one(service: Client, server: StagedServer) -> None:
    server.plays("IssueServiceToken", service_token(), service_token())
    server.plays("GetMe", Refusal("ACCESS_TOKEN_REVOKED", grpc.StatusCode.UNAUTHENTICATED), ME)
    assert await service.users.GetMe(GetMeRequest()) == ME
    assert len(server.received("IssueServiceToken")) == 2


async def test_a_key_the_server_does_not_take_is_a_typed_error(service: Client, server: StagedServer) -> None:
    server.plays("IssueServiceToken", Refusal("ASSERTION_INVALID", grpc.StatusCode.UNAUTHENTICATED))
    with pytest.raises(errors.AssertionInvalid):
        await service.users.GetMe(GetMeRequest())
    assert server.received("GetMe") == []
