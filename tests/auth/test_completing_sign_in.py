import asyncio
from datetime import timedelta
from uuid import uuid4

from svoykrug_server.kit.account import ConsentGrant
from tests.auth.world import CALL, OTHER_PHONE, PHONE, World, outcomes_of, refusal_of

MINUTE = timedelta(minutes=1)


async def test_the_right_code_opens_a_session_of_a_new_member(world: World) -> None:
    signed_in = await world.sign_in()
    caller = await world.caller_of(signed_in)
    assert signed_in.new_user
    assert caller.subject_id == signed_in.user_id
    assert caller.session_id == signed_in.session.session_id
    assert signed_in.session.device_name == "iPhone 17"
    assert signed_in.tokens.access_expire_time == world.clock.now() + timedelta(minutes=15)
    assert signed_in.tokens.refresh_expire_time == world.clock.now() + timedelta(days=30)


async def test_the_second_sign_in_is_the_same_user_and_needs_no_consents(world: World) -> None:
    first = await world.sign_in()
    world.clock.advance(MINUTE)
    again = await world.complete(world.answer((await world.start()).challenge_id, consents=()))
    assert again.user_id == first.user_id
    assert not again.new_user
    assert again.session.session_id != first.session.session_id


async def test_a_member_brought_by_a_partner_is_claimed_by_her_first_sign_in(world: World) -> None:
    async with world.postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.execute(
            "INSERT INTO users (id, phone, status, create_time, update_time) "
            "VALUES ($1, $2, 'unclaimed', now(), now())",
            (user_id := uuid4()),
            PHONE,
        )
    signed_in = await world.sign_in()
    assert signed_in.user_id == user_id
    assert signed_in.new_user


async def test_missing_consents_are_named_and_the_code_stays_good(world: World) -> None:
    challenge = await world.start()
    marketing = (ConsentGrant("marketing", "1", True),)
    refused = await refusal_of(world.complete(world.answer(challenge.challenge_id, consents=marketing)))
    assert refused.reason == "CONSENT_REQUIRED"
    assert refused.metadata["missing"] == "terms,personal_data"
    assert (await world.complete(world.answer(challenge.challenge_id))).new_user


async def test_a_referral_code_of_nobody_is_refused_and_the_code_stays_good(world: World) -> None:
    challenge = await world.start()
    refused = await refusal_of(world.complete(world.answer(challenge.challenge_id, referral_code="NOBODY99")))
    assert refused.reason == "REFERRAL_INVALID"
    await world.complete(world.answer(challenge.challenge_id))


async def test_only_the_right_code_tells_whether_a_number_is_known(world: World) -> None:
    await world.sign_in(PHONE)
    world.clock.advance(MINUTE)
    for phone in (PHONE, OTHER_PHONE):
        challenge = await world.start(phone)
        wrong = world.answer(challenge.challenge_id, code=world.wrong_code_of(challenge.challenge_id), consents=())
        assert (await refusal_of(world.complete(wrong))).reason == "CODE_WRONG"


async def test_who_is_banned_learns_it_after_the_right_code_which_is_used_up(world: World) -> None:
    await world.sign_in()
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE users SET status = 'banned'")
    world.clock.advance(MINUTE)
    challenge = await world.start()
    assert (await refusal_of(world.complete(world.answer(challenge.challenge_id)))).reason == "USER_BANNED"
    assert (await refusal_of(world.complete(world.answer(challenge.challenge_id)))).reason == "CHALLENGE_OVER"
    assert [row["result"] for row in await world.audited("USER_BANNED")] == ["refused"]


async def test_who_deleted_her_account_signs_in_without_rights_and_is_told_when_she_will_be_erased(
    world: World,
) -> None:
    signed_in = await world.sign_in()
    erase_time = world.clock.now() + timedelta(days=30)
    async with world.postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.execute("UPDATE users SET status = 'deleted'")
        await driver.execute(
            "INSERT INTO erasures (id, user_id, state, request_time, erase_time, next_attempt_time) "
            "VALUES (gen_random_uuid(), $1, 'scheduled', $2, $2, $2)",
            signed_in.user_id,
            erase_time,
        )
    again = await world.sign_in()
    assert again.erase_time == erase_time
    caller = await world.caller_of(again)
    assert (caller.deleted, caller.roles, caller.staff) == (True, frozenset(), {})


async def test_a_code_dies_after_5_minutes(world: World) -> None:
    challenge = await world.start()
    world.clock.advance(5 * MINUTE - timedelta(microseconds=1))
    late = world.answer(challenge.challenge_id, consents=())
    assert (await refusal_of(world.complete(late))).reason == "CONSENT_REQUIRED"
    world.clock.advance(timedelta(microseconds=1))
    assert (await refusal_of(world.complete(late))).reason == "CHALLENGE_OVER"


async def test_an_unknown_challenge_is_over(world: World) -> None:
    assert (await refusal_of(world.complete(world.answer(uuid4())))).reason == "CHALLENGE_OVER"


async def test_a_code_is_good_once(world: World) -> None:
    challenge = await world.start()
    await world.complete(world.answer(challenge.challenge_id))
    assert (await refusal_of(world.complete(world.answer(challenge.challenge_id)))).reason == "CHALLENGE_OVER"


async def test_of_8_parallel_right_answers_exactly_one_wins_as_kratos_tests(world: World) -> None:
    challenge = await world.start()
    outcomes = await outcomes_of(world.complete(world.answer(challenge.challenge_id)) for _ in range(8))
    assert sorted(outcomes) == ["CHALLENGE_OVER"] * 7 + ["OK"]
    assert len(await world.read("SELECT FROM auth_sessions")) == 1


async def test_of_8_parallel_right_answers_on_two_servers_exactly_one_wins(world: World) -> None:
    another = await world.another_server()
    challenge = await world.start()
    answers = [world.answer(challenge.challenge_id) for _ in range(8)]
    here = [world.complete(answer) for answer in answers[:4]]
    there = [another.use_cases.completion.complete(answer, CALL) for answer in answers[4:]]
    assert sorted(await outcomes_of(here + there)) == ["CHALLENGE_OVER"] * 7 + ["OK"]


async def test_of_50_parallel_wrong_answers_at_most_5_are_judged_as_supabase_auth_2819_did_not(world: World) -> None:
    challenge = await world.start()
    outcomes = await outcomes_of(world.guess_wrong(challenge.challenge_id) for _ in range(50))
    assert outcomes.count("CODE_WRONG") == 5
    assert outcomes.count("GUESSES_EXHAUSTED") == 45
    rows = await world.read("SELECT wrong_guess_count FROM auth_challenges")
    assert [row["wrong_guess_count"] for row in rows] == [5]


async def test_a_wrong_guess_is_counted_though_the_call_fails(world: World) -> None:
    challenge = await world.start()
    refused = await refusal_of(world.guess_wrong(challenge.challenge_id))
    assert (refused.reason, refused.metadata["guesses_left"]) == ("CODE_WRONG", "4")
    rows = await world.read("SELECT wrong_guess_count FROM auth_challenges")
    assert [row["wrong_guess_count"] for row in rows] == [1]
    assert len(await world.read("SELECT FROM auth_wrong_guesses WHERE phone = $1", PHONE)) == 1


async def test_the_right_code_is_refused_after_5_wrong_ones_and_the_exhaustion_is_audited(world: World) -> None:
    challenge = await world.start()
    for left in ("4", "3", "2", "1", "0"):
        assert (await refusal_of(world.guess_wrong(challenge.challenge_id))).metadata["guesses_left"] == left
    refused = await refusal_of(world.complete(world.answer(challenge.challenge_id)))
    assert (refused.reason, refused.retry_after) == ("GUESSES_EXHAUSTED", MINUTE)
    assert [row["target_id"] for row in await world.audited("CODE_GUESSES_EXHAUSTED")] == [str(challenge.challenge_id)]


async def test_a_phone_bears_10_wrong_guesses_an_hour_over_all_its_challenges(world: World) -> None:
    for _ in range(2):
        challenge = await world.start()
        for _ in range(5):
            await refusal_of(world.guess_wrong(challenge.challenge_id))
        world.clock.advance(MINUTE)
    fresh = await world.start()
    refused = await refusal_of(world.complete(world.answer(fresh.challenge_id)))
    assert (refused.reason, refused.retry_after) == ("SIGN_IN_LIMITED", timedelta(hours=1) - 2 * MINUTE)
    world.clock.advance(timedelta(hours=1) - 2 * MINUTE)
    await world.complete(world.answer((await world.start()).challenge_id))


async def test_parallel_guesses_over_several_challenges_do_not_slip_past_10(world: World) -> None:
    challenges = []
    for _ in range(3):
        challenges.append((await world.start()).challenge_id)
        world.clock.advance(MINUTE)
    outcomes = await outcomes_of(world.guess_wrong(challenge) for challenge in challenges * 5)
    assert outcomes.count("CODE_WRONG") == 10
    assert outcomes.count("SIGN_IN_LIMITED") == 5


async def test_a_lost_answer_is_given_again_with_the_same_session_and_refresh_token(world: World) -> None:
    answer = world.answer((await world.start()).challenge_id)
    first = await world.complete(answer)
    world.clock.advance(MINUTE)
    again = await world.complete(answer)
    assert again.session == first.session
    assert again.tokens.refresh_token == first.tokens.refresh_token
    assert again.tokens.access_token != first.tokens.access_token
    assert again.new_user
    assert len(await world.read("SELECT FROM auth_sessions")) == 1


async def test_of_8_parallel_repeats_of_one_request_all_get_the_same_session(world: World) -> None:
    answer = world.answer((await world.start()).challenge_id)
    signed_in = await asyncio.gather(*(world.complete(answer) for _ in range(8)))
    assert len({done.tokens.refresh_token for done in signed_in}) == 1


async def test_a_repeat_with_a_wrong_code_is_a_wrong_guess(world: World) -> None:
    answer = world.answer((await world.start()).challenge_id)
    await world.complete(answer)
    wrong = world.answer(
        answer.challenge_id, request_id=answer.request_id, code=world.wrong_code_of(answer.challenge_id)
    )
    for _ in range(5):
        assert (await refusal_of(world.complete(wrong))).reason == "CODE_WRONG"
    assert (await refusal_of(world.complete(answer))).reason == "GUESSES_EXHAUSTED"


async def test_a_repeat_after_the_challenges_life_is_refused(world: World) -> None:
    answer = world.answer((await world.start()).challenge_id)
    await world.complete(answer)
    world.clock.advance(5 * MINUTE)
    assert (await refusal_of(world.complete(answer))).reason == "CHALLENGE_OVER"


async def test_a_repeat_after_the_token_was_rotated_gives_no_old_token_away(world: World) -> None:
    answer = world.answer((await world.start()).challenge_id)
    first = await world.complete(answer)
    await world.auth.use_cases.rotation.refresh(first.tokens.refresh_token, uuid4(), CALL)
    assert (await refusal_of(world.complete(answer))).reason == "CHALLENGE_OVER"


async def test_a_sign_in_is_audited_without_phone_or_code(world: World) -> None:
    signed_in = await world.sign_in()
    (row,) = await world.audited("SIGNED_IN")
    assert row["actor_id"] == signed_in.user_id
    assert row["target_id"] == str(signed_in.session.session_id)
    assert str(row["peer_address"]) == CALL.peer_address
    texts = [row["text"] for row in await world.read("SELECT e::text AS text FROM audit_events e")]
    assert not [text for text in texts if PHONE in text]


async def test_a_pepper_can_be_rotated_while_codes_are_out(world: World) -> None:
    before = await world.start(PHONE)
    rotated = world.with_newer_secrets()
    await rotated.auth.open()
    await rotated.complete(world.answer(before.challenge_id))
    after = await rotated.start(OTHER_PHONE)
    assert rotated.code_of(after.challenge_id) != world.code_of(after.challenge_id)
    await rotated.complete(rotated.answer(after.challenge_id))
