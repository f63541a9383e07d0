"""A number that was silent for 180 days may have a new owner: the code alone opens no account."""

import json
from datetime import date, timedelta
from secrets import randbelow
from uuid import UUID, uuid4

import pytest

from svoykrug_server.auth.model import SignedIn
from svoykrug_server.kit.account import RevokeReason
from svoykrug_server.users.number_bans import NumberBans
from tests.auth.world import CALL, CONSENTS, OTHER_PHONE, PHONE, World, outcomes_of, refusal_of

DAY = timedelta(days=1)
SILENT = 180 * DAY
BIRTH_DATE = date(1988, 3, 8)
WRONG_DATE = date(1988, 3, 9)


async def execute(world: World, statement: str, *parameters: object) -> None:
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute(statement, *parameters)


async def member(world: World, birth_date: date | None = BIRTH_DATE) -> SignedIn:
    """A member who signed in once, a moment ago."""
    signed_in = await world.sign_in()
    await execute(world, "UPDATE users SET birth_date = $2 WHERE id = $1", signed_in.user_id, birth_date)
    return signed_in


async def silent_member(world: World, birth_date: date | None = BIRTH_DATE) -> SignedIn:
    """A member who signed in once, 180 days ago."""
    signed_in = await member(world, birth_date)
    world.clock.advance(SILENT)
    return signed_in


async def challenge_of(world: World, phone: str = PHONE) -> UUID:
    world.clock.advance(timedelta(seconds=61))
    return (await world.start(phone)).challenge_id


async def phone_of(world: World, user_id: UUID) -> str | None:
    (row,) = await world.read("SELECT phone FROM users WHERE id = $1", user_id)
    phone: str | None = row["phone"]
    return phone


async def test_a_code_alone_opens_no_account_that_was_silent_for_180_days(world: World) -> None:
    await silent_member(world)
    refused = await refusal_of(world.complete(world.answer(await challenge_of(world))))
    assert (refused.reason, refused.metadata) == ("ACCOUNT_PROOF_REQUIRED", {"birth_date_known": "true"})


async def test_a_day_less_is_no_silence(world: World) -> None:
    known = await member(world)
    world.clock.advance(SILENT - DAY)
    assert (await world.sign_in()).user_id == known.user_id


async def test_the_birth_date_opens_the_account_with_the_same_code(world: World) -> None:
    known = await silent_member(world)
    challenge_id = await challenge_of(world)
    await refusal_of(world.complete(world.answer(challenge_id)))
    back = await world.complete(world.answer(challenge_id, birth_date=BIRTH_DATE, consents=()))
    assert (back.user_id, back.new_user) == (known.user_id, False)
    assert (await world.sign_in()).user_id == known.user_id


async def test_without_a_known_birth_date_only_a_new_account_can_be_started(world: World) -> None:
    await silent_member(world, birth_date=None)
    challenge_id = await challenge_of(world)
    for told in (None, BIRTH_DATE):
        refused = await refusal_of(world.complete(world.answer(challenge_id, birth_date=told)))
        assert (refused.reason, refused.metadata) == ("ACCOUNT_PROOF_REQUIRED", {"birth_date_known": "false"})


async def test_a_wrong_birth_date_counts_against_challenge_phone_and_account(world: World) -> None:
    known = await silent_member(world)
    challenge_id = await challenge_of(world)
    refused = await refusal_of(world.complete(world.answer(challenge_id, birth_date=WRONG_DATE)))
    assert (refused.reason, refused.metadata) == ("BIRTH_DATE_WRONG", {"guesses_left": "2"})
    (row,) = await world.read("SELECT wrong_guess_count FROM auth_challenges WHERE challenge_id = $1", challenge_id)
    assert row["wrong_guess_count"] == 1
    assert len(await world.read("SELECT FROM auth_wrong_guesses WHERE phone = $1", PHONE)) == 1
    assert len(await world.read("SELECT FROM auth_wrong_birth_dates WHERE user_id = $1", known.user_id)) == 1
    (event,) = await world.audited("BIRTH_DATE_WRONG")
    assert (event["result"], event["target_id"], event["details"]) == ("refused", str(known.user_id), "{}")


async def test_guesses_left_are_the_fewest_of_both_limits(world: World) -> None:
    await silent_member(world)
    challenge_id = await challenge_of(world)
    for _ in range(3):
        await refusal_of(world.guess_wrong(challenge_id))
    left = []
    for _ in range(2):
        refused = await refusal_of(world.complete(world.answer(challenge_id, birth_date=WRONG_DATE)))
        left.append(refused.metadata["guesses_left"])
    assert left == ["1", "0"]
    refused = await refusal_of(world.complete(world.answer(challenge_id, birth_date=BIRTH_DATE)))
    assert refused.reason == "GUESSES_EXHAUSTED"


async def test_after_three_wrong_birth_dates_the_right_one_opens_nothing_for_30_days(world: World) -> None:
    known = await silent_member(world)
    challenge_id = await challenge_of(world)
    outcomes = await outcomes_of(world.complete(world.answer(challenge_id, birth_date=WRONG_DATE)) for _ in range(3))
    assert outcomes == ["BIRTH_DATE_WRONG"] * 3
    refused = await refusal_of(world.complete(world.answer(challenge_id, birth_date=BIRTH_DATE)))
    assert (refused.reason, refused.metadata) == ("ACCOUNT_PROOF_REQUIRED", {"birth_date_known": "false"})
    world.clock.advance(29 * DAY)
    late = world.answer(await challenge_of(world), birth_date=BIRTH_DATE)
    assert (await refusal_of(world.complete(late))).reason == "ACCOUNT_PROOF_REQUIRED"
    world.clock.advance(DAY)
    back = await world.complete(world.answer(await challenge_of(world), birth_date=BIRTH_DATE))
    assert back.user_id == known.user_id


async def test_of_20_parallel_wrong_birth_dates_three_are_judged(world: World) -> None:
    known = await silent_member(world)
    challenge_id = await challenge_of(world)
    outcomes = await outcomes_of(world.complete(world.answer(challenge_id, birth_date=WRONG_DATE)) for _ in range(20))
    assert outcomes.count("BIRTH_DATE_WRONG") == 3
    assert outcomes.count("ACCOUNT_PROOF_REQUIRED") == 17
    assert len(await world.read("SELECT FROM auth_wrong_birth_dates WHERE user_id = $1", known.user_id)) == 3


async def test_a_new_account_takes_the_number_and_leaves_the_old_one_what_it_has(world: World) -> None:
    known = await silent_member(world)
    anew = await world.complete(world.answer(await challenge_of(world), start_new_account=True))
    assert anew.new_user
    assert anew.user_id != known.user_id
    assert await phone_of(world, known.user_id) is None
    assert await phone_of(world, anew.user_id) == PHONE
    links = await world.read("SELECT DISTINCT member_id FROM member_links")
    assert len(links) == 2
    (old,) = await world.read("SELECT status, birth_date FROM users WHERE id = $1", known.user_id)
    assert (old["status"], old["birth_date"]) == ("active", BIRTH_DATE)
    events = await world.audited("NUMBER_RECYCLED")
    assert {event["target_id"] for event in events} == {str(known.user_id), str(anew.user_id)}
    assert {event["actor_id"] for event in events} == {anew.user_id}


async def test_who_is_given_another_phone_is_silent_no_more(world: World) -> None:
    known = await silent_member(world, birth_date=None)
    await world.complete(world.answer(await challenge_of(world), start_new_account=True))
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE users SET phone = $2 WHERE id = $1", known.user_id, OTHER_PHONE)
        await world.auth.ends.end(tx, known.user_id, RevokeReason.PHONE_CHANGED)
    assert (await world.sign_in(OTHER_PHONE)).user_id == known.user_id


async def test_the_sessions_of_the_former_owner_end(world: World) -> None:
    """Only with settings that let a session live longer than a silence; then all the more."""
    known = await silent_member(world)
    await execute(world, "UPDATE auth_sessions SET rotate_time = $1", world.clock.now())
    await world.complete(world.answer(await challenge_of(world), start_new_account=True))
    (row,) = await world.read("SELECT revoke_reason FROM auth_sessions WHERE user_id = $1", known.user_id)
    assert row["revoke_reason"] == "number_recycled"
    refused = await refusal_of(world.auth.use_cases.rotation.refresh(known.tokens.refresh_token, uuid4(), CALL))
    assert refused.reason in {"SESSION_REVOKED", "REFRESH_TOKEN_INVALID"}


async def test_a_new_account_is_the_answer_of_a_repeat_too(world: World) -> None:
    await silent_member(world)
    answer = world.answer(await challenge_of(world), start_new_account=True)
    first, again = await world.complete(answer), await world.complete(answer)
    assert (again.user_id, again.tokens.refresh_token) == (first.user_id, first.tokens.refresh_token)
    assert again.new_user
    assert len(await world.read("SELECT FROM users")) == 2


async def test_of_8_parallel_new_accounts_one_is_made(world: World) -> None:
    await silent_member(world)
    challenge_id = await challenge_of(world)
    outcomes = await outcomes_of(world.complete(world.answer(challenge_id, start_new_account=True)) for _ in range(8))
    assert sorted(outcomes) == ["CHALLENGE_OVER"] * 7 + ["OK"]
    assert len(await world.read("SELECT FROM users")) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"consents": ()}, "CONSENT_REQUIRED"), ({"referral_code": "NOBODY99"}, "REFERRAL_INVALID")],
)
async def test_a_refused_new_account_leaves_everything_as_it_was(
    world: World, changes: dict[str, object], reason: str
) -> None:
    known = await silent_member(world)
    challenge_id = await challenge_of(world)
    refused = await refusal_of(world.complete(world.answer(challenge_id, start_new_account=True, **changes)))
    assert refused.reason == reason
    assert await phone_of(world, known.user_id) == PHONE
    assert await world.audited("NUMBER_RECYCLED") == []
    assert (await world.complete(world.answer(challenge_id, birth_date=BIRTH_DATE))).user_id == known.user_id


async def test_who_was_seen_needs_neither_and_can_start_no_second_account(world: World) -> None:
    known = await member(world)
    answer = world.answer(await challenge_of(world), start_new_account=True, birth_date=WRONG_DATE)
    assert (await world.complete(answer)).user_id == known.user_id


async def test_a_ban_is_not_escaped_by_a_new_account(world: World) -> None:
    known = await silent_member(world)
    await execute(world, "UPDATE users SET status = 'banned'")
    answer = world.answer(await challenge_of(world), start_new_account=True)
    assert (await refusal_of(world.complete(answer))).reason == "USER_BANNED"
    assert await phone_of(world, known.user_id) == PHONE


async def brought(world: World, ago: timedelta, *, bought: timedelta | None = None) -> UUID:
    """A member whom a partner brought, and who bought something there, so long ago."""
    user_id, member_id = uuid4(), randbelow(2**62) + 1
    statement = "INSERT INTO users (id, phone, status, create_time, update_time) VALUES ($1, $2, 'unclaimed', $3, $3)"
    await execute(world, statement, user_id, OTHER_PHONE, world.clock.now() - ago)
    await execute(world, "INSERT INTO member_links (user_id, member_id) VALUES ($1, $2)", user_id, member_id)
    if bought is not None:
        entry = (
            "INSERT INTO purchase_entries (entry_id, purchase_id, business_id, member_id, outbox_id, amount_minor, "
            "purchase_time, kind, sensitive, currency_code, external_id) "
            "VALUES ($1, $1, $1, $2, 1, 100, $3, 1, true, 'RUB', 'receipt')"
        )
        await execute(world, entry, uuid4(), member_id, world.clock.now() - bought)
    return user_id


@pytest.mark.parametrize(
    ("ago", "bought"), [(SILENT - DAY, None), (2 * SILENT, SILENT - DAY), (DAY, DAY)], ids=["brought", "buys", "new"]
)
async def test_an_unclaimed_member_whom_a_partner_saw_lately_is_claimed(
    world: World, ago: timedelta, bought: timedelta | None
) -> None:
    user_id = await brought(world, ago, bought=bought)
    assert (await world.sign_in(OTHER_PHONE)).user_id == user_id


@pytest.mark.parametrize(
    ("ago", "bought"), [(2 * SILENT, None), (DAY, 2 * SILENT)], ids=["brought long ago", "old purchases imported"]
)
async def test_what_somebody_bought_long_ago_is_not_for_whoever_has_her_number_now(
    world: World, ago: timedelta, bought: timedelta | None
) -> None:
    user_id = await brought(world, ago, bought=bought)
    challenge_id = await challenge_of(world, OTHER_PHONE)
    refused = await refusal_of(world.complete(world.answer(challenge_id)))
    assert (refused.reason, refused.metadata) == ("ACCOUNT_PROOF_REQUIRED", {"birth_date_known": "false"})
    anew = await world.complete(world.answer(challenge_id, start_new_account=True))
    assert (anew.new_user, anew.user_id == user_id) == (True, False)
    assert await phone_of(world, user_id) is None
    (old,) = await world.read("SELECT status FROM users WHERE id = $1", user_id)
    assert old["status"] == "unclaimed"


async def test_an_unclaimed_member_whose_birth_date_an_admin_knows_proves_it(world: World) -> None:
    user_id = await brought(world, 2 * SILENT)
    await execute(world, "UPDATE users SET birth_date = $2 WHERE id = $1", user_id, BIRTH_DATE)
    challenge_id = await challenge_of(world, OTHER_PHONE)
    refused = await refusal_of(world.complete(world.answer(challenge_id)))
    assert refused.metadata == {"birth_date_known": "true"}
    claimed = await world.complete(world.answer(challenge_id, birth_date=BIRTH_DATE))
    assert (claimed.user_id, claimed.new_user) == (user_id, True)


async def test_a_ban_that_outlived_its_account_keeps_the_number_out_whoever_has_it_now(world: World) -> None:
    banned_id = uuid4()
    async with world.postgres.transaction() as tx:
        await NumberBans(world.secrets, 180 * DAY).add(tx, banned_id, OTHER_PHONE, world.clock.now())
    await brought(world, DAY)
    challenge_id = await challenge_of(world, OTHER_PHONE)
    assert (await refusal_of(world.complete(world.answer(challenge_id)))).reason == "USER_BANNED"
    assert (await refusal_of(world.complete(world.answer(challenge_id)))).reason == "CHALLENGE_OVER"
    (event,) = await world.audited("USER_BANNED")
    assert (event["result"], json.loads(event["details"])) == ("refused", {"user_id": str(banned_id)})
    world.clock.advance(180 * DAY)
    challenge_id = await challenge_of(world, OTHER_PHONE)
    assert (await world.complete(world.answer(challenge_id, start_new_account=True))).new_user


async def test_who_is_banned_after_she_deleted_her_account_cannot_sign_in_to_restore_it(world: World) -> None:
    known = await member(world)
    await execute(world, "UPDATE users SET status = 'deleted' WHERE id = $1", known.user_id)
    assert (await world.sign_in()).user_id == known.user_id
    async with world.postgres.transaction() as tx:
        await NumberBans(world.secrets, 180 * DAY).add(tx, known.user_id, PHONE, world.clock.now())
    assert (await refusal_of(world.sign_in())).reason == "USER_BANNED"


async def test_who_got_a_banned_number_from_an_admin_signs_in_with_it(world: World) -> None:
    known = await member(world)
    async with world.postgres.transaction() as tx:
        await NumberBans(world.secrets, 180 * DAY).add(tx, uuid4(), PHONE, world.clock.now())
    for status in ("active", "deleted"):
        await execute(world, "UPDATE users SET status = $2 WHERE id = $1", known.user_id, status)
        assert (await world.sign_in()).user_id == known.user_id


async def test_a_refresh_shows_that_she_is_there_once_a_day(world: World) -> None:
    signed_in = await member(world)
    token, seen = signed_in.tokens.refresh_token, []
    for _ in range(4):
        world.clock.advance(DAY / 2)
        token = (await world.auth.use_cases.rotation.refresh(token, uuid4(), CALL)).refresh_token
        (row,) = await world.read("SELECT seen_time FROM auth_last_seen WHERE user_id = $1", signed_in.user_id)
        seen.append(world.clock.now() - row["seen_time"])
    assert seen == [DAY / 2, timedelta(), DAY / 2, timedelta()]


async def test_a_silence_begins_with_the_last_refresh_though_its_session_is_long_forgotten(world: World) -> None:
    signed_in = await member(world)
    world.clock.advance(20 * DAY)
    await world.auth.use_cases.rotation.refresh(signed_in.tokens.refresh_token, uuid4(), CALL)
    world.clock.advance(SILENT - DAY)
    await world.auth.housekeeping.forget()
    assert await world.read("SELECT FROM auth_sessions") == []
    assert (await world.sign_in()).user_id == signed_in.user_id


async def test_nothing_of_a_birth_date_is_audited(world: World) -> None:
    await silent_member(world)
    await refusal_of(world.complete(world.answer(await challenge_of(world), birth_date=WRONG_DATE)))
    texts = [row["text"] for row in await world.read("SELECT e::text AS text FROM audit_events e")]
    assert not [text for text in texts if "1988" in text]


async def test_who_lost_her_number_keeps_her_consents(world: World) -> None:
    known = await silent_member(world)
    await world.complete(world.answer(await challenge_of(world), start_new_account=True))
    rows = await world.read("SELECT kind FROM user_consents WHERE user_id = $1", known.user_id)
    assert {row["kind"] for row in rows} == {consent.kind for consent in CONSENTS}
