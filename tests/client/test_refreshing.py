"""A session lives on whatever happens to a refresh (zitadel#9631: a lost answer logged 30 % of users out weekly)."""

import asyncio
import gc
from collections.abc import Callable
from uuid import UUID

import grpc
import pytest
from svoykrug import errors
from svoykrug.auth.v1.auth_service_pb2 import RefreshTokensRequest, RefreshTokensResponse
from svoykrug.users.v1.users_service_pb2 import GetMeRequest

from svoykrug_client import Client, MemoryTokenStore, StoredSession
from svoykrug_client._credentials import SessionCredentials
from tests.client.conftest import ME, USER_ID, refreshed
from tests.client.staged import Context, Gate, Plain, Refusal, StagedServer
from tests.waiting import until

EXPIRED = Refusal("TOKEN_EXPIRED", grpc.StatusCode.UNAUTHENTICATED)
REVOKED = Refusal("ACCESS_TOKEN_REVOKED", grpc.StatusCode.UNAUTHENTICATED)
STORE_GONE = Refusal("STORE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)


async def test_any_number_of_waiting_calls_share_one_refresh(client: Client, server: StagedServer) -> None:
    gate = Gate(refreshed("second refresh token"))
    server.plays("RefreshTokens", gate)
    calls = [asyncio.ensure_future(client.users.GetMe(GetMeRequest())) for _ in range(50)]
    await until(lambda: gate.waiting == 1)
    gate.open()
    assert await asyncio.gather(*calls) == [ME] * 50
    assert len(server.received("RefreshTokens")) == 1
    assert len({call.token for call in server.received("GetMe")}) == 1


async def test_the_request_id_is_stored_before_the_refresh_is_sent(
    client: Client, server: StagedServer, store: MemoryTokenStore
) -> None:
    async def answer(request: RefreshTokensRequest, _: Context) -> RefreshTokensResponse:
        assert store.load() == StoredSession(USER_ID, request.refresh_token, request.request_id)
        return refreshed("second refresh token")

    server.plays("RefreshTokens", answer)
    await client.users.GetMe(GetMeRequest())
    (request,) = server.requests("RefreshTokens")
    assert UUID(request.request_id).version == 4
    assert store.load() == StoredSession(USER_ID, "second refresh token")


async def test_a_refresh_whose_answer_was_lost_is_repeated_with_its_request_id_by_the_next_process(
    client: Client, server: StagedServer, store: MemoryTokenStore, new_client: Callable[..., Client]
) -> None:
    never = Gate(refreshed("second refresh token"))
    server.plays("RefreshTokens", never, refreshed("second refresh token"))
    call = asyncio.ensure_future(client.users.GetMe(GetMeRequest()))
    await until(lambda: never.waiting == 1)
    await client.close()  # The process ends before the answer comes.
    with pytest.raises(asyncio.CancelledError):
        await call
    async with new_client(token_store=store) as next_process:
        assert await next_process.users.GetMe(GetMeRequest()) == ME
    first, second = server.requests("RefreshTokens")
    assert first == second


async def test_a_refresh_that_the_server_could_not_answer_is_sent_again_with_its_request_id(
    client: Client, server: StagedServer
) -> None:
    server.plays("RefreshTokens", Plain(grpc.StatusCode.UNAVAILABLE), STORE_GONE, refreshed("second refresh token"))
    assert await client.users.GetMe(GetMeRequest()) == ME
    assert len({request.request_id for request in server.requests("RefreshTokens")}) == 1


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (STORE_GONE, errors.StoreUnavailable),
        (Plain(grpc.StatusCode.UNAVAILABLE), errors.ConnectionLost),
        (Plain(grpc.StatusCode.DEADLINE_EXCEEDED), errors.DeadlineExceeded),
        (Plain(grpc.StatusCode.UNAUTHENTICATED, "proxy: 401"), errors.Unauthenticated),
        (Refusal("INTERNAL", grpc.StatusCode.INTERNAL), errors.InternalError),
        (Refusal("USER_BANNED", grpc.StatusCode.PERMISSION_DENIED), errors.UserBanned),
    ],
    ids=lambda value: getattr(value, "reason", None) or getattr(value, "text", None) or value.__name__,
)
async def test_a_failed_refresh_does_not_sign_her_out_and_keeps_its_request_id(
    client: Client,
    server: StagedServer,
    store: MemoryTokenStore,
    failure: Refusal | Plain,
    expected: type[errors.SvoyKrugError],
) -> None:
    server.plays("RefreshTokens", failure)
    with pytest.raises(expected):
        await client.users.GetMe(GetMeRequest())
    kept = store.load()
    assert kept is not None
    assert kept.refresh_token == "first refresh token"
    server.plays("RefreshTokens", refreshed("second refresh token"))
    assert await client.users.GetMe(GetMeRequest()) == ME
    assert {request.request_id for request in server.requests("RefreshTokens")} == {kept.request_id}


@pytest.mark.parametrize("reason", ["REFRESH_TOKEN_INVALID", "SESSION_REVOKED", "SESSION_COMPROMISED"])
async def test_a_session_that_is_over_is_forgotten(
    client: Client, server: StagedServer, store: MemoryTokenStore, reason: str
) -> None:
    server.plays("RefreshTokens", Refusal(reason, grpc.StatusCode.UNAUTHENTICATED))
    with pytest.raises(errors.BY_REASON[reason]):
        await client.users.GetMe(GetMeRequest())
    assert store.load() is None


@pytest.mark.parametrize("refusal", [EXPIRED, REVOKED])
async def test_a_refused_token_is_renewed_and_the_call_repeated_once(
    client: Client, server: StagedServer, refusal: Refusal
) -> None:
    server.plays("GetMe", refusal, ME)
    assert await client.users.GetMe(GetMeRequest()) == ME
    first, second = server.received("GetMe")
    assert first.token != second.token
    assert len(server.received("RefreshTokens")) == 2


async def test_a_token_refused_twice_is_an_error_and_no_endless_loop(client: Client, server: StagedServer) -> None:
    server.plays("GetMe", REVOKED)
    with pytest.raises(errors.AccessTokenRevoked):
        await client.users.GetMe(GetMeRequest())
    assert len(server.received("GetMe")) == 2


async def test_a_token_is_renewed_before_it_dies(client: Client, server: StagedServer) -> None:
    server.plays("RefreshTokens", refreshed("second refresh token", life_seconds=0.0), refreshed("third refresh token"))
    for _ in range(3):
        await client.users.GetMe(GetMeRequest())
    assert [request.refresh_token for request in server.requests("RefreshTokens")] == [
        "first refresh token",
        "second refresh token",
    ]


async def test_a_cancelled_call_leaves_the_refresh_to_the_others(client: Client, server: StagedServer) -> None:
    gate = Gate(refreshed("second refresh token"))
    server.plays("RefreshTokens", gate)
    starter, waiter = (asyncio.ensure_future(client.users.GetMe(GetMeRequest())) for _ in range(2))
    await until(lambda: gate.waiting == 1)
    starter.cancel()
    gate.open()
    assert await waiter == ME
    assert starter.cancelled()
    assert len(server.received("RefreshTokens")) == 1


async def test_a_call_waits_for_a_token_no_longer_than_its_own_deadline(client: Client, server: StagedServer) -> None:
    gate = Gate(refreshed("second refresh token"))
    server.plays("RefreshTokens", gate)
    patient = asyncio.ensure_future(client.users.GetMe(GetMeRequest()))
    with pytest.raises(errors.DeadlineExceeded):
        await client.users.GetMe(GetMeRequest(), timeout=0.05)
    gate.open()
    assert await patient == ME
    assert len(server.received("GetMe")) == 1


async def test_a_refresh_that_fails_when_nobody_waits_any_more_is_no_unheard_exception(
    client: Client, server: StagedServer
) -> None:
    unheard: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, problem: unheard.append(problem))
    gate = Gate(RefreshTokensResponse())  # Without a token in it: the renewal fails.
    server.plays("RefreshTokens", gate)
    with pytest.raises(errors.DeadlineExceeded):
        await client.users.GetMe(GetMeRequest(), timeout=0.05)
    await until(lambda: gate.waiting == 1)
    renewals = [task for task in asyncio.all_tasks() if "_renew" in str(task.get_coro())]
    assert len(renewals) == 1
    gate.open()
    await asyncio.wait(renewals)
    assert "exception=IndexError" in repr(renewals)
    renewals.clear()
    server.plays("RefreshTokens", refreshed("second refresh token"))
    assert await client.users.GetMe(GetMeRequest()) == ME  # From here on nobody holds the renewal that failed.
    gc.collect()
    assert unheard == []


async def test_a_sign_in_during_a_refresh_wins(server: StagedServer, store: MemoryTokenStore) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def refresh(_: RefreshTokensRequest) -> RefreshTokensResponse:
        asked.set()
        await answer.wait()
        return refreshed("second refresh token")

    credentials = SessionCredentials(store, refresh)
    waiting = asyncio.ensure_future(credentials.access_token())
    await asked.wait()
    new = refreshed("another person's refresh token").tokens
    await credentials.signed_in("another person", new)
    answer.set()
    assert await waiting == new.access_token
    assert store.load() == StoredSession("another person", "another person's refresh token")


async def test_a_late_answer_does_not_overwrite_what_another_process_stored(store: MemoryTokenStore) -> None:
    async def refresh(_: RefreshTokensRequest) -> RefreshTokensResponse:
        store.save(StoredSession(USER_ID, "third refresh token", "request id of the other process"))
        return refreshed("second refresh token")

    assert await SessionCredentials(store, refresh).access_token()
    assert store.load() == StoredSession(USER_ID, "third refresh token", "request id of the other process")


async def test_without_a_session_a_call_goes_out_without_a_token(stranger: Client, server: StagedServer) -> None:
    server.plays("GetMe", Refusal("TOKEN_MISSING", grpc.StatusCode.UNAUTHENTICATED))
    with pytest.raises(errors.TokenMissing):
        await stranger.users.GetMe(GetMeRequest())
    (call,) = server.received("GetMe")
    assert call.token is None
    assert server.received("RefreshTokens") == []
