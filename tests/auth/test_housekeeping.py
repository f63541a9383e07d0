from datetime import timedelta
from uuid import uuid4

from tests.auth.world import CALL, PHONE, World, refusal_of

TABLES = (
    "auth_challenges",
    "auth_code_sends",
    "auth_wrong_guesses",
    "auth_sessions",
    "auth_revocations",
    "sms_messages",
)


async def test_nothing_that_still_counts_is_forgotten(world: World) -> None:
    challenge = await world.start()
    await refusal_of(world.guess_wrong(challenge.challenge_id))
    signed_in = await world.sign_in()
    await world.auth.use_cases.sessions.sign_out(await world.caller_of(signed_in), CALL)
    assert await world.auth.housekeeping.forget() == 0


async def test_a_phone_is_not_kept_a_week_after_its_last_code(world: World) -> None:
    challenge = await world.start()
    await refusal_of(world.guess_wrong(challenge.challenge_id))
    await world.auth.sms_worker.send_due()
    world.clock.advance(timedelta(days=8))
    assert await world.auth.housekeeping.forget() == 5
    for table in TABLES:
        assert not [row for row in await world.read(f"SELECT t::text FROM {table} t") if PHONE in row["t"]]  # noqa: S608  names of ours


async def test_a_dead_session_is_forgotten_only_after_an_old_token_could_still_come_back(world: World) -> None:
    signed_in = await world.sign_in()
    await world.auth.use_cases.sessions.sign_out(await world.caller_of(signed_in), CALL)
    world.clock.advance(timedelta(days=29))
    await world.auth.housekeeping.forget()
    refreshing = world.auth.use_cases.rotation.refresh(signed_in.tokens.refresh_token, uuid4(), CALL)
    assert (await refusal_of(refreshing)).reason == "SESSION_REVOKED"
    world.clock.advance(timedelta(days=9))
    await world.auth.housekeeping.forget()
    for table in TABLES:
        assert not await world.read(f"SELECT FROM {table}")


async def test_a_wrong_birth_date_is_forgotten_once_it_counts_for_nothing(world: World) -> None:
    signed_in = await world.sign_in()
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute(
            "INSERT INTO auth_wrong_birth_dates (user_id, guess_time) VALUES ($1, $2)",
            signed_in.user_id,
            world.clock.now(),
        )
    world.clock.advance(timedelta(days=30))
    await world.auth.housekeeping.forget()
    assert len(await world.read("SELECT FROM auth_wrong_birth_dates")) == 1
    world.clock.advance(timedelta(hours=2))
    await world.auth.housekeeping.forget()
    assert await world.read("SELECT FROM auth_wrong_birth_dates") == []
