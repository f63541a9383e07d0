import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from svoykrug_server.auth.model import Tokens
from svoykrug_server.auth.refresh_tokens import RefreshToken
from tests.auth.world import CALL, PHONE, World, outcomes_of, refusal_of

MINUTE = timedelta(minutes=1)


async def refresh(world: World, token: str, request_id: UUID | None = None) -> Tokens:
    return await world.auth.use_cases.rotation.refresh(token, request_id or uuid4(), CALL)


async def test_each_refresh_gives_a_new_pair(world: World) -> None:
    tokens = (await world.sign_in()).tokens
    seen = {tokens.refresh_token}
    for _ in range(5):
        tokens = await refresh(world, tokens.refresh_token)
        await world.auth.verifier.verify(tokens.access_token)
        seen.add(tokens.refresh_token)
    assert len(seen) == 6


async def test_a_lost_answer_then_a_retry_keeps_her_signed_in_as_zitadel_9631_did_not(world: World) -> None:
    first, request_id = (await world.sign_in()).tokens, uuid4()
    lost = await refresh(world, first.refresh_token, request_id)
    world.clock.advance(timedelta(days=29))
    retried = await refresh(world, first.refresh_token, request_id)
    assert retried.refresh_token == lost.refresh_token
    assert retried.access_token != lost.access_token
    await world.auth.verifier.verify(retried.access_token)
    await refresh(world, retried.refresh_token)


async def test_ten_racing_tasks_get_one_refresh_token_as_supabase_flutter_459_and_1158_did_not(world: World) -> None:
    first = (await world.sign_in()).tokens
    pairs = await asyncio.gather(*(refresh(world, first.refresh_token) for _ in range(10)))
    assert len({pair.refresh_token for pair in pairs}) == 1
    await refresh(world, pairs[0].refresh_token)


async def test_ten_racing_tasks_on_two_servers_get_one_refresh_token(world: World) -> None:
    first = (await world.sign_in()).tokens
    another = await world.another_server()
    here = [refresh(world, first.refresh_token) for _ in range(5)]
    there = [another.use_cases.rotation.refresh(first.refresh_token, uuid4(), CALL) for _ in range(5)]
    pairs = await asyncio.gather(*here, *there)
    assert len({pair.refresh_token for pair in pairs}) == 1


async def test_the_previous_token_is_taken_for_60_seconds_as_kratos_3779_and_hydra_1831_ask(world: World) -> None:
    first = (await world.sign_in()).tokens
    second = await refresh(world, first.refresh_token)
    world.clock.advance(MINUTE)
    assert (await refresh(world, first.refresh_token)).refresh_token == second.refresh_token


async def test_the_previous_token_with_another_request_after_60_seconds_ends_the_session(world: World) -> None:
    first = (await world.sign_in()).tokens
    await refresh(world, first.refresh_token)
    world.clock.advance(MINUTE + timedelta(microseconds=1))
    assert (await refusal_of(refresh(world, first.refresh_token))).reason == "SESSION_COMPROMISED"


async def test_an_older_token_ends_the_session_also_within_60_seconds(world: World) -> None:
    first, request_id = (await world.sign_in()).tokens, uuid4()
    second = await refresh(world, first.refresh_token, request_id)
    await refresh(world, second.refresh_token)
    assert (await refusal_of(refresh(world, first.refresh_token, request_id))).reason == "SESSION_COMPROMISED"


async def test_a_compromised_session_is_dead_for_the_thief_too(world: World) -> None:
    first = (await world.sign_in()).tokens
    second = await refresh(world, first.refresh_token)
    third = await refresh(world, second.refresh_token)
    await refusal_of(refresh(world, first.refresh_token))
    for stolen in (first, second, third):
        assert (await refusal_of(refresh(world, stolen.refresh_token))).reason == "SESSION_REVOKED"
        assert (await refusal_of(world.auth.verifier.verify(stolen.access_token))).reason == "SESSION_REVOKED"


async def test_a_compromised_session_leaves_a_revocation_an_audit_row_and_a_warning_though_the_call_fails(
    world: World,
) -> None:
    signed_in = await world.sign_in()
    await refresh(world, signed_in.tokens.refresh_token)
    world.clock.advance(2 * MINUTE)
    await refusal_of(refresh(world, signed_in.tokens.refresh_token))
    session_id = signed_in.session.session_id
    (session,) = await world.read("SELECT * FROM auth_sessions")
    assert (session["revoke_reason"], session["revoke_time"]) == ("compromised", world.clock.now())
    (revocation,) = await world.read("SELECT * FROM auth_revocations")
    assert (revocation["grant_id"], revocation["ended"]) == (session_id, True)
    (event,) = await world.audited("SESSION_COMPROMISED")
    assert (event["target_id"], event["result"]) == (str(session_id), "refused")
    (message,) = await world.read("SELECT * FROM sms_messages WHERE template = 'session_compromised'")
    assert message["phone"] == PHONE


async def test_she_is_warned_once_however_often_the_old_token_comes(world: World) -> None:
    first = (await world.sign_in()).tokens
    await refresh(world, first.refresh_token)
    world.clock.advance(2 * MINUTE)
    outcomes = await outcomes_of(refresh(world, first.refresh_token) for _ in range(10))
    assert sorted(outcomes) == ["SESSION_COMPROMISED"] + ["SESSION_REVOKED"] * 9
    assert len(await world.read("SELECT FROM sms_messages WHERE template = 'session_compromised'")) == 1


async def test_a_compromise_leaves_her_other_sessions_alone(world: World) -> None:
    stolen = await world.sign_in()
    mine = await world.sign_in()
    await refresh(world, stolen.tokens.refresh_token)
    world.clock.advance(2 * MINUTE)
    await refusal_of(refresh(world, stolen.tokens.refresh_token))
    await refresh(world, mine.tokens.refresh_token)


async def test_a_made_up_token_of_a_known_session_is_refused_and_ends_nothing(world: World) -> None:
    signed_in = await world.sign_in()
    real = RefreshToken.parse(signed_in.tokens.refresh_token)
    assert real is not None
    for forged in (replace(real, secret=bytes(32)), replace(real, tag=bytes(16), secret=bytes(32))):
        assert (await refusal_of(refresh(world, forged.render()))).reason == "REFRESH_TOKEN_INVALID"
    await refresh(world, signed_in.tokens.refresh_token)


@pytest.mark.parametrize("text", ["", "x", "!" * 86, "A" * 85, "A" * 86, "A" * 87, "я" * 86, "A" * 1000])
async def test_what_is_no_token_is_refused(world: World, text: str) -> None:
    assert (await refusal_of(refresh(world, text))).reason == "REFRESH_TOKEN_INVALID"


async def test_a_token_of_a_session_of_another_circle_is_refused(world: World) -> None:
    mine = RefreshToken.parse((await world.sign_in()).tokens.refresh_token)
    assert mine is not None
    stranger = replace(mine, session_id=uuid4())
    assert (await refusal_of(refresh(world, stranger.render()))).reason == "REFRESH_TOKEN_INVALID"


async def test_a_token_dies_after_30_idle_days(world: World) -> None:
    tokens = (await world.sign_in()).tokens
    world.clock.advance(timedelta(days=30) - MINUTE)
    tokens = await refresh(world, tokens.refresh_token)
    world.clock.advance(timedelta(days=30))
    assert (await refusal_of(refresh(world, tokens.refresh_token))).reason == "REFRESH_TOKEN_INVALID"


async def test_a_session_dies_after_180_days_however_often_it_is_used(world: World) -> None:
    tokens = (await world.sign_in()).tokens
    for _ in range(8):
        world.clock.advance(timedelta(days=20))
        tokens = await refresh(world, tokens.refresh_token)
    assert tokens.refresh_expire_time == world.clock.now() + timedelta(days=20)
    world.clock.advance(timedelta(days=20))
    assert (await refusal_of(refresh(world, tokens.refresh_token))).reason == "REFRESH_TOKEN_INVALID"


async def test_a_refresh_brings_her_present_rights(world: World) -> None:
    tokens = (await world.sign_in()).tokens
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE users SET roles = '{member,admin}'")
    caller = await world.auth.verifier.verify((await refresh(world, tokens.refresh_token)).access_token)
    assert caller.is_admin


async def test_who_is_banned_gets_no_new_tokens(world: World) -> None:
    tokens = (await world.sign_in()).tokens
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE users SET status = 'banned'")
    assert (await refusal_of(refresh(world, tokens.refresh_token))).reason == "USER_BANNED"


async def test_who_deleted_her_account_gets_new_tokens_without_rights(world: World) -> None:
    tokens = (await world.sign_in()).tokens
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE users SET status = 'deleted', roles = '{member,admin}'")
    caller = await world.auth.verifier.verify((await refresh(world, tokens.refresh_token)).access_token)
    assert (caller.deleted, caller.roles) == (True, frozenset())


async def test_a_restart_signs_nobody_out_as_nakama_658_did(world: World) -> None:
    tokens = (await world.sign_in()).tokens
    restarted = await world.another_server()
    await restarted.verifier.verify(tokens.access_token)
    await restarted.use_cases.rotation.refresh(tokens.refresh_token, uuid4(), CALL)


async def test_a_rotation_key_can_be_rotated_without_signing_anybody_out_as_hydra_tests(world: World) -> None:
    chains = [(await world.sign_in(f"+7999000000{number}")).tokens for number in range(5)]
    rotated = world.with_newer_secrets()
    await rotated.auth.open()
    request_id = uuid4()
    for tokens in chains:
        new = await refresh(rotated, tokens.refresh_token, request_id)
        assert (await refresh(rotated, tokens.refresh_token, request_id)).refresh_token == new.refresh_token
        await refresh(rotated, new.refresh_token)
        assert (await refusal_of(refresh(rotated, tokens.refresh_token))).reason == "SESSION_COMPROMISED"


async def test_a_failed_save_leaves_the_old_token_good(world: World) -> None:
    tokens = (await world.sign_in()).tokens
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute(
            "ALTER TABLE auth_sessions ADD CONSTRAINT broken CHECK (previous_hash IS NULL)"
        )
    with pytest.raises(Exception, match="broken"):
        await refresh(world, tokens.refresh_token)
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute("ALTER TABLE auth_sessions DROP CONSTRAINT broken")
    await refresh(world, tokens.refresh_token)


async def test_the_database_holds_no_refresh_token(world: World) -> None:
    tokens = (await world.sign_in()).tokens
    tokens = await refresh(world, tokens.refresh_token)
    token = RefreshToken.parse(tokens.refresh_token)
    assert token is not None
    (row,) = await world.read("SELECT s::text AS text FROM auth_sessions s")
    assert token.secret.hex() not in row["text"]
    assert tokens.refresh_token not in row["text"]
    assert token.secret_hash.hex() in row["text"]
