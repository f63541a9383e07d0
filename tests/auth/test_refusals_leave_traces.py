"""What a refusal must leave is committed though the call fails: read back by a connection of its own each time."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from uuid import uuid4

import pytest

from svoykrug_server.auth.model import Purpose
from svoykrug_server.auth.phone_change import PhoneAnswer
from tests.auth.world import CALL, OTHER_PHONE, PHONE, World, outcomes_of, refusal_of

MINUTE = timedelta(minutes=1)
NEW_PHONE = "+79161112233"

Attack = Callable[[World], Awaitable[str]]
"""Gets itself refused, and returns the reason."""


async def execute(world: World, statement: str) -> None:
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute(statement)


async def a_wrong_code(world: World) -> str:
    return (await refusal_of(world.guess_wrong((await world.start()).challenge_id))).reason


async def one_guess_too_many(world: World) -> str:
    challenge_id = (await world.start()).challenge_id
    return max(await outcomes_of([world.guess_wrong(challenge_id) for _ in range(6)]))


async def a_banned_persons_right_code(world: World) -> str:
    await world.sign_in()
    await execute(world, "UPDATE users SET status = 'banned'")
    world.clock.advance(MINUTE)
    return (await refusal_of(world.complete(world.answer((await world.start()).challenge_id)))).reason


async def a_wrong_birth_date(world: World) -> str:
    await world.sign_in()
    await execute(world, "UPDATE users SET birth_date = '1988-03-08'")
    world.clock.advance(timedelta(days=180))
    answer = world.answer((await world.start()).challenge_id, birth_date=date(1980, 1, 1))
    return (await refusal_of(world.complete(answer))).reason


async def a_wrong_code_of_a_change(world: World) -> str:
    caller = await world.caller_of(await world.sign_in())
    change = world.auth.use_cases.phone_change
    challenge_id = (await change.start(caller, NEW_PHONE, CALL)).challenge_id
    code = f"{(int(world.code_of(challenge_id, Purpose.PHONE_CHANGE)) + 1) % 10**6:06d}"
    return (await refusal_of(change.complete(caller, PhoneAnswer(challenge_id, code, uuid4()), CALL))).reason


async def a_change_to_a_taken_phone(world: World) -> str:
    await world.sign_in(OTHER_PHONE)
    caller = await world.caller_of(await world.sign_in())
    world.clock.advance(MINUTE)
    change = world.auth.use_cases.phone_change
    challenge_id = (await change.start(caller, OTHER_PHONE, CALL)).challenge_id
    answer = PhoneAnswer(challenge_id, world.code_of(challenge_id, Purpose.PHONE_CHANGE), uuid4())
    return (await refusal_of(change.complete(caller, answer, CALL))).reason


async def a_demo_phone_that_is_somebodys(world: World) -> str:
    await world.sign_in()
    expire_time = world.clock.now() + MINUTE
    return (await refusal_of(world.auth.admin.demo_phones.put(PHONE, "424242", expire_time, CALL))).reason


GUESSES = "SELECT FROM auth_wrong_guesses"
AUDITED = "SELECT FROM audit_events WHERE result = 'refused' AND action = '{}'"
USED_UP = "SELECT FROM auth_challenges WHERE consume_time IS NOT NULL AND session_id IS NULL AND revoked_count IS NULL"


@pytest.mark.parametrize(
    ("attack", "reason", "traces"),
    [
        (a_wrong_code, "CODE_WRONG", [(GUESSES, 1), ("SELECT FROM auth_challenges WHERE wrong_guess_count = 1", 1)]),
        (one_guess_too_many, "GUESSES_EXHAUSTED", [(GUESSES, 5), (AUDITED.format("CODE_GUESSES_EXHAUSTED"), 1)]),
        (a_banned_persons_right_code, "USER_BANNED", [(USED_UP, 1), (AUDITED.format("USER_BANNED"), 1)]),
        (
            a_wrong_birth_date,
            "BIRTH_DATE_WRONG",
            [(GUESSES, 1), ("SELECT FROM auth_wrong_birth_dates", 1), (AUDITED.format("BIRTH_DATE_WRONG"), 1)],
        ),
        (a_wrong_code_of_a_change, "CODE_WRONG", [(f"{GUESSES} WHERE phone = '{NEW_PHONE}'", 1)]),
        (a_change_to_a_taken_phone, "PHONE_TAKEN", [(USED_UP, 1), (AUDITED.format("PHONE_CHANGED"), 1)]),
        (a_demo_phone_that_is_somebodys, "PHONE_TAKEN", [(AUDITED.format("DEMO_PHONE_SET"), 1)]),
    ],
)
async def test_a_refusal_is_written_though_it_is_raised(
    world: World, attack: Attack, reason: str, traces: list[tuple[str, int]]
) -> None:
    assert await attack(world) == reason
    assert [len(await world.read(query)) for query, _ in traces] == [count for _, count in traces]
