from datetime import timedelta

import pytest

from svoykrug_server.kit.errors import InvalidFields
from tests.auth.world import CALL, OTHER_PHONE, PHONE, Client, World, outcomes_of, refusal_of

MINUTE = timedelta(minutes=1)


def numbers(count: int, first: int = 0) -> list[str]:
    return [f"+7999{first + number:07d}" for number in range(count)]


async def test_a_challenge_tells_its_expiry_the_resend_time_and_the_guesses_left(world: World) -> None:
    challenge = await world.start()
    now = world.clock.now()
    assert challenge.expire_time == now + 5 * MINUTE
    assert challenge.resend_time == now + MINUTE
    assert challenge.guesses_left == 5


async def test_a_known_number_gets_the_same_answer_as_an_unknown_one_as_supabase_js_784_did_not(world: World) -> None:
    await world.sign_in(PHONE)
    world.clock.advance(MINUTE)
    known, unknown = await world.start(PHONE), await world.start(OTHER_PHONE)
    assert (known.expire_time, known.resend_time, known.guesses_left) == (
        unknown.expire_time,
        unknown.resend_time,
        unknown.guesses_left,
    )
    assert len(known.challenge_id.bytes) == len(unknown.challenge_id.bytes)


async def test_a_start_reads_nothing_about_people_so_its_time_cannot_tell_who_is_known(world: World) -> None:
    await world.sign_in(PHONE)
    scans = (
        "SELECT coalesce(sum(seq_scan + idx_scan), 0)::int AS n FROM pg_stat_xact_user_tables WHERE relname = 'users'"
    )
    async with world.postgres.transaction() as tx:
        driver = await tx.driver()
        before = await driver.fetchval(scans)
        await world.auth.use_cases.codes._start(tx, OTHER_PHONE, CALL, None)
        assert await driver.fetchval(scans) == before


async def test_every_spelling_of_a_number_is_one_phone(world: World) -> None:
    await world.start("8 (999) 123-45-67")
    assert (await refusal_of(world.start("7999 123 45 67"))).reason == "RESEND_TOO_SOON"


async def test_what_is_no_phone_number_is_refused_by_the_name_of_its_field(world: World) -> None:
    with pytest.raises(InvalidFields) as refused:
        await world.start("hello, world")
    assert refused.value.violations[0].path == "phone"


async def test_a_second_code_waits_60_seconds_and_says_how_long(world: World) -> None:
    await world.start()
    world.clock.advance(timedelta(seconds=45))
    refused = await refusal_of(world.start())
    assert (refused.reason, refused.retry_after) == ("RESEND_TOO_SOON", timedelta(seconds=15))
    world.clock.advance(timedelta(seconds=15))
    await world.start()


async def test_a_resent_code_is_the_same_code_and_lives_no_longer(world: World) -> None:
    first = await world.start()
    world.clock.advance(MINUTE)
    again = await world.auth.use_cases.codes.resend(first.challenge_id, CALL)
    assert again.challenge_id == first.challenge_id
    assert again.expire_time == first.expire_time
    assert again.resend_time == world.clock.now() + MINUTE
    while await world.auth.sms_worker.send_due():
        pass
    codes = [message.code for message in world.phones.delivered]
    assert codes == [world.code_of(first.challenge_id)] * 2
    assert len({message.idempotency_key for message in world.phones.delivered}) == 2


async def test_a_code_is_not_resent_within_60_seconds(world: World) -> None:
    challenge = await world.start()
    refused = await refusal_of(world.auth.use_cases.codes.resend(challenge.challenge_id, CALL))
    assert (refused.reason, refused.retry_after) == ("RESEND_TOO_SOON", MINUTE)


async def test_a_challenge_that_is_over_is_not_resent(world: World) -> None:
    expired = await world.start()
    world.clock.advance(5 * MINUTE)
    used = await world.start()
    await world.complete(world.answer(used.challenge_id))
    world.clock.advance(MINUTE)
    for challenge in (expired, used):
        refused = await refusal_of(world.auth.use_cases.codes.resend(challenge.challenge_id, CALL))
        assert refused.reason == "CHALLENGE_OVER"


async def test_a_phone_gets_at_most_5_codes_a_day_as_supabase_auth_605_asked(world: World) -> None:
    challenge = await world.start()
    for _ in range(2):
        world.clock.advance(MINUTE)
        await world.auth.use_cases.codes.resend(challenge.challenge_id, CALL)
    for _ in range(2):
        world.clock.advance(MINUTE)
        await world.start()
    world.clock.advance(MINUTE)
    refused = await refusal_of(world.start())
    assert (refused.reason, refused.retry_after) == ("SIGN_IN_LIMITED", timedelta(days=1) - 5 * MINUTE)
    world.clock.advance(timedelta(days=1) - 5 * MINUTE)
    await world.start()


async def test_another_address_does_not_get_a_phone_more_codes(world: World) -> None:
    for number in range(5):
        await world.start(call=Client(f"203.0.113.{number}"))
        world.clock.advance(MINUTE)
    assert (await refusal_of(world.start(call=Client("203.0.113.99")))).reason == "SIGN_IN_LIMITED"


async def test_of_ten_starts_at_once_for_one_phone_one_sends(world: World) -> None:
    outcomes = await outcomes_of(world.start() for _ in range(10))
    assert sorted(outcomes) == ["OK"] + ["RESEND_TOO_SOON"] * 9
    assert len(await world.read("SELECT FROM sms_messages")) == 1


async def test_bots_that_verify_no_code_get_30_sends_an_hour_as_nhost_3062_learned(world: World) -> None:
    for phone in numbers(30):
        await world.start(phone)
    refused = await refusal_of(world.start(numbers(1, 30)[0]))
    assert (refused.reason, refused.retry_after) == ("SIGN_IN_LIMITED", timedelta(hours=1))
    await world.start(numbers(1, 30)[0], Client("198.51.100.1"))


async def test_an_address_whose_codes_come_back_right_is_not_slowed_at_30(world: World) -> None:
    for number, phone in enumerate(numbers(32)):
        challenge = await world.start(phone)
        if number % 2 == 0:
            await world.complete(world.answer(challenge.challenge_id))
    await world.start(numbers(1, 40)[0])


async def test_an_address_gets_at_most_300_sends_an_hour_however_well_it_behaves(world: World) -> None:
    rows = [(number, world.clock.now() - timedelta(minutes=30)) for number in range(299)]
    async with world.postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.executemany(
            "INSERT INTO auth_code_sends (challenge_id, phone, address, send_time, verified) "
            "VALUES (gen_random_uuid(), '+7800' || $1::int, '203.0.113.7', $2, true)",
            rows,
        )
    await world.start()
    refused = await refusal_of(world.start(OTHER_PHONE))
    assert (refused.reason, refused.retry_after) == ("SIGN_IN_LIMITED", timedelta(minutes=30))


async def test_starts_at_once_do_not_slip_past_the_limit_of_their_address(world: World) -> None:
    for phone in numbers(25):
        await world.start(phone)
    outcomes = await outcomes_of(world.start(phone) for phone in numbers(10, 100))
    assert outcomes.count("OK") == 5
    assert outcomes.count("SIGN_IN_LIMITED") == 5


async def test_limits_hold_across_servers_and_restarts(world: World) -> None:
    await world.start()
    another = await world.another_server()
    assert (await refusal_of(another.use_cases.codes.start(PHONE, CALL))).reason == "RESEND_TOO_SOON"


async def test_the_database_holds_no_code(world: World) -> None:
    challenge = await world.start()
    code = world.code_of(challenge.challenge_id)
    for table in ("auth_challenges", "auth_code_sends", "sms_messages", "audit_events"):
        for row in await world.read(f"SELECT t::text AS text FROM {table} t"):  # noqa: S608  names of ours
            assert code not in row["text"].replace(str(challenge.challenge_id), "")
