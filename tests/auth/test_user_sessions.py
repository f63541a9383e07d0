import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from svoykrug_server.auth.user_sessions import UserSessions
from svoykrug_server.kit.caller import Role
from tests.auth.world import CALL, OTHER_PHONE, PHONE, World, refusal_of
from tests.callers import CallBy, admin, person

ADMIN = admin()
SUPERADMIN = person(None, Role.MEMBER, Role.SUPERADMIN)


@pytest.fixture
def sessions(world: World) -> UserSessions:
    """What admins see and end sessions with."""
    return world.auth.admin.sessions


async def test_an_admin_sees_a_users_living_sessions_the_one_last_used_first(
    world: World, sessions: UserSessions
) -> None:
    old, new, ended = await world.sign_in(), await world.sign_in(), await world.sign_in()
    await world.sign_in(OTHER_PHONE)
    await world.auth.use_cases.sessions.sign_out(await world.caller_of(ended), CALL)
    listed = await sessions.listed(old.user_id, ADMIN)
    assert [view.session_id for view in listed] == [new.session.session_id, old.session.session_id]
    assert not any(view.current for view in listed)


async def test_an_admin_who_looks_at_herself_finds_the_session_that_asks(world: World, sessions: UserSessions) -> None:
    hers = await world.sign_in_as(PHONE, Role.ADMIN)
    listed = await sessions.listed(hers.user_id, await world.caller_of(hers))
    assert [view.current for view in listed] == [True, False]


async def test_sessions_that_expired_are_not_listed(world: World, sessions: UserSessions) -> None:
    signed_in = await world.sign_in()
    world.clock.advance(timedelta(days=30))
    assert await sessions.listed(signed_in.user_id, ADMIN) == ()


async def test_an_admin_ends_all_sessions_of_a_user_and_the_event_names_who_did(
    world: World, sessions: UserSessions
) -> None:
    hers, other = [await world.sign_in(), await world.sign_in()], await world.sign_in(OTHER_PHONE)
    assert await sessions.revoke(hers[0].user_id, None, ADMIN, CallBy(ADMIN)) == 2
    for signed_in in hers:
        assert (await refusal_of(world.caller_of(signed_in))).reason == "SESSION_REVOKED"
        refreshing = world.auth.use_cases.rotation.refresh(signed_in.tokens.refresh_token, uuid4(), CALL)
        assert (await refusal_of(refreshing)).reason == "SESSION_REVOKED"
    await world.caller_of(other)
    (event,) = await world.audited("USER_SESSIONS_REVOKED")
    assert (event["actor_id"], event["target_id"]) == (ADMIN.subject_id, str(hers[0].user_id))
    assert all(str(signed_in.session.session_id) in event["details"] for signed_in in hers)
    rows = await world.read("SELECT revoke_reason FROM auth_sessions WHERE user_id = $1", hers[0].user_id)
    assert {row["revoke_reason"] for row in rows} == {"revoked_by_admin"}


async def test_an_admin_ends_one_session_of_a_user(world: World, sessions: UserSessions) -> None:
    one, other = await world.sign_in(), await world.sign_in()
    assert await sessions.revoke(one.user_id, one.session.session_id, ADMIN, CallBy(ADMIN)) == 1
    assert (await refusal_of(world.caller_of(one))).reason == "SESSION_REVOKED"
    await world.caller_of(other)


async def test_what_has_ended_already_changes_nothing(world: World, sessions: UserSessions) -> None:
    signed_in = await world.sign_in()
    for session_id in (None, None, signed_in.session.session_id):
        await sessions.revoke(signed_in.user_id, session_id, ADMIN, CallBy(ADMIN))
    assert len(await world.audited("USER_SESSIONS_REVOKED")) == 1


async def test_an_unknown_user_and_another_users_session_are_not_found(world: World, sessions: UserSessions) -> None:
    hers, other = await world.sign_in(), await world.sign_in(OTHER_PHONE)
    for call in (
        sessions.listed(uuid4(), ADMIN),
        sessions.revoke(uuid4(), None, ADMIN, CallBy(ADMIN)),
        sessions.revoke(hers.user_id, uuid4(), ADMIN, CallBy(ADMIN)),
        sessions.revoke(hers.user_id, other.session.session_id, ADMIN, CallBy(ADMIN)),
    ):
        assert (await refusal_of(call)).reason == "NOT_FOUND"
    await world.caller_of(other)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.SUPERADMIN])
async def test_an_admins_sessions_are_ended_by_a_superadmin_only_and_the_refusal_leaves_its_trace(
    world: World, sessions: UserSessions, role: Role
) -> None:
    chief = await world.sign_in_as(PHONE, role)
    herself = await world.caller_of(chief)
    for caller in (ADMIN, herself if role is Role.ADMIN else ADMIN):
        refused = await refusal_of(sessions.revoke(chief.user_id, None, caller, CallBy(caller)))
        assert refused.reason == "PERMISSION_DENIED"
    await world.caller_of(chief)
    assert [row["result"] for row in await world.audited("USER_SESSIONS_REVOKED")] == ["refused", "refused"]
    assert await sessions.revoke(chief.user_id, None, SUPERADMIN, CallBy(SUPERADMIN)) == 2
    assert (await refusal_of(world.caller_of(chief))).reason == "SESSION_REVOKED"


async def test_of_parallel_ends_each_session_is_counted_once(world: World, sessions: UserSessions) -> None:
    hers = [await world.sign_in() for _ in range(3)]
    calls = (sessions.revoke(hers[0].user_id, None, ADMIN, CallBy(ADMIN)) for _ in range(5))
    assert sum(await asyncio.gather(*calls)) == 3
