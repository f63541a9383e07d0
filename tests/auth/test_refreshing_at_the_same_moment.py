"""A refresh and a change of what its user may, at the same moment: one waits for the other."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from svoykrug_server.auth.model import Tokens
from svoykrug_server.kit.account import PersonClaims, RevokeReason
from svoykrug_server.storage.postgres import Transaction
from tests.auth.world import CALL, World, outcomes_of, refusal_of
from tests.waiting import until

WAITING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class PausedAccounts:
    """Answers claims when it is told to."""

    def __init__(self, world: World) -> None:
        self._accounts = world.auth.use_cases.rotation._accounts
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def claims(self, tx: Transaction, user_id: UUID) -> PersonClaims | None:
        """Reads the claims, and keeps the transaction open until it may answer."""
        claims = await self._accounts.claims(tx, user_id)
        self.asked.set()
        await self.may_answer.wait()
        return claims


async def refresh(world: World, token: str) -> Tokens:
    return await world.auth.use_cases.rotation.refresh(token, uuid4(), CALL)


async def waits(world: World) -> bool:
    return bool(await world.read(WAITING))


async def set_status(tx: Transaction, status: str) -> None:
    assert await tx.fetchval("UPDATE users SET status = $1 RETURNING 1", status) == 1


async def test_a_refresh_during_a_ban_waits_and_brings_nothing(world: World) -> None:
    signed_in = await world.sign_in()
    async with world.postgres.transaction() as tx:
        await set_status(tx, "banned")
        await world.auth.ends.end(tx, signed_in.user_id, RevokeReason.BANNED)
        refreshing = asyncio.create_task(refresh(world, signed_in.tokens.refresh_token))
        await until(lambda: waits(world))
    assert (await refusal_of(refreshing)).reason == "SESSION_REVOKED"


async def test_a_refresh_under_way_holds_up_a_change_of_rights_that_then_ends_its_token(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in = await world.sign_in()
    paused = PausedAccounts(world)
    monkeypatch.setattr(world.auth.use_cases.rotation, "_accounts", paused)
    refreshing = asyncio.create_task(refresh(world, signed_in.tokens.refresh_token))
    await paused.asked.wait()

    async def take_rights() -> None:
        async with world.postgres.transaction() as tx:
            await world.auth.ends.revoke_for_user(tx, signed_in.user_id)

    taking = asyncio.create_task(take_rights())
    await until(lambda: waits(world))
    paused.may_answer.set()
    tokens = await refreshing
    await taking

    async def ended() -> bool:
        return await outcomes_of([world.auth.verifier.verify(tokens.access_token)]) == ["ACCESS_TOKEN_REVOKED"]

    await until(ended)


async def test_a_refusal_leaves_the_token_as_it_was_once_the_ban_is_lifted(world: World) -> None:
    signed_in = await world.sign_in()
    async with world.postgres.transaction() as tx:
        await set_status(tx, "banned")
    assert (await refusal_of(refresh(world, signed_in.tokens.refresh_token))).reason == "USER_BANNED"
    async with world.postgres.transaction() as tx:
        await set_status(tx, "active")
    world.clock.advance(timedelta(hours=1))
    await refresh(world, signed_in.tokens.refresh_token)


async def test_a_refresh_in_its_last_microsecond_is_good_and_at_its_end_it_is_not(world: World) -> None:
    tokens = (await world.sign_in()).tokens
    world.clock.advance(timedelta(days=30) - timedelta(microseconds=1))
    tokens = await refresh(world, tokens.refresh_token)
    world.clock.advance(timedelta(days=30))
    assert (await refusal_of(refresh(world, tokens.refresh_token))).reason == "REFRESH_TOKEN_INVALID"
