"""Before the right code nothing tells a known, an unknown, a banned and a demo number apart, over the wire."""

from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from prometheus_client import CollectorRegistry
from svoykrug.auth.v1 import auth_service_pb2 as pb
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceStub, add_AuthServiceServicer_to_server

from svoykrug_server.auth.convert import challenge_id_from_text
from svoykrug_server.auth.servicer import AuthServicer
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.server import RpcServer
from tests.auth.world import CALL, World

KNOWN, UNKNOWN, BANNED, DEMO, UNCLAIMED = (f"+7999000000{number}" for number in range(5))
KINDS = (KNOWN, UNKNOWN, BANNED, DEMO, UNCLAIMED)
REQUEST_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.fixture
async def stub(world: World) -> AsyncIterator[AuthServiceStub]:
    """A server that knows a number of each kind, each silent for a while."""
    await world.sign_in(KNOWN)
    await world.sign_in(BANNED)
    async with world.postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.execute("UPDATE users SET status = 'banned' WHERE phone = $1", BANNED)
        await driver.execute(
            "INSERT INTO users (id, phone, status, create_time, update_time) "
            "VALUES (gen_random_uuid(), $1, 'unclaimed', now(), now())",
            UNCLAIMED,
        )
    await world.auth.admin.demo_phones.put(DEMO, "424242", world.clock.now() + timedelta(days=30), CALL)
    world.clock.advance(timedelta(minutes=2))
    server = RpcServer(RpcOptions(listen=("127.0.0.1:0",), grace_seconds=1), world.auth.verifier, CollectorRegistry())
    add_AuthServiceServicer_to_server(AuthServicer(world.auth.use_cases), server.methods)
    await server.start()
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        yield AuthServiceStub(channel)
    await server.stop()


async def start(stub: AuthServiceStub, phone: str) -> tuple[pb.Challenge, frozenset[str]]:
    """Starts a sign-in; returns the answer, and the names of all metadata that came with it."""
    call = stub.StartSignIn(pb.StartSignInRequest(phone=phone))
    response = await call
    metadata = [*(await call.initial_metadata()), *(await call.trailing_metadata())]
    return response.challenge, frozenset(str(key) for key, _ in metadata)


async def error_of(stub: AuthServiceStub, challenge_id: str, code: str) -> tuple[object, ...]:
    """Tells a code, which is wrong; returns everything the refusal says, but for the request's own id."""
    request = pb.CompleteSignInRequest(challenge_id=challenge_id, code=code, request_id=REQUEST_ID)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.CompleteSignIn(request, metadata=(("x-request-id", REQUEST_ID),))
    trailers = sorted((str(key), value) for key, value in refused.value.trailing_metadata() or ())
    return refused.value.code(), refused.value.details(), tuple(trailers)


async def test_the_answer_is_the_same_field_by_field_as_supabase_js_784_was_not(stub: AuthServiceStub) -> None:
    answers = {phone: await start(stub, phone) for phone in KINDS}
    fields = [MessageToDict(challenge) for challenge, _ in answers.values()]
    assert len({answer.pop("challengeId") for answer in fields}) == len(KINDS)
    assert all(answer == fields[0] for answer in fields)
    assert set(fields[0]) == {"expireTime", "resendTime", "guessesLeftCount"}
    assert {len(challenge.challenge_id) for challenge, _ in answers.values()} == {22}
    assert len({names for _, names in answers.values()}) == 1


async def test_a_wrong_code_is_refused_in_the_same_words(world: World, stub: AuthServiceStub) -> None:
    refusals = []
    for phone in KINDS:
        challenge, _ = await start(stub, phone)
        right = "424242" if phone == DEMO else world.code_of(challenge_id_from_text(challenge.challenge_id))
        refusals.append(await error_of(stub, challenge.challenge_id, f"{(int(right) + 1) % 10**6:06d}"))
    assert refusals[0][0] is grpc.StatusCode.UNAUTHENTICATED
    assert all(refusal == refusals[0] for refusal in refusals)


async def test_all_guesses_used_is_said_in_the_same_words(world: World, stub: AuthServiceStub) -> None:
    refusals = []
    for phone in KINDS:
        challenge, _ = await start(stub, phone)
        right = "424242" if phone == DEMO else world.code_of(challenge_id_from_text(challenge.challenge_id))
        for _ in range(5):
            await error_of(stub, challenge.challenge_id, f"{(int(right) + 1) % 10**6:06d}")
        refusals.append(await error_of(stub, challenge.challenge_id, right))
    assert refusals[0][0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert all(refusal == refusals[0] for refusal in refusals)
