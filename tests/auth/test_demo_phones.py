"""Phones with a fixed code and no SMS, for the reviewers of app stores."""

from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from svoykrug_server.auth.demo_phones import DemoPhones
from svoykrug_server.auth.model import DemoPhone
from svoykrug_server.auth.phone_change import PhoneAnswer
from svoykrug_server.kit.errors import InvalidFields
from tests.auth.world import CALL, OTHER_PHONE, PHONE, Client, World, outcomes_of, refusal_of

CODE = "424242"
WRONG = "424243"
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def demo_phones(world: World) -> DemoPhones:
    return world.auth.admin.demo_phones


async def put(world: World, phone: str = PHONE, code: str = CODE, days: int = 30) -> DemoPhone:
    return await demo_phones(world).put(phone, code, world.clock.now() + days * DAY, CALL)


async def test_the_fixed_code_signs_in_as_supabase_auth_483_asked(world: World) -> None:
    await put(world)
    challenge = await world.start()
    signed_in = await world.complete(world.answer(challenge.challenge_id, code=CODE))
    again = await world.complete(world.answer((await world.start()).challenge_id, code=CODE))
    assert signed_in.new_user
    assert again.user_id == signed_in.user_id


async def test_no_sms_is_queued_and_no_send_is_counted(world: World) -> None:
    await put(world)
    challenge = await world.start()
    await world.auth.use_cases.codes.resend(challenge.challenge_id, CALL)
    for table in ("sms_messages", "auth_code_sends", "auth_prefix_minutes"):
        assert await world.read(f"SELECT FROM {table}") == []


async def test_the_limits_on_sends_do_not_hold_as_supabase_cli_3656_needed(world: World) -> None:
    await put(world)
    assert await outcomes_of(world.start() for _ in range(40)) == ["OK"] * 40


async def test_of_challenges_without_end_the_last_20_are_kept(world: World) -> None:
    await put(world)
    first = await world.start()
    for _ in range(30):
        world.clock.advance(timedelta(seconds=1))
        last = await world.start()
    assert len(await world.read("SELECT FROM auth_challenges")) == 20
    assert (await refusal_of(world.complete(world.answer(first.challenge_id, code=CODE)))).reason == "CHALLENGE_OVER"
    assert (await world.complete(world.answer(last.challenge_id, code=CODE))).new_user


async def test_the_limits_on_guesses_hold(world: World) -> None:
    await put(world)
    challenge_id = (await world.start()).challenge_id
    outcomes = await outcomes_of(world.complete(world.answer(challenge_id, code=WRONG)) for _ in range(50))
    assert (outcomes.count("CODE_WRONG"), outcomes.count("GUESSES_EXHAUSTED")) == (5, 45)
    other_id = (await world.start()).challenge_id
    await outcomes_of(world.complete(world.answer(other_id, code=WRONG)) for _ in range(5))
    fresh = world.answer((await world.start()).challenge_id, code=CODE)
    assert (await refusal_of(world.complete(fresh))).reason == "SIGN_IN_LIMITED"


async def test_a_derived_code_is_no_code_of_a_demo_phone(world: World) -> None:
    await put(world)
    challenge_id = (await world.start()).challenge_id
    assert (await refusal_of(world.complete(world.answer(challenge_id)))).reason == "CODE_WRONG"


async def test_its_start_is_answered_like_any_other(world: World) -> None:
    await put(world)
    demo, real = await world.start(PHONE), await world.start(OTHER_PHONE)
    assert (demo.expire_time, demo.resend_time, demo.guesses_left) == (
        real.expire_time,
        real.resend_time,
        real.guesses_left,
    )


async def test_a_demo_user_has_no_member_link_and_can_have_no_role(world: World) -> None:
    await put(world)
    signed_in = await world.complete(world.answer((await world.start()).challenge_id, code=CODE))
    assert await world.read("SELECT FROM member_links") == []
    (row,) = await world.read("SELECT demo, roles FROM users WHERE id = $1", signed_in.user_id)
    assert (row["demo"], row["roles"]) == (True, ["member"])
    connection = await asyncpg.connect(world.url)
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("UPDATE users SET roles = '{member,admin}' WHERE id = $1", signed_in.user_id)
    await connection.close()


async def test_the_code_is_kept_as_a_keyed_hash_and_audited_nowhere(world: World) -> None:
    await put(world)
    (row,) = await world.read("SELECT d::text AS text, code_hash FROM auth_demo_phones d")
    assert len(row["code_hash"]) == 32
    assert CODE not in row["text"]
    (event,) = await world.audited("DEMO_PHONE_SET")
    assert PHONE not in str(dict(event))
    assert CODE not in str(dict(event))


async def test_a_real_users_phone_is_refused_and_the_refusal_audited(world: World) -> None:
    known = await world.sign_in()
    assert (await refusal_of(put(world))).reason == "PHONE_TAKEN"
    (event,) = await world.audited("DEMO_PHONE_SET")
    assert (event["result"], event["target_id"]) == ("refused", str(known.user_id))
    assert await demo_phones(world).listed() == ()


async def bring(world: World) -> None:
    """Does what a partner's batch does: makes an unclaimed member with the phone."""
    statement = (
        "INSERT INTO users (id, phone, status, create_time, update_time) VALUES ($1, $2, 'unclaimed', now(), now())"
    )
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute(statement, uuid4(), PHONE)


async def test_a_member_brought_by_a_partner_is_a_real_user(world: World) -> None:
    await bring(world)
    assert (await refusal_of(put(world))).reason == "PHONE_TAKEN"


async def test_a_partner_who_brings_the_phone_later_gets_no_member_that_the_fixed_code_opens(world: World) -> None:
    await put(world)
    await bring(world)
    answer = world.answer((await world.start()).challenge_id, code=CODE)
    assert (await refusal_of(world.complete(answer))).reason == "CHALLENGE_OVER"


@pytest.mark.parametrize("life", [timedelta(), -DAY, 90 * DAY + timedelta(microseconds=1)])
async def test_a_life_of_none_or_over_90_days_is_refused_by_the_name_of_its_field(
    world: World, life: timedelta
) -> None:
    refused = await refusal_of(demo_phones(world).put(PHONE, CODE, world.clock.now() + life, CALL))
    assert isinstance(refused, InvalidFields)
    assert refused.violations[0].path == "expire_time"


async def test_set_twice_it_is_one_demo_phone_with_the_last_code(world: World) -> None:
    first = await put(world)
    world.clock.advance(MINUTE)
    second = await put(world, code="111111", days=60)
    assert second.create_time == first.create_time
    assert await demo_phones(world).listed() == (second,)
    await world.complete(world.answer((await world.start()).challenge_id, code="111111"))


async def test_codes_that_are_out_end_when_a_phone_becomes_a_demo_phone(world: World) -> None:
    challenge = await world.start()
    await put(world)
    assert (await refusal_of(world.complete(world.answer(challenge.challenge_id)))).reason == "CHALLENGE_OVER"


async def test_an_expired_code_is_worth_nothing_and_the_next_start_sends_an_sms(world: World) -> None:
    await put(world, days=1)
    world.clock.advance(DAY - MINUTE)
    challenge = await world.start()
    world.clock.advance(MINUTE)
    answer = world.answer(challenge.challenge_id, code=CODE)
    assert (await refusal_of(world.complete(answer))).reason == "CODE_WRONG"
    await world.start()
    assert len(await world.read("SELECT FROM sms_messages")) == 1


async def test_the_numbers_real_owner_gets_an_account_of_her_own_once_it_has_expired(world: World) -> None:
    await put(world, days=1)
    demo = await world.complete(world.answer((await world.start()).challenge_id, code=CODE))
    world.clock.advance(DAY)
    real = await world.sign_in()
    assert real.new_user
    assert real.user_id != demo.user_id
    rows = await world.read("SELECT id, phone, demo FROM users")
    assert {row["id"]: (row["phone"], row["demo"]) for row in rows} == {
        demo.user_id: (None, True),
        real.user_id: (PHONE, False),
    }


async def test_taken_away_its_users_sessions_end_and_the_number_is_free(world: World) -> None:
    await put(world)
    demo = await world.complete(world.answer((await world.start()).challenge_id, code=CODE))
    await demo_phones(world).remove("8 999 123-45-67", CALL)
    (row,) = await world.read("SELECT revoke_reason FROM auth_sessions WHERE user_id = $1", demo.user_id)
    assert row["revoke_reason"] == "demo_ended"
    assert demo.session.session_id in world.auth.revocations._by_grant
    assert (await world.sign_in()).user_id != demo.user_id
    assert len(await world.audited("DEMO_PHONE_REMOVED")) == 1
    await demo_phones(world).remove(PHONE, CALL)
    assert len(await world.audited("DEMO_PHONE_REMOVED")) == 1


async def test_a_demo_user_is_never_asked_for_a_birth_date(world: World) -> None:
    await put(world, days=89)
    first = await world.complete(world.answer((await world.start()).challenge_id, code=CODE))
    for _ in range(3):
        world.clock.advance(70 * DAY)
        await put(world, days=89)
    answer = world.answer((await world.start()).challenge_id, code=CODE)
    assert (await world.complete(answer)).user_id == first.user_id


async def test_a_demo_phone_is_nobodys_new_phone(world: World) -> None:
    await put(world, OTHER_PHONE)
    caller = await world.caller_of(await world.sign_in())
    change = world.auth.use_cases.phone_change
    challenge = await change.start(caller, OTHER_PHONE, CALL)
    refused = await refusal_of(change.complete(caller, PhoneAnswer(challenge.challenge_id, CODE, uuid4()), CALL))
    assert refused.reason == "PHONE_TAKEN"


async def test_any_address_may_use_it(world: World) -> None:
    await put(world)
    for number in range(3):
        challenge = await world.start(call=Client(f"198.51.100.{number}"))
        await world.complete(world.answer(challenge.challenge_id, code=CODE))
