"""Signing keys are made, put to work and retired, and no call fails for it."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import jwt
import pytest

from svoykrug_server.auth.key_model import KeyState, SigningKeyView
from svoykrug_server.auth.key_rotation import KeyRotation
from tests.auth.world import OTHER_PHONE, World, outcomes_of, refusal_of
from tests.callers import CallBy, admin
from tests.waiting import until

UNTIL_READY = timedelta(minutes=10)


@pytest.fixture
def rotation(world: World) -> KeyRotation:
    """What admins keep signing keys with, a while after the first key was made."""
    world.clock.advance(timedelta(seconds=1))
    return world.auth.admin.keys


async def made(rotation: KeyRotation) -> SigningKeyView:
    return await rotation.create(None, uuid4(), None)


def kid_of(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


def published(world: World) -> set[str]:
    return {key["kid"] for key in world.auth.use_cases.keys.published()}


async def stored(rotation: KeyRotation, kid: str) -> SigningKeyView:
    """Returns a key as it is stored."""
    (key,) = [key for key in await rotation.listed() if key.kid == kid]
    return key


async def test_a_new_key_is_published_before_it_signs_and_signs_after_two_cache_lives(
    world: World, rotation: KeyRotation
) -> None:
    old = world.auth.use_cases.keys.active.kid
    new = await made(rotation)
    assert (new.state, new.ready_time) == (KeyState.NEXT, world.clock.now() + UNTIL_READY)
    assert published(world) == {old, new.kid}
    assert kid_of((await world.sign_in()).tokens.access_token) == old
    refused = await refusal_of(rotation.activate(new.kid, None))
    assert (refused.reason, refused.retry_after) == ("SIGNING_KEY_STATE", new.ready_time - world.clock.now())
    assert refused.metadata == {"state": "next", "ready_time": new.ready_time.isoformat()}
    world.clock.advance(UNTIL_READY)
    active = await rotation.activate(new.kid, None)
    assert (active.state, active.activate_time) == (KeyState.ACTIVE, world.clock.now())
    assert active == await stored(rotation, new.kid)
    assert kid_of((await world.sign_in()).tokens.access_token) == new.kid


async def test_keys_are_listed_the_newest_first_until_their_tokens_are_dead(
    world: World, rotation: KeyRotation
) -> None:
    old = world.auth.use_cases.keys.active.kid
    world.clock.advance(timedelta(days=1))
    new = await made(rotation)
    await rotation.activate(new.kid, None, skip_wait=True)
    listed = await rotation.listed()
    assert [(key.kid, key.state) for key in listed] == [(new.kid, KeyState.ACTIVE), (old, KeyState.RETIRED)]
    assert listed[1].verify_until_time == world.clock.now() + timedelta(minutes=15, seconds=50)
    world.clock.advance(timedelta(minutes=16))
    assert [key.kid for key in await rotation.listed()] == [new.kid]


async def test_a_key_of_the_algorithm_asked_for_is_made(world: World, rotation: KeyRotation) -> None:
    key = await rotation.create("RS256", uuid4(), None)
    await rotation.activate(key.kid, None, skip_wait=True)
    signed_in = await world.sign_in()
    assert jwt.get_unverified_header(signed_in.tokens.access_token)["alg"] == "RS256"
    await world.caller_of(signed_in)


async def test_the_same_request_id_returns_the_key_as_it_was_made_and_makes_no_other(rotation: KeyRotation) -> None:
    request_id = uuid4()
    first = await rotation.create(None, request_id, None)
    await rotation.activate(first.kid, None, skip_wait=True)
    assert await rotation.create(None, request_id, None) == first
    assert len(await rotation.listed()) == 2
    assert (await refusal_of(rotation.create("RS256", request_id, None))).reason == "REQUEST_ID_REUSED"


async def test_one_key_waits_at_a_time_also_when_two_are_asked_for_at_once(rotation: KeyRotation) -> None:
    outcomes = await outcomes_of(made(rotation) for _ in range(3))
    assert sorted(outcomes) == ["OK", "SIGNING_KEY_STATE", "SIGNING_KEY_STATE"]
    waiting = (await rotation.listed())[0].kid
    assert (await refusal_of(made(rotation))).metadata == {"state": "next", "kid": waiting}


async def test_tokens_of_the_key_before_live_on_and_its_publication_ends_with_them(
    world: World, rotation: KeyRotation
) -> None:
    old = world.auth.use_cases.keys.active.kid
    new = await made(rotation)
    world.clock.advance(UNTIL_READY)
    signed_in = await world.sign_in()
    await rotation.activate(new.kid, None)
    world.clock.advance(timedelta(minutes=14))
    await world.caller_of(signed_in)
    assert published(world) == {old, new.kid}
    world.clock.advance(timedelta(minutes=3))
    assert (await refusal_of(world.caller_of(signed_in))).reason in {"TOKEN_EXPIRED", "TOKEN_INVALID"}
    assert published(world) == {new.kid}


async def test_activating_twice_changes_nothing_and_a_retired_key_never_signs_again(
    world: World, rotation: KeyRotation
) -> None:
    old, new = world.auth.use_cases.keys.active.kid, await made(rotation)
    first = await rotation.activate(new.kid, None, skip_wait=True)
    world.clock.advance(timedelta(minutes=1))
    assert await rotation.activate(new.kid, None) == first
    assert len(await world.audited("SIGNING_KEY_ACTIVATED")) == 1
    refused = await refusal_of(rotation.activate(old, None, skip_wait=True))
    assert (refused.reason, refused.metadata) == ("SIGNING_KEY_STATE", {"state": "retired"})


async def test_a_leaked_key_is_replaced_at_once_and_its_tokens_are_refused_the_remembered_ones_too(
    world: World, rotation: KeyRotation
) -> None:
    another = await world.another_server()
    leaked, signed_in = world.auth.use_cases.keys.active.kid, await world.sign_in()
    await rotation.activate((await made(rotation)).kid, None, skip_wait=True)
    for auth in (world.auth, another):
        await auth.verifier.verify(signed_in.tokens.access_token)
    retired = await rotation.retire(leaked, None, reject_tokens=True)
    assert (retired.state, retired.verify_until_time) == (KeyState.RETIRED, world.clock.now())
    await another.use_cases.keys.reload()
    for auth in (world.auth, another):
        refused = await refusal_of(auth.verifier.verify(signed_in.tokens.access_token))
        assert refused.reason == "TOKEN_INVALID"
    assert leaked not in published(world)


async def test_a_retired_key_is_left_alone_unless_its_tokens_are_to_be_rejected(
    world: World, rotation: KeyRotation
) -> None:
    old, signed_in = world.auth.use_cases.keys.active.kid, await world.sign_in()
    await rotation.activate((await made(rotation)).kid, None, skip_wait=True)
    before = await stored(rotation, old)
    assert await rotation.retire(old, None) == before
    await world.caller_of(signed_in)
    world.clock.advance(timedelta(hours=1))
    again = await rotation.retire(old, None, reject_tokens=True)
    assert again.verify_until_time == before.verify_until_time
    assert not await world.audited("SIGNING_KEY_RETIRED")


async def test_the_private_half_of_a_retired_key_is_forgotten(world: World, rotation: KeyRotation) -> None:
    await rotation.activate((await made(rotation)).kid, None, skip_wait=True)
    rows = await world.read("SELECT state, length(sealed_private_key) AS kept FROM auth_signing_keys ORDER BY state")
    assert [(row["state"], row["kept"] > 0) for row in rows] == [("active", True), ("retired", False)]


async def test_a_server_hears_of_a_rejected_key_within_a_second(world: World, rotation: KeyRotation) -> None:
    another = await world.another_server()
    jobs = [asyncio.create_task(job()) for job in (another.revocations.run, another.use_cases.keys.run)]
    await until(lambda: another.revocations.in_touch)
    leaked, signed_in = world.auth.use_cases.keys.active.kid, await world.sign_in()
    await another.verifier.verify(signed_in.tokens.access_token)
    await rotation.activate((await made(rotation)).kid, None, skip_wait=True)
    await rotation.retire(leaked, None, reject_tokens=True)

    async def refused() -> bool:
        return await outcomes_of([another.verifier.verify(signed_in.tokens.access_token)]) == ["TOKEN_INVALID"]

    await until(refused, seconds=1.0)
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


async def test_a_key_that_waits_is_retired_and_makes_room_for_another(world: World, rotation: KeyRotation) -> None:
    waiting = await made(rotation)
    retired = await rotation.retire(waiting.kid, None)
    assert (retired.state, retired.verify_until_time) == (KeyState.RETIRED, world.clock.now())
    assert waiting.kid not in published(world)
    await made(rotation)


async def test_the_key_that_signs_cannot_be_retired(world: World, rotation: KeyRotation) -> None:
    refused = await refusal_of(rotation.retire(world.auth.use_cases.keys.active.kid, None, reject_tokens=True))
    assert (refused.reason, refused.metadata) == ("SIGNING_KEY_STATE", {"state": "active"})


async def test_an_unknown_key_is_not_found(rotation: KeyRotation) -> None:
    for call in (rotation.activate("x", None), rotation.retire("x", None)):
        assert (await refusal_of(call)).reason == "NOT_FOUND"


async def test_every_change_of_a_key_is_audited_with_who_did_it(world: World, rotation: KeyRotation) -> None:
    chief = CallBy(admin())
    first = world.auth.use_cases.keys.active.kid
    second = await rotation.create(None, uuid4(), chief)
    await rotation.activate(second.kid, chief, skip_wait=True)
    await rotation.retire(first, chief, reject_tokens=True)
    assert [row["target_id"] for row in await world.audited("SIGNING_KEY_CREATED")] == [first, second.kid]
    assert [row["actor_kind"] for row in await world.audited("SIGNING_KEY_CREATED")] == ["system", "user"]
    assert [row["details"] for row in await world.audited("SIGNING_KEY_ACTIVATED")] == ['{"skip_wait": true}']
    assert [row["details"] for row in await world.audited("SIGNING_KEY_RETIRED")] == ['{"reject_tokens": true}']


async def test_a_server_that_lacks_the_secret_of_a_new_key_signs_with_the_one_before_and_takes_the_tokens_of_both(
    world: World,
) -> None:
    poor, rich = world, world.with_newer_secrets()
    await rich.auth.open()
    new = await made(rich.auth.admin.keys)
    await rich.auth.admin.keys.activate(new.kid, None, skip_wait=True)
    by_the_new, by_the_old = await rich.sign_in(), await poor.sign_in(OTHER_PHONE)
    assert kid_of(by_the_new.tokens.access_token) == new.kid != kid_of(by_the_old.tokens.access_token)
    for server in (poor, rich):
        await server.caller_of(by_the_new)
        await server.caller_of(by_the_old)
