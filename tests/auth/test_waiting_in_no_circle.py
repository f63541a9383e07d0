"""Sign-ins, refreshes, phone changes and recycled numbers at once, on two servers: nobody waits in a circle."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from svoykrug_server.auth.model import Purpose, SignedIn
from svoykrug_server.auth.phone_change import PhoneAnswer
from svoykrug_server.auth.silence import SilenceLimits
from svoykrug_server.kit.caller import Caller, Role
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from tests.auth.world import CALL, Client, World, outcomes_of

ROUNDS, CALLS_A_ROUND = 6, 40
PHONES = [f"+7999{number:07d}" for number in range(8)]
FAR = datetime.max.replace(tzinfo=UTC)
EXPECTED = {
    "OK",
    "ACCOUNT_PROOF_REQUIRED",
    "CHALLENGE_OVER",
    "CODE_WRONG",
    "INVALID_FIELDS",
    "PHONE_TAKEN",
    "REFRESH_TOKEN_INVALID",
    "RESEND_TOO_SOON",
    "SESSION_COMPROMISED",
    "SESSION_REVOKED",
    "SIGN_IN_LIMITED",
    "SIGN_IN_NOT_RECENT",
}


class Crowd:
    """People who do everything at once; what becomes of each call is nobody's concern but Postgres's."""

    def __init__(self, servers: tuple[World, World], dice: random.Random) -> None:
        self._servers = servers
        self._dice = dice
        self.signed_in: list[SignedIn] = []

    def something(self) -> Awaitable[object]:
        """Begins one call of any kind on any server."""
        world = self._dice.choice(self._servers)
        kinds: tuple[Callable[[World], Awaitable[object]], ...] = (self.sign_in, self.refresh, self.change_phone)
        return self._dice.choice(kinds)(world)

    async def sign_in(self, world: World) -> None:
        """Signs in, starting a new account where that is asked for."""
        challenge = await world.start(self._dice.choice(PHONES), Client(f"203.0.113.{self._dice.randrange(4)}"))
        answer = world.answer(challenge.challenge_id, start_new_account=self._dice.random() < 0.5)
        self.signed_in.append(await world.complete(answer))

    async def refresh(self, world: World) -> None:
        """Refreshes somebody's tokens."""
        token = self._dice.choice(self.signed_in).tokens.refresh_token
        await world.auth.use_cases.rotation.refresh(token, uuid4(), CALL)

    async def change_phone(self, world: World) -> None:
        """Gives somebody a phone that may be another's."""
        who = self._dice.choice(self.signed_in)
        session_id = who.session.session_id
        caller = Caller(who.user_id, "a token", FAR, session_id, frozenset({Role.MEMBER}))
        change = world.auth.use_cases.phone_change
        challenge_id = (await change.start(caller, self._dice.choice(PHONES), CALL)).challenge_id
        answer = PhoneAnswer(challenge_id, world.code_of(challenge_id, Purpose.PHONE_CHANGE), uuid4())
        await change.complete(caller, answer, CALL)


async def test_everything_at_once_on_two_servers_deadlocks_nowhere(world: World) -> None:
    postgres = await Postgres.connect(PostgresOptions(world.url))
    no_limits: dict[str, Any] = {
        "resend_wait": timedelta(),
        "sends_per_phone_day": 1_000,
        "phone_change_sign_in": timedelta(days=30),
    }
    limits = replace(world.options.sign_in.limits, **no_limits)
    changes: dict[str, Any] = {"limits": limits, "silence": SilenceLimits(silent=timedelta(days=1))}
    servers = (await world.with_sign_in(**changes), await world.with_sign_in(postgres, **changes))
    crowd = Crowd(servers, random.Random(7))
    for phone in PHONES[::2]:
        crowd.signed_in.append(await world.sign_in(phone))
    for _ in range(ROUNDS):
        world.clock.advance(timedelta(days=1))
        outcomes = await outcomes_of([crowd.something() for _ in range(CALLS_A_ROUND)])
        assert set(outcomes) <= EXPECTED
        assert "OK" in outcomes
    deadlocks = await world.read("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert [row["deadlocks"] for row in deadlocks] == [0]
    await postgres.close()
