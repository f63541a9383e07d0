"""What every call gets: a deadline, the language, repetition where the contract allows it, a clean end."""

import asyncio
import json
from importlib.metadata import version

import grpc
import pytest
from contract import Contract
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.descriptor_pool import Default
from svoykrug import errors
from svoykrug.auth.v1.auth_service_pb2 import GetJwksRequest, GetJwksResponse, StartSignInRequest, StartSignInResponse
from svoykrug.purchases.v1.purchases_service_pb2 import RecordPurchaseRequest, RecordPurchaseResponse
from svoykrug.users.v1.users_service_pb2 import GetMeRequest, UpdateMeRequest, UpdateMeResponse

from svoykrug_client import Client
from svoykrug_client._methods import methods, service_config
from tests.client.conftest import ME, refreshed
from tests.client.staged import Gate, Plain, Refusal, StagedServer
from tests.waiting import until

GONE = Plain(grpc.StatusCode.UNAVAILABLE)
STOPPING = Plain(grpc.StatusCode.CANCELLED)
STORE_GONE = Refusal("STORE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)


@pytest.mark.parametrize("failure", [GONE, STOPPING, STORE_GONE])
async def test_an_unavailable_server_is_asked_again_where_the_method_is_idempotent(
    client: Client, server: StagedServer, failure: Plain | Refusal
) -> None:
    server.plays("GetMe", failure, failure, ME)
    server.plays("RecordPurchase", failure, RecordPurchaseResponse(duplicate=True))
    assert await client.users.GetMe(GetMeRequest()) == ME
    assert (await client.purchases.RecordPurchase(RecordPurchaseRequest())).duplicate
    assert len(server.received("GetMe")) == 3


async def test_an_unavailable_server_is_given_up_after_four_attempts(stranger: Client, server: StagedServer) -> None:
    server.plays("GetJwks", GONE)
    with pytest.raises(errors.ConnectionLost):
        await stranger.auth.GetJwks(GetJwksRequest())
    assert len(server.received("GetJwks")) == 4


async def test_a_method_that_is_not_idempotent_is_never_sent_twice(client: Client, server: StagedServer) -> None:
    server.plays("StartSignIn", GONE, StartSignInResponse())
    server.plays("UpdateMe", GONE, UpdateMeResponse())
    with pytest.raises(errors.ConnectionLost):
        await client.auth.StartSignIn(StartSignInRequest())
    with pytest.raises(errors.ConnectionLost):
        await client.users.UpdateMe(UpdateMeRequest())
    assert (len(server.received("StartSignIn")), len(server.received("UpdateMe"))) == (1, 1)


@pytest.mark.parametrize(
    "failure",
    [
        Plain(grpc.StatusCode.DEADLINE_EXCEEDED),
        Plain(grpc.StatusCode.UNKNOWN),
        Refusal("OVERLOADED", grpc.StatusCode.RESOURCE_EXHAUSTED),
        Refusal("INTERNAL", grpc.StatusCode.INTERNAL),
    ],
)
async def test_no_other_failure_is_repeated(stranger: Client, server: StagedServer, failure: Plain | Refusal) -> None:
    server.plays("GetJwks", failure, GetJwksResponse())
    with pytest.raises(errors.SvoyKrugError):
        await stranger.auth.GetJwks(GetJwksRequest())
    assert len(server.received("GetJwks")) == 1


def test_every_method_of_the_contract_is_on_one_of_the_clients_stubs(client: Client) -> None:
    on_stubs = {name for stub in vars(client).values() if type(stub).__name__.endswith("Stub") for name in vars(stub)}
    for method in Contract().methods:
        assert f"/{method.service}/{method.name}" in methods()
        assert method.name in on_stubs


def test_the_retry_policy_names_the_idempotent_methods_of_the_contract_and_no_others() -> None:
    (config,) = json.loads(service_config())["methodConfig"]
    named = {f"/{name['service']}/{name['method']}" for name in config["name"]}
    found = Default().FindMethodByName
    idempotent = {
        path
        for path in methods()
        if found(path[1:].replace("/", ".")).GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
    }
    assert named == idempotent - {"/svoykrug.purchases.v1.PurchasesService/ImportPurchases"}
    assert config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]


async def test_a_call_gets_the_methods_deadline_or_the_one_it_names(client: Client, server: StagedServer) -> None:
    await client.users.GetMe(GetMeRequest())  # connects, which counts, and gets a token
    await client.users.GetMe(GetMeRequest())
    await client.users.GetMe(GetMeRequest(), timeout=3)
    _, stated, named = (call.seconds_left for call in server.received("GetMe"))
    assert stated is not None
    assert named is not None
    assert 9 < stated < 10.5  # the wire rounds up
    assert 2 < named < 3.5


async def test_a_call_ends_at_its_deadline(client: Client, server: StagedServer) -> None:
    gate = Gate(ME)
    server.plays("GetMe", ME, gate)
    await client.users.GetMe(GetMeRequest())  # connects, which counts, and gets a token
    with pytest.raises(errors.DeadlineExceeded):
        await client.users.GetMe(GetMeRequest(), timeout=0.5)
    await until(lambda: gate.cancelled == 1)


async def test_one_deadline_holds_for_the_call_the_fresh_token_and_the_repetition(
    client: Client, server: StagedServer
) -> None:
    server.plays("GetMe", ME, Refusal("TOKEN_EXPIRED", grpc.StatusCode.UNAUTHENTICATED), ME)
    server.plays("RefreshTokens", refreshed("second refresh token"), Gate(refreshed("third refresh token")))
    await client.users.GetMe(GetMeRequest())  # connects, which counts, and gets a token
    with pytest.raises(errors.DeadlineExceeded):
        await client.users.GetMe(GetMeRequest(), timeout=0.5)
    assert len(server.received("GetMe")) == 2


async def test_a_call_says_its_language_and_the_clients_version(stranger: Client, server: StagedServer) -> None:
    server.plays("GetJwks", GetJwksResponse())
    await stranger.auth.GetJwks(GetJwksRequest())
    await stranger.auth.GetJwks(GetJwksRequest(), metadata=(("accept-language", "en"), ("x-request-id", "mine")))
    first, second = (call.metadata for call in server.received("GetJwks"))
    assert first["accept-language"] == "ru"
    assert first["x-client-version"] == f"python/{version('svoykrug-client')}"
    assert (second["accept-language"], second["x-request-id"]) == ("en", "mine")


async def test_a_call_that_brings_its_own_token_keeps_it(client: Client, server: StagedServer) -> None:
    await client.users.GetMe(GetMeRequest(), metadata=(("authorization", "Bearer of another"),))
    (call,) = server.received("GetMe")
    assert call.token == "of another"
    assert server.received("RefreshTokens") == []


async def test_a_public_method_is_called_without_a_token(client: Client, server: StagedServer) -> None:
    server.plays("GetJwks", GetJwksResponse())
    await client.auth.GetJwks(GetJwksRequest())
    (call,) = server.received("GetJwks")
    assert call.token is None


async def test_what_the_server_sent_beside_the_answer_can_be_read(client: Client, server: StagedServer) -> None:
    async def answer(_: GetMeRequest, context: "grpc.aio.ServicerContext[object, object]") -> object:
        context.set_trailing_metadata((("x-request-id", "request-9"),))
        return ME

    server.plays("GetMe", answer)
    call = client.users.GetMe(GetMeRequest())
    assert await call == ME
    assert dict(await call.trailing_metadata())["x-request-id"] == "request-9"
    assert await call.code() is grpc.StatusCode.OK


async def test_a_cancelled_call_is_cancelled_on_the_server_and_disturbs_no_other(
    client: Client, server: StagedServer
) -> None:
    gate = Gate(ME)
    server.plays("GetMe", gate)
    doomed, other = (asyncio.ensure_future(client.users.GetMe(GetMeRequest())) for _ in range(2))
    await until(lambda: gate.waiting == 2)
    doomed.cancel()
    await until(lambda: gate.cancelled == 1)
    gate.open()
    assert await other == ME
    assert doomed.cancelled()


async def test_closing_the_client_ends_calls_under_way(client: Client, server: StagedServer) -> None:
    gate = Gate(ME)
    server.plays("GetMe", gate)
    call = asyncio.ensure_future(client.users.GetMe(GetMeRequest()))
    await until(lambda: gate.waiting == 1)
    await client.close()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: gate.cancelled == 1)
