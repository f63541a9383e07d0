import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from svoykrug_server.auth.composition import Auth
from svoykrug_server.auth.model import Revocation
from svoykrug_server.auth.revocations import Revocations
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from tests.auth.cable import Cable
from tests.auth.world import CALL, World, compose, outcomes_of, refusal_of
from tests.waiting import until


class Seconds:
    """A stopwatch that moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def other_server(world: World) -> Auth:
    """Another server, whose connection for revocations has not been opened."""
    return await world.another_server()


async def test_a_verified_token_is_remembered_and_its_signature_checked_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in = await world.sign_in()
    first = await world.caller_of(signed_in)
    monkeypatch.setattr(world.auth.verifier._tokens, "read", None)
    assert await world.caller_of(signed_in) is first


async def test_a_bad_token_is_not_remembered(world: World) -> None:
    await refusal_of(world.auth.verifier.verify("a.b.c"))
    assert world.auth.verifier.cached_count == 0


async def test_the_memory_of_tokens_is_bounded(world: World) -> None:
    auth = compose(world.postgres, world.secrets, world.clock, replace(world.options, cache_entries=3), world.phones)
    await auth.open()
    tokens = [(await world.sign_in()).tokens.access_token for _ in range(5)]
    for token in tokens * 2:
        await auth.verifier.verify(token)
    assert auth.verifier.cached_count == 3


async def test_a_sign_out_ends_the_token_at_once_though_it_was_remembered(world: World) -> None:
    signed_in = await world.sign_in()
    caller = await world.caller_of(signed_in)
    await world.auth.use_cases.sessions.sign_out(caller, CALL)
    assert (await refusal_of(world.caller_of(signed_in))).reason == "SESSION_REVOKED"
    assert world.auth.verifier.cached_count == 0


async def test_changed_rights_end_access_tokens_but_not_the_session(world: World) -> None:
    signed_in = await world.sign_in()
    await world.caller_of(signed_in)
    async with world.postgres.transaction() as tx:
        await world.auth.ends.revoke_for_user(tx, signed_in.user_id)

    async def ended() -> bool:
        return await outcomes_of([world.caller_of(signed_in)]) == ["ACCESS_TOKEN_REVOKED"]

    await until(ended)
    tokens = await world.auth.use_cases.rotation.refresh(signed_in.tokens.refresh_token, uuid4(), CALL)
    await world.auth.verifier.verify(tokens.access_token)


async def test_a_change_of_rights_that_is_rolled_back_ends_nothing(world: World) -> None:
    signed_in = await world.sign_in()

    async def fail() -> None:
        async with world.postgres.transaction() as tx:
            await world.auth.ends.revoke_for_user(tx, signed_in.user_id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await world.caller_of(signed_in)


async def test_a_refresh_during_a_change_of_rights_waits_and_brings_the_new_ones(world: World) -> None:
    signed_in = await world.sign_in()
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE users SET roles = '{member,admin}'")
        await world.auth.ends.revoke_for_user(tx, signed_in.user_id)
        refreshing = asyncio.create_task(
            world.auth.use_cases.rotation.refresh(signed_in.tokens.refresh_token, uuid4(), CALL)
        )
        await until(lambda: _waits_for_a_lock(world))
    caller = await world.auth.verifier.verify((await refreshing).access_token)
    assert caller.is_admin


async def _waits_for_a_lock(world: World) -> bool:
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(await world.read(waiting))


async def test_a_revocation_reaches_another_server_in_under_a_second(world: World, other_server: Auth) -> None:
    listening = asyncio.create_task(other_server.revocations.run())
    await until(lambda: other_server.revocations.in_touch)
    signed_in = await world.sign_in()
    await other_server.verifier.verify(signed_in.tokens.access_token)
    await world.auth.use_cases.sessions.sign_out(await world.caller_of(signed_in), CALL)

    async def ended() -> bool:
        return await outcomes_of([other_server.verifier.verify(signed_in.tokens.access_token)]) == ["SESSION_REVOKED"]

    await until(ended, seconds=1.0)
    await _cancel(listening)


async def test_a_server_that_starts_later_knows_what_was_revoked_as_nakama_1101_forgot(
    world: World, other_server: Auth
) -> None:
    signed_in = await world.sign_in()
    await world.auth.use_cases.sessions.sign_out(await world.caller_of(signed_in), CALL)
    listening = asyncio.create_task(other_server.revocations.run())
    await until(lambda: other_server.revocations.in_touch)
    other_server.revocations.check(uuid4(), 0)
    refused = await refusal_of(other_server.verifier.verify(signed_in.tokens.access_token))
    assert refused.reason == "SESSION_REVOKED"
    await _cancel(listening)


async def test_a_server_out_of_touch_asks_postgres_at_every_call(world: World, other_server: Auth) -> None:
    signed_in = await world.sign_in()
    assert not other_server.revocations.in_touch
    await other_server.verifier.verify(signed_in.tokens.access_token)
    await world.auth.use_cases.sessions.sign_out(await world.caller_of(signed_in), CALL)
    refused = await refusal_of(other_server.verifier.verify(signed_in.tokens.access_token))
    assert refused.reason == "SESSION_REVOKED"


async def test_a_server_out_of_touch_sees_stale_rights_too(world: World, other_server: Auth) -> None:
    signed_in = await world.sign_in()
    await other_server.verifier.verify(signed_in.tokens.access_token)
    async with world.postgres.transaction() as tx:
        await world.auth.ends.revoke_for_user(tx, signed_in.user_id)
    refused = await refusal_of(other_server.verifier.verify(signed_in.tokens.access_token))
    assert refused.reason == "ACCESS_TOKEN_REVOKED"


async def test_a_server_out_of_touch_that_cannot_ask_postgres_is_unavailable(world: World) -> None:
    signed_in = await world.sign_in()
    async with server_on_a_cable(world) as (cable, auth):
        await auth.verifier.verify(signed_in.tokens.access_token)
        cable.cut()
        refused = await refusal_of(auth.verifier.verify(signed_in.tokens.access_token))
        assert refused.reason == "STORE_UNAVAILABLE"
        assert refused.retry_after is not None
        cable.mend()
        await auth.verifier.verify(signed_in.tokens.access_token)


async def test_two_seconds_without_a_beat_are_out_of_touch(postgres: Postgres, clock: ManualClock) -> None:
    seconds = Seconds()
    revocations = Revocations(postgres, clock, seconds)
    before = revocations.in_touch
    listening = asyncio.create_task(revocations.run())
    await until(lambda: revocations.in_touch)
    await _cancel(listening)
    beats = []
    for step in (1.99, 0.01):
        seconds.now += step
        beats.append(revocations.in_touch)
    assert (before, beats) == (False, [True, False])


async def test_a_lost_listener_comes_back_and_has_missed_nothing(world: World) -> None:
    signed_in = await world.sign_in()
    caller = await world.caller_of(signed_in)
    async with server_on_a_cable(world) as (cable, auth):
        listening = asyncio.create_task(auth.revocations.run())
        await until(lambda: auth.revocations.in_touch)
        await auth.verifier.verify(signed_in.tokens.access_token)
        cable.cut()
        await world.auth.use_cases.sessions.sign_out(caller, CALL)
        cable.mend()

        async def ended() -> bool:
            return await outcomes_of([auth.verifier.verify(signed_in.tokens.access_token)]) == ["SESSION_REVOKED"]

        await until(ended, seconds=5.0)
        await until(lambda: auth.revocations.in_touch)
        await _cancel(listening)


@asynccontextmanager
async def server_on_a_cable(world: World) -> AsyncIterator[tuple[Cable, Auth]]:
    """Another server, whose way to Postgres can be cut."""
    async with Cable(world.url).laid() as cable:
        postgres = await Postgres.connect(PostgresOptions(cable.url, read_connections=1))
        auth = compose(postgres, world.secrets, world.clock, world.options, world.phones)
        await auth.open()
        yield cable, auth
        await postgres.close()


async def test_a_revocation_is_forgotten_when_its_tokens_would_be_dead(postgres: Postgres, clock: ManualClock) -> None:
    revocations = Revocations(postgres, clock)
    revocations.hear(Revocation(grant := uuid4(), True, 2, clock.now() + timedelta(minutes=16)))
    revocations._forget()
    with pytest.raises(Exception, match="SESSION_REVOKED"):
        revocations.check(grant, 1)
    clock.advance(timedelta(minutes=16))
    revocations._forget()
    assert not revocations._by_grant


async def test_revocations_heard_in_any_order_say_the_same(postgres: Postgres, clock: ManualClock) -> None:
    grant, until_time = uuid4(), clock.now() + timedelta(minutes=16)
    stale, ended = Revocation(grant, False, 2, until_time), Revocation(grant, True, 3, until_time)
    for order in ((stale, ended), (ended, stale), (ended, stale, ended)):
        revocations = Revocations(postgres, clock)
        for revocation in order:
            revocations.hear(revocation)
        with pytest.raises(Exception, match="SESSION_REVOKED"):
            revocations.check(grant, 2)
        revocations.check(grant, 3)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
