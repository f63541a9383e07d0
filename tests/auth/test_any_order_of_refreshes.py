"""Random histories of one session against the table in `auth/tokens.py`, kept here in a few lines of its own."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.auth.world import CALL, World, outcomes_of, refusal_of

STEPS = 40
WAITS = [timedelta(0), timedelta(seconds=30), timedelta(seconds=60), timedelta(seconds=61), timedelta(hours=1)]


@dataclass(slots=True)
class Expected:
    """What the table says of a session."""

    tokens: list[str]
    rotate_time: datetime
    request_id: UUID | None = None
    dead: bool = False
    request_ids: list[UUID] = field(default_factory=lambda: [uuid4() for _ in range(3)])

    def verdict(self, token: str, request_id: UUID, now: datetime) -> str:
        """Returns `next`, `same`, or the reason of the refusal."""
        if self.dead:
            return "SESSION_REVOKED"
        if token == self.tokens[-1]:
            return "next"
        raced = now - self.rotate_time <= timedelta(seconds=60)
        if token == self.tokens[-2] and (request_id == self.request_id or raced):
            return "same"
        self.dead = True
        return "SESSION_COMPROMISED"


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_of_tokens_request_ids_and_waits_ends_as_the_table_says(world: World, seed: int) -> None:
    chance = random.Random(seed)
    signed_in = await world.sign_in()
    expected = Expected([signed_in.tokens.refresh_token], world.clock.now())
    for _ in range(STEPS):
        world.clock.advance(chance.choice(WAITS))
        recent = expected.tokens[-2:] if chance.random() < 0.95 else expected.tokens
        token, request_id = chance.choice(recent), chance.choice(expected.request_ids)
        await check(world, expected, token, request_id)


async def check(world: World, expected: Expected, token: str, request_id: UUID) -> None:
    verdict = expected.verdict(token, request_id, world.clock.now())
    refreshing = world.auth.use_cases.rotation.refresh(token, request_id, CALL)
    if verdict not in ("next", "same"):
        assert (await refusal_of(refreshing)).reason == verdict
        return
    tokens = await refreshing
    assert await outcomes_of([world.auth.verifier.verify(tokens.access_token)]) == ["OK"]
    if verdict == "next":
        assert tokens.refresh_token not in expected.tokens
        expected.tokens.append(tokens.refresh_token)
        expected.rotate_time, expected.request_id = world.clock.now(), request_id
    assert tokens.refresh_token == expected.tokens[-1]
