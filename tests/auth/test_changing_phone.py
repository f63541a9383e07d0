"""A person takes another phone as her own."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from svoykrug_server.auth.model import ChallengeView, Purpose, SignedIn
from svoykrug_server.auth.phone_change import PhoneAnswer, PhoneChanged
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import InvalidFields
from tests.auth.world import CALL, OTHER_PHONE, PHONE, World, outcomes_of, refusal_of

MINUTE = timedelta(minutes=1)
NEW_PHONE = "+79161112233"


async def member(world: World, phone: str = PHONE) -> tuple[SignedIn, Caller]:
    signed_in = await world.sign_in(phone)
    return signed_in, await world.caller_of(signed_in)


async def begin(world: World, caller: Caller, phone: str = NEW_PHONE) -> ChallengeView:
    world.clock.advance(MINUTE)
    return await world.auth.use_cases.phone_change.start(caller, phone, CALL)


def right(world: World, challenge_id: UUID) -> PhoneAnswer:
    return PhoneAnswer(challenge_id, world.code_of(challenge_id, Purpose.PHONE_CHANGE), uuid4())


def wrong(world: World, challenge_id: UUID) -> PhoneAnswer:
    answer = right(world, challenge_id)
    return replace(answer, code=f"{(int(answer.code) + 1) % 10**6:06d}")


async def finish(world: World, caller: Caller, answer: PhoneAnswer) -> PhoneChanged:
    return await world.auth.use_cases.phone_change.complete(caller, answer, CALL)


async def phone_of(world: World, user_id: UUID) -> str | None:
    (row,) = await world.read("SELECT phone FROM users WHERE id = $1", user_id)
    phone: str | None = row["phone"]
    return phone


async def test_the_right_code_makes_the_new_phone_hers(world: World) -> None:
    signed_in, caller = await member(world)
    changed = await finish(world, caller, right(world, (await begin(world, caller)).challenge_id))
    assert (changed.phone, changed.revoked_count) == (NEW_PHONE, 0)
    assert await phone_of(world, signed_in.user_id) == NEW_PHONE
    assert (await world.sign_in(NEW_PHONE)).user_id == signed_in.user_id
    assert (await world.sign_in(PHONE)).user_id != signed_in.user_id


async def test_a_token_of_an_old_sign_in_changes_no_phone_until_she_signs_in_again(world: World) -> None:
    signed_in, caller = await member(world)
    world.clock.advance(10 * MINUTE)
    refused = await refusal_of(begin(world, caller))
    assert refused.reason == "SIGN_IN_NOT_RECENT"
    assert await world.read("SELECT FROM auth_challenges WHERE phone = $1", NEW_PHONE) == []
    (event,) = await world.audited("PHONE_CHANGED")
    assert (event["result"], event["target_id"]) == ("refused", str(signed_in.user_id))
    _, fresh = await member(world)
    await finish(world, fresh, right(world, (await begin(world, fresh)).challenge_id))
    assert await phone_of(world, signed_in.user_id) == NEW_PHONE


async def test_a_refresh_is_no_sign_in(world: World) -> None:
    signed_in, _ = await member(world)
    world.clock.advance(10 * MINUTE)
    tokens = await world.auth.use_cases.rotation.refresh(signed_in.tokens.refresh_token, uuid4(), CALL)
    caller = await world.auth.verifier.verify(tokens.access_token)
    assert (await refusal_of(begin(world, caller))).reason == "SIGN_IN_NOT_RECENT"


async def test_the_code_goes_to_the_new_phone_and_the_notice_to_the_old_one(world: World) -> None:
    _, caller = await member(world)
    challenge = await begin(world, caller)
    await finish(world, caller, right(world, challenge.challenge_id))
    while await world.auth.sms_worker.send_due():
        pass
    sent = {(message.phone, message.code) for message in world.phones.delivered}
    assert (NEW_PHONE, world.code_of(challenge.challenge_id, Purpose.PHONE_CHANGE)) in sent
    assert (PHONE, None) in sent
    assert (NEW_PHONE, None) not in sent


async def test_her_other_sessions_end_and_the_one_that_asks_goes_on(world: World) -> None:
    other = await world.sign_in()
    signed_in, caller = await member(world)
    changed = await finish(world, caller, right(world, (await begin(world, caller)).challenge_id))
    assert changed.revoked_count == 1
    rows = await world.read("SELECT session_id, revoke_reason FROM auth_sessions")
    assert {row["session_id"]: row["revoke_reason"] for row in rows} == {
        other.session.session_id: "phone_changed",
        signed_in.session.session_id: None,
    }
    assert other.session.session_id in world.auth.revocations._by_grant


async def test_a_change_is_audited_without_a_phone(world: World) -> None:
    signed_in, caller = await member(world)
    await finish(world, caller, right(world, (await begin(world, caller)).challenge_id))
    (event,) = await world.audited("PHONE_CHANGED")
    assert (event["actor_id"], event["target_id"], event["result"]) == (
        signed_in.user_id,
        str(signed_in.user_id),
        "done",
    )
    texts = [row["text"] for row in await world.read("SELECT e::text AS text FROM audit_events e")]
    assert not [text for text in texts if PHONE in text or NEW_PHONE in text]


async def test_only_the_right_code_tells_that_a_phone_is_taken(world: World) -> None:
    await world.sign_in(OTHER_PHONE)
    signed_in, caller = await member(world)
    challenge = await begin(world, caller, OTHER_PHONE)
    free = await begin(world, caller, NEW_PHONE)
    assert (challenge.guesses_left, challenge.expire_time + MINUTE) == (free.guesses_left, free.expire_time)
    assert (await refusal_of(finish(world, caller, wrong(world, challenge.challenge_id)))).reason == "CODE_WRONG"
    assert (await refusal_of(finish(world, caller, right(world, challenge.challenge_id)))).reason == "PHONE_TAKEN"
    assert (await refusal_of(finish(world, caller, right(world, challenge.challenge_id)))).reason == "CHALLENGE_OVER"
    assert await phone_of(world, signed_in.user_id) == PHONE
    assert [event["result"] for event in await world.audited("PHONE_CHANGED")] == ["refused"]


async def test_the_phone_of_a_member_brought_by_a_partner_is_taken_too(world: World) -> None:
    statement = (
        "INSERT INTO users (id, phone, status, create_time, update_time) VALUES ($1, $2, 'unclaimed', now(), now())"
    )
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute(statement, uuid4(), OTHER_PHONE)
    _, caller = await member(world)
    challenge = await begin(world, caller, OTHER_PHONE)
    assert (await refusal_of(finish(world, caller, right(world, challenge.challenge_id)))).reason == "PHONE_TAKEN"


async def test_the_code_of_a_sign_in_completes_no_change(world: World) -> None:
    _, caller = await member(world)
    challenge = await world.start(NEW_PHONE)
    for purpose in Purpose:
        answer = PhoneAnswer(challenge.challenge_id, world.code_of(challenge.challenge_id, purpose), uuid4())
        assert (await refusal_of(finish(world, caller, answer))).reason == "CHALLENGE_OVER"


async def test_the_code_of_a_change_completes_no_sign_in(world: World) -> None:
    _, caller = await member(world)
    challenge = await begin(world, caller)
    for purpose in Purpose:
        answer = world.answer(challenge.challenge_id, code=world.code_of(challenge.challenge_id, purpose))
        assert (await refusal_of(world.complete(answer))).reason == "CHALLENGE_OVER"


async def test_the_codes_of_both_purposes_differ_for_one_challenge(world: World) -> None:
    challenges = [uuid4() for _ in range(20)]
    codes = [(world.code_of(each), world.code_of(each, Purpose.PHONE_CHANGE)) for each in challenges]
    assert [pair for pair in codes if pair[0] != pair[1]]


async def test_a_challenge_that_somebody_else_started_is_over(world: World) -> None:
    _, caller = await member(world)
    _, stranger = await member(world, OTHER_PHONE)
    challenge = await begin(world, caller)
    answer = right(world, challenge.challenge_id)
    assert (await refusal_of(finish(world, stranger, answer))).reason == "CHALLENGE_OVER"
    await finish(world, caller, answer)


async def test_the_phone_she_has_is_refused_by_the_name_of_its_field(world: World) -> None:
    _, caller = await member(world)
    refused = await refusal_of(world.auth.use_cases.phone_change.start(caller, "8 999 123-45-67", CALL))
    assert isinstance(refused, InvalidFields)
    assert refused.violations[0].path == "phone"


async def test_a_change_is_under_the_limits_of_a_sign_in(world: World) -> None:
    _, caller = await member(world)
    await world.start(NEW_PHONE)
    refused = await refusal_of(world.auth.use_cases.phone_change.start(caller, NEW_PHONE, CALL))
    assert refused.reason == "RESEND_TOO_SOON"


async def test_the_code_of_a_change_is_sent_again(world: World) -> None:
    _, caller = await member(world)
    challenge = await begin(world, caller)
    world.clock.advance(MINUTE)
    assert (await world.auth.use_cases.codes.resend(challenge.challenge_id, CALL)).expire_time == challenge.expire_time
    await finish(world, caller, right(world, challenge.challenge_id))


async def test_a_repeat_gets_the_first_answer(world: World) -> None:
    await world.sign_in()
    _, caller = await member(world)
    answer = right(world, (await begin(world, caller)).challenge_id)
    first, again = await finish(world, caller, answer), await finish(world, caller, answer)
    assert (again.phone, again.revoked_count) == (first.phone, first.revoked_count) == (NEW_PHONE, 1)
    assert len(await world.audited("PHONE_CHANGED")) == 1


async def test_of_8_parallel_right_codes_of_a_change_exactly_one_wins_as_kratos_tests(world: World) -> None:
    _, caller = await member(world)
    challenge = await begin(world, caller)
    outcomes = await outcomes_of(finish(world, caller, right(world, challenge.challenge_id)) for _ in range(8))
    assert sorted(outcomes) == ["CHALLENGE_OVER"] * 7 + ["OK"]


async def test_of_50_parallel_wrong_codes_of_a_change_5_are_judged_as_kratos_tests(world: World) -> None:
    _, caller = await member(world)
    challenge = await begin(world, caller)
    outcomes = await outcomes_of(finish(world, caller, wrong(world, challenge.challenge_id)) for _ in range(50))
    assert (outcomes.count("CODE_WRONG"), outcomes.count("GUESSES_EXHAUSTED")) == (5, 45)
    (row,) = await world.read(
        "SELECT wrong_guess_count FROM auth_challenges WHERE challenge_id = $1", challenge.challenge_id
    )
    assert row["wrong_guess_count"] == 5
    assert len(await world.read("SELECT FROM auth_wrong_guesses WHERE phone = $1", NEW_PHONE)) == 5
    assert len(await world.audited("CODE_GUESSES_EXHAUSTED")) == 1


async def test_wrong_codes_of_sign_in_and_change_count_against_one_phone(world: World) -> None:
    _, caller = await member(world)
    change = await begin(world, caller)
    world.clock.advance(MINUTE)
    sign_in = await world.start(NEW_PHONE)
    for _ in range(5):
        await refusal_of(finish(world, caller, wrong(world, change.challenge_id)))
        await refusal_of(world.guess_wrong(sign_in.challenge_id))
    world.clock.advance(MINUTE)
    fresh = await begin(world, caller)
    assert (await refusal_of(finish(world, caller, right(world, fresh.challenge_id)))).reason == "SIGN_IN_LIMITED"


async def test_two_people_who_want_one_phone_at_once_do_not_both_get_it(world: World) -> None:
    _, one = await member(world)
    _, two = await member(world, OTHER_PHONE)
    first = await begin(world, one)
    second = await begin(world, two)
    outcomes = await outcomes_of(
        [
            finish(world, one, right(world, first.challenge_id)),
            finish(world, two, right(world, second.challenge_id)),
        ]
    )
    assert sorted(outcomes) == ["OK", "PHONE_TAKEN"]


@pytest.mark.parametrize("status", ["banned", "deleted"])
async def test_whoever_was_shut_out_a_moment_ago_keeps_her_number(world: World, status: str) -> None:
    signed_in, caller = await member(world)
    answer = right(world, (await begin(world, caller)).challenge_id)
    async with world.postgres.transaction() as tx:
        shut_out = "UPDATE users SET status = $2 WHERE id = $1"
        await (await tx.driver()).execute(shut_out, signed_in.user_id, status)
    assert (await refusal_of(finish(world, caller, answer))).reason == "PERMISSION_DENIED"
    assert await phone_of(world, signed_in.user_id) == PHONE
