from datetime import timedelta
from uuid import uuid4

from svoykrug_server.kit.account import RevokeReason
from tests.auth.world import CALL, OTHER_PHONE, World, refusal_of


async def test_she_sees_her_devices_the_one_last_used_first_as_auth_js_1042_asked(world: World) -> None:
    old, new = await world.sign_in(), await world.sign_in()
    await world.sign_in(OTHER_PHONE)
    listed = await world.auth.use_cases.sessions.listed(await world.caller_of(old))
    assert [view.session_id for view in listed] == [new.session.session_id, old.session.session_id]
    assert [view.current for view in listed] == [False, True]
    assert {view.device_name for view in listed} == {"iPhone 17"}
    world.clock.advance(timedelta(minutes=1))
    await world.auth.use_cases.rotation.refresh(old.tokens.refresh_token, uuid4(), CALL)
    listed = await world.auth.use_cases.sessions.listed(await world.caller_of(old))
    assert listed[0].session_id == old.session.session_id
    assert listed[0].last_use_time == world.clock.now()


async def test_ended_and_expired_sessions_are_not_listed(world: World) -> None:
    await world.sign_in()
    world.clock.advance(timedelta(days=30))
    ended, mine = await world.sign_in(), await world.sign_in()
    await world.auth.use_cases.sessions.sign_out(await world.caller_of(ended), CALL)
    listed = await world.auth.use_cases.sessions.listed(await world.caller_of(mine))
    assert [view.session_id for view in listed] == [mine.session.session_id]


async def test_a_sign_out_ends_access_and_refresh_token(world: World) -> None:
    signed_in = await world.sign_in()
    await world.auth.use_cases.sessions.sign_out(await world.caller_of(signed_in), CALL)
    assert (await refusal_of(world.caller_of(signed_in))).reason == "SESSION_REVOKED"
    refreshing = world.auth.use_cases.rotation.refresh(signed_in.tokens.refresh_token, uuid4(), CALL)
    assert (await refusal_of(refreshing)).reason == "SESSION_REVOKED"
    (event,) = await world.audited("SIGNED_OUT")
    assert (event["actor_id"], event["target_id"]) == (signed_in.user_id, str(signed_in.session.session_id))


async def test_a_sign_out_can_be_repeated(world: World) -> None:
    caller = await world.caller_of(await world.sign_in())
    for _ in range(2):
        await world.auth.use_cases.sessions.sign_out(caller, CALL)
    assert len(await world.audited("SIGNED_OUT")) == 1


async def test_she_ends_one_session_and_keeps_the_others(world: World) -> None:
    lost, mine = await world.sign_in(), await world.sign_in()
    caller = await world.caller_of(mine)
    for _ in range(2):
        await world.auth.use_cases.sessions.revoke(caller, lost.session.session_id, CALL)
    assert (await refusal_of(world.caller_of(lost))).reason == "SESSION_REVOKED"
    await world.caller_of(mine)


async def test_another_members_session_and_an_unknown_one_are_refused_alike_and_audited(world: World) -> None:
    hers, mine = await world.sign_in(OTHER_PHONE), await world.sign_in()
    caller = await world.caller_of(mine)
    for session_id in (hers.session.session_id, uuid4()):
        refused = await refusal_of(world.auth.use_cases.sessions.revoke(caller, session_id, CALL))
        assert refused.reason == "PERMISSION_DENIED"
    assert [row["result"] for row in await world.audited("SESSION_REVOKED")] == ["refused", "refused"]
    await world.caller_of(hers)


async def test_she_ends_all_sessions_but_the_one_that_asks(world: World) -> None:
    others = [await world.sign_in() for _ in range(3)]
    stranger, mine = await world.sign_in(OTHER_PHONE), await world.sign_in()
    caller = await world.caller_of(mine)
    assert await world.auth.use_cases.sessions.revoke_others(caller, CALL) == 3
    assert await world.auth.use_cases.sessions.revoke_others(caller, CALL) == 0
    for other in others:
        assert (await refusal_of(world.caller_of(other))).reason == "SESSION_REVOKED"
    await world.caller_of(mine)
    await world.caller_of(stranger)


async def test_another_feature_ends_all_sessions_in_its_own_transaction(world: World) -> None:
    signed_in = await world.sign_in()
    async with world.postgres.transaction() as tx:
        ended = await world.auth.ends.end(tx, signed_in.user_id, RevokeReason.BANNED)
    assert [revocation.grant_id for revocation in ended] == [signed_in.session.session_id]
    (row,) = await world.read("SELECT revoke_reason FROM auth_sessions")
    assert row["revoke_reason"] == "banned"


async def test_nobody_has_more_sessions_than_she_can_see(world: World) -> None:
    """With a demo phone's code somebody could open sessions without end."""
    first = await world.sign_in()
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute(
            "INSERT INTO auth_sessions (session_id, user_id, device_name, create_time, rotate_time, access_epoch, "
            "current_hash, salt, rotation_kid, rotation_request_id) SELECT gen_random_uuid(), user_id, device_name, "
            "create_time, rotate_time + interval '1 second', 1, current_hash, salt, rotation_kid, gen_random_uuid() "
            "FROM auth_sessions CROSS JOIN generate_series(1, 99)"
        )
    last = await world.sign_in()
    listed = await world.auth.use_cases.sessions.listed(await world.caller_of(last))
    assert len(listed) == 100
    assert first.session.session_id not in {session.session_id for session in listed}
    (row,) = await world.read("SELECT revoke_reason FROM auth_sessions WHERE session_id = $1", first.session.session_id)
    assert row["revoke_reason"] == "too_many"
