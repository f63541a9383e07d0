import asyncio
import io
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from unittest.mock import patch
from uuid import uuid4

import pytest
from rich.console import Console

from svoykrug_server.auth.codes import Codes
from svoykrug_server.auth.model import Challenge, Purpose
from svoykrug_server.auth.repository import challenges
from svoykrug_server.auth.sms.console import ConsoleSmsSender
from svoykrug_server.auth.sms.model import Fault, OutgoingSms, ProviderFailed, QueuedSms, SmsReceipt, Template
from svoykrug_server.auth.sms.queue import SmsQueue
from svoykrug_server.auth.sms.texts import text_of
from tests.auth.world import OTHER_PHONE, PHONE, Client, Phones, World, random_secrets, refusal_of
from tests.waiting import until


@pytest.mark.parametrize("locale", ["ru", "en"])
async def test_a_codes_message_ends_in_the_line_that_phones_fill_it_in_from(world: World, locale: str) -> None:
    challenge = await world.start(call=Client(locale=locale))
    assert await world.auth.sms_worker.send_due() == 1
    (message,) = world.phones.delivered
    code = world.code_of(challenge.challenge_id)
    assert message.phone == PHONE
    assert message.text.splitlines()[-1] == f"@svoykrug.localhost #{code}"
    assert message.text.startswith(code)


async def test_the_code_of_a_phone_change_and_the_notice_to_the_old_phone_are_sent(world: World) -> None:
    user_id, now = (await world.sign_in()).user_id, world.clock.now()
    await world.auth.sms_worker.send_due()
    codes, queue, life = Codes(world.secrets), SmsQueue(), timedelta(minutes=5)
    challenge = Challenge(
        uuid4(), OTHER_PHONE, codes.active_kid, now, now + life, purpose=Purpose.PHONE_CHANGE, user_id=user_id
    )
    async with world.postgres.transaction() as tx:
        await challenges.insert(tx, challenge)
        await queue.put_code(tx, challenge, 10**6, "en", now)
        await queue.put_phone_changed(tx, challenge.challenge_id, PHONE, "en", now)
        await queue.put_phone_changed(tx, challenge.challenge_id, PHONE, "en", now)
    assert await world.auth.sms_worker.send_due() == 2
    sent = {message.phone: message.text for message in world.phones.delivered[1:]}
    code = codes.derive(challenge.challenge_id, challenge.pepper_kid, Purpose.PHONE_CHANGE)
    assert sent[OTHER_PHONE].startswith(f"{code} is your Svoy Krug code to change your phone number.")
    assert sent[PHONE].startswith("Svoy Krug: your account has another phone number now.")


@pytest.mark.parametrize("template", list(Template))
@pytest.mark.parametrize("locale", ["ru", "en"])
def test_every_message_has_a_text_in_both_languages(template: Template, locale: str) -> None:
    assert "{" not in text_of(template, locale, code="123456", host="example.org")


async def test_a_refused_start_sends_nothing(world: World) -> None:
    await world.start()
    await refusal_of(world.start())
    assert await world.auth.sms_worker.send_due() == 1
    assert await world.auth.sms_worker.send_due() == 0


async def test_the_queue_wakes_the_worker_and_the_message_leaves(world: World) -> None:
    working = asyncio.create_task(world.auth.sms_worker.run())
    await world.start()
    await until(lambda: len(world.phones.delivered) == 1)
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def test_a_message_that_another_server_queued_leaves_too(world: World) -> None:
    another = await world.another_server()
    await world.start()
    await another.sms_worker.send_due()
    assert len(world.phones.delivered) == 1


async def test_of_five_workers_one_sends_a_message(world: World) -> None:
    await world.start()
    workers = [(await world.another_server()).sms_worker for _ in range(5)]
    assert sum(await asyncio.gather(*(worker.send_due() for worker in workers))) == 1
    assert len(world.phones.delivered) == 1


async def test_a_failed_message_is_tried_again_later_and_later_with_the_same_key(world: World) -> None:
    await world.start()
    world.phones.failures = [ProviderFailed("overloaded", Fault.PASSING) for _ in range(3)]
    for wait_seconds in (1, 2, 4):
        assert await world.auth.sms_worker.send_due() == 1
        world.clock.advance(timedelta(seconds=wait_seconds, microseconds=-1))
        assert await world.auth.sms_worker.send_due() == 0
        world.clock.advance(timedelta(microseconds=1))
    assert await world.auth.sms_worker.send_due() == 1
    (row,) = await world.read("SELECT * FROM sms_messages")
    assert (row["state"], row["attempt_count"], row["failure"], row["provider"]) == ("sent", 4, None, "test")
    assert [message.idempotency_key for message in world.phones.delivered] == [row["message_id"].hex]


@pytest.mark.parametrize(
    ("fault", "attempts"), [(Fault.PASSING, 6), (Fault.ACCOUNT, 6), (Fault.HERE, 1), (Fault.MESSAGE, 1)]
)
async def test_a_message_is_given_up_after_6_rounds_or_a_refusal(world: World, fault: Fault, attempts: int) -> None:
    await world.start()
    world.phones.failures = [ProviderFailed("number_refused", fault) for _ in range(10)]
    for _ in range(10):
        await world.auth.sms_worker.send_due()
        world.clock.advance(timedelta(seconds=20))
    (row,) = await world.read("SELECT * FROM sms_messages")
    assert (row["state"], row["attempt_count"], row["failure"]) == ("failed", attempts, "number_refused")


async def test_a_code_that_died_in_the_queue_is_not_sent(world: World) -> None:
    await world.start()
    world.clock.advance(timedelta(minutes=5))
    await world.auth.sms_worker.send_due()
    assert not world.phones.delivered
    assert [row["state"] for row in await world.read("SELECT state FROM sms_messages")] == ["expired"]


async def test_a_worker_that_died_between_handing_over_and_marking_leaves_the_message_to_the_next(world: World) -> None:
    await world.start()
    handed_over = asyncio.Event()
    deliver = world.phones.send

    async def deliver_and_hang(message: OutgoingSms) -> SmsReceipt:
        await deliver(message)
        handed_over.set()
        return await asyncio.Event().wait()  # type: ignore[return-value]  # it never returns

    with patch.object(Phones, "send", lambda _, message: deliver_and_hang(message)):
        dying = asyncio.create_task(world.auth.sms_worker.send_due())
        await handed_over.wait()
        dying.cancel()
        with suppress(asyncio.CancelledError):
            await dying
    assert await world.auth.sms_worker.send_due() == 0
    world.clock.advance(timedelta(seconds=30))
    assert await world.auth.sms_worker.send_due() == 1
    first, second = world.phones.delivered
    assert first == second


async def test_a_message_whose_workers_die_again_and_again_is_given_up(world: World) -> None:
    await world.start()
    connection = await world.postgres.dedicated()
    await connection.execute("UPDATE sms_messages SET attempt_count = 6")
    await connection.close()
    await world.auth.sms_worker.send_due()
    assert not world.phones.delivered
    (row,) = await world.read("SELECT * FROM sms_messages")
    assert (row["state"], row["failure"]) == ("failed", "abandoned")


async def test_a_message_that_a_provider_keeps_waiting_holds_up_no_other(world: World) -> None:
    waiting = asyncio.Event()
    deliver = world.phones.send

    async def deliver_the_second(message: OutgoingSms) -> SmsReceipt:
        if message.phone == PHONE:
            await waiting.wait()
        return await deliver(message)

    with patch.object(Phones, "send", lambda _, message: deliver_the_second(message)):
        working = asyncio.create_task(world.auth.sms_worker.run())
        await world.start(PHONE)
        await until(lambda: bool(waiting._waiters))
        await world.start(OTHER_PHONE)
        await until(lambda: [message.phone for message in world.phones.delivered] == [OTHER_PHONE])
        waiting.set()
        await until(lambda: len(world.phones.delivered) == 2)
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def test_the_console_shows_the_code_so_that_nobody_can_miss_it() -> None:
    shown = io.StringIO()
    sender = ConsoleSmsSender(Console(file=shown, width=80))
    receipt = await sender.send(OutgoingSms("key", PHONE, "a text\n\n@host #123456", "123456"))
    assert "1 2 3 4 5 6" in shown.getvalue()
    assert PHONE in shown.getvalue()
    assert receipt.provider == "console"


def test_exactly_a_codes_message_names_a_challenge(world: World) -> None:
    for template, challenge_id in ((Template.SIGN_IN_CODE, None), (Template.SESSION_COMPROMISED, uuid4())):
        with pytest.raises(ValueError, match="challenge"):
            QueuedSms(uuid4(), "key", PHONE, template, challenge_id, "ru", world.clock.now())


def test_a_code_has_six_digits_each_as_likely_as_the_other() -> None:
    codes = Codes(random_secrets())
    texts = [codes.derive(uuid4(), codes.active_kid) or "" for _ in range(20_000)]
    assert all(len(text) == 6 and text.isascii() and text.isdigit() for text in texts)
    for position in range(6):
        counts = [sum(text[position] == digit for text in texts) for digit in "0123456789"]
        assert sum((count - 2000) ** 2 / 2000 for count in counts) < 40  # chi-square of 9 degrees: p < 1e-5


def test_a_code_of_an_unknown_pepper_matches_nothing() -> None:
    codes = Codes(random_secrets())
    assert codes.derive(uuid4(), "9") is None
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert not codes.matches("", Challenge(uuid4(), PHONE, "9", now, now))


def test_nothing_secret_shows_when_a_message_is_printed() -> None:
    shown = repr(OutgoingSms("key", PHONE, "text 123456", "123456"))
    assert "123456" not in shown
    assert PHONE not in shown


@pytest.mark.parametrize("ticks", range(4))
async def test_who_waits_for_messages_ends_when_cancelled_though_one_comes_in_the_same_moment(ticks: int) -> None:
    queue = SmsQueue()
    waiting = asyncio.create_task(queue.wait(60.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    queue.wake()
    for _ in range(ticks):
        await asyncio.sleep(0)
    if waiting.cancel():
        with pytest.raises(asyncio.CancelledError):
            await waiting
