"""From the queue by a provider to the phone: which way a message takes, and what is known of it afterwards."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import pytest
import structlog
from aiohttp import web

from svoykrug_server.auth.sms.receipts import LONGEST_QUEST, STATUS_WAITS
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.rpc.logs import configure_logging
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from tests.auth.cable import Cable
from tests.auth.sms_providers import API_KEY, silence, status
from tests.auth.sms_world import SmsWorld, sms_world_on
from tests.auth.world import OTHER_PHONE, PHONE
from tests.waiting import until


@pytest.fixture
async def sms(postgres: Postgres, postgres_url: str, clock: ManualClock) -> AsyncIterator[SmsWorld]:
    """SMS on a fresh Postgres."""
    async with sms_world_on(postgres, postgres_url, clock) as world:
        yield world


async def test_a_message_that_the_first_provider_takes_is_seen_by_no_other(sms: SmsWorld) -> None:
    await sms.sent()
    row = await sms.message()
    assert (row["state"], row["provider"], row["provider_message_id"]) == ("sent", "smsru", "000000-10000001")
    assert await sms.attempts() == [("smsru", "taken")]
    assert not sms.smsc.received


@pytest.mark.parametrize(("code", "kind"), [(201, "no_money"), (200, "key_refused"), (215, "number_stopped")])
async def test_no_money_no_key_and_a_stop_list_send_a_message_by_the_next_provider(
    sms: SmsWorld, code: int, kind: str
) -> None:
    sms.smsru.codes = [code]
    await sms.sent()
    row = await sms.message()
    assert (row["state"], row["provider"], row["provider_message_id"]) == ("sent", "smsc", row["message_id"].hex)
    assert await sms.attempts() == [("smsru", kind), ("smsc", "taken")]


async def test_a_refused_number_is_not_tried_again_anywhere(sms: SmsWorld) -> None:
    sms.smsru.codes = [202]
    await sms.sent()
    sms.clock.advance(timedelta(minutes=1))
    assert await sms.worker.send_due() == 0
    row = await sms.message()
    assert (row["state"], row["failure"], row["next_status_time"]) == ("failed", "number_refused", None)
    assert not sms.smsc.received


async def test_every_round_asks_with_the_same_id(sms: SmsWorld) -> None:
    sms.smsru.trouble = [status(503) for _ in range(3)]
    sms.smsc.codes = [9, 9]
    await sms.put()
    for _ in range(3):
        assert await sms.worker.send_due() == 1
        sms.clock.advance(timedelta(seconds=4))
    row = await sms.message()
    assert (row["state"], row["provider"], row["attempt_count"]) == ("sent", "smsc", 3)
    assert {received.form["id"] for received in sms.smsc.received} == {row["message_id"].hex}
    assert len(sms.smsc.received) == 3


async def test_a_provider_that_takes_messages_without_saying_so_sends_her_two_at_most(sms: SmsWorld) -> None:
    sms.smsru.trouble = [silence for _ in range(10)]
    sms.smsc.trouble = [status(502) for _ in range(10)]
    await sms.sent()
    for _ in range(6):
        sms.clock.advance(timedelta(minutes=1))
        assert await sms.worker.send_due() == 0
    row = await sms.message()
    assert (row["state"], row["failure"], row["doubt_count"]) == ("failed", "http_502", 2)
    assert len(sms.smsru.received) + len(sms.smsc.received) == 2


async def test_a_lost_answer_and_a_clear_one_make_two_sms_and_no_more(sms: SmsWorld) -> None:
    sms.smsru.trouble = [silence]
    await sms.sent()
    row = await sms.message()
    assert (row["state"], row["provider"], row["doubt_count"]) == ("sent", "smsc", 1)
    assert await sms.attempts() == [("smsru", "timeout"), ("smsc", "taken")]


async def test_a_provider_is_asked_until_it_says_delivered(sms: SmsWorld) -> None:
    await sms.sent()
    await sms.pass_by(9)
    assert len(sms.smsru.received) == 1
    for wait, code, state in ((1, 100, "queued"), (30, 102, "sent"), (60, 103, "delivered")):
        sms.smsru.states["000000-10000001"] = code
        await sms.pass_by(wait)
        row = await sms.message()
        assert (row["delivery_state"], row["delivery_time"]) == (state, sms.clock.now())
    assert (await sms.message())["next_status_time"] is None
    await sms.pass_by(LONGEST_QUEST.total_seconds())
    assert len(sms.smsru.received) == 4
    assert sms.figure("sms_deliveries_total", provider="smsru", state="delivered") == 1
    assert sms.figure("sms_delivery_duration_seconds_sum", provider="smsru") == 100


async def test_a_message_that_will_not_arrive_says_why(sms: SmsWorld) -> None:
    await sms.sent()
    sms.smsru.states["000000-10000001"] = 106
    await sms.pass_by(10)
    row = await sms.message()
    assert (row["delivery_state"], row["delivery_failure"]) == ("undeliverable", "phone_error")
    assert row["next_status_time"] is None
    assert sms.figure("sms_deliveries_total", provider="smsru", state="undeliverable") == 1
    assert sms.figure("sms_delivery_duration_seconds_count", provider="smsru") is None


async def test_the_time_of_delivery_is_the_providers_where_it_says_one(sms: SmsWorld) -> None:
    sms.smsru.codes = [201]
    await sms.sent()
    sms.smsc.states[(await sms.message())["message_id"].hex] = 1
    await sms.pass_by(10)
    row = await sms.message()
    assert (row["delivery_state"], row["delivery_time"].timestamp()) == ("delivered", 1_795_000_000)


async def test_a_provider_that_is_away_is_asked_again_and_what_was_known_stays(sms: SmsWorld) -> None:
    await sms.sent()
    sms.smsru.states["000000-10000001"] = 102
    await sms.pass_by(10)
    sms.smsru.trouble = [status(503)]
    await sms.pass_by(30)
    row = await sms.message()
    assert row["delivery_state"] == "sent"
    assert row["next_status_time"] == sms.clock.now() + STATUS_WAITS[2]


async def test_a_provider_that_is_away_is_not_asked_about_message_after_message(sms: SmsWorld) -> None:
    for number in range(120):
        await sms.put(f"+7999123{number:04d}")
    while await sms.worker.send_due():
        sms.clock.advance(timedelta(microseconds=1))
    asked = len(sms.smsru.received)
    sms.smsru.trouble = [status(503)]
    await sms.pass_by(10)
    assert len(sms.smsru.received) == asked + 1
    waiting = await sms.read("SELECT DISTINCT next_status_time FROM sms_messages")
    assert [row["next_status_time"] for row in waiting] == [sms.clock.now() + STATUS_WAITS[1]]


async def test_after_a_day_nobody_is_asked_any_more(sms: SmsWorld) -> None:
    await sms.sent()
    for wait in [*STATUS_WAITS, *[STATUS_WAITS[-1]] * 11]:
        await sms.pass_by(wait.total_seconds())
    row = await sms.message()
    assert (row["delivery_state"], row["next_status_time"]) == ("unknown", None)
    assert sms.figure("sms_deliveries_total", provider="smsru", state="unknown") == 1
    asked = len(sms.smsru.received)
    await sms.pass_by(STATUS_WAITS[-1].total_seconds())
    assert len(sms.smsru.received) == asked == 1 + len(STATUS_WAITS) + 11


async def test_many_messages_are_asked_about_in_one_request(sms: SmsWorld) -> None:
    for number in range(30):
        await sms.put(f"+7999123{number:04d}")
    assert await sms.worker.send_due() == 30
    sms.clock.advance(STATUS_WAITS[0])
    assert await sms.receipts.ask_due() == 30
    assert len(sms.smsru.received) == 31
    states = await sms.read("SELECT DISTINCT delivery_state AS state FROM sms_messages")
    assert [row["state"] for row in states] == ["queued"]


async def test_of_two_servers_one_asks(sms: SmsWorld) -> None:
    await sms.sent()
    sms.clock.advance(STATUS_WAITS[0])
    assert sorted(await asyncio.gather(sms.receipts.ask_due(), sms.receipts.ask_due())) == [0, 1]


async def test_receipts_are_fetched_in_the_background(sms: SmsWorld) -> None:
    await sms.sent()
    sms.smsru.states["000000-10000001"] = 103
    sms.clock.advance(STATUS_WAITS[0])
    working = asyncio.create_task(sms.receipts.run())

    async def delivered() -> bool:
        return bool((await sms.message())["delivery_state"] == "delivered")

    await until(delivered)
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def test_a_message_on_its_way_is_finished_before_the_worker_stops(sms: SmsWorld) -> None:
    on_its_way, may_end = asyncio.Event(), asyncio.Event()

    async def late(_: web.Request) -> web.StreamResponse:
        on_its_way.set()
        await may_end.wait()
        return web.json_response({"status_code": 100, "sms": {PHONE[1:]: {"status_code": 100, "sms_id": "late"}}})

    sms.smsru.trouble = [late]
    working = asyncio.create_task(sms.worker.run())
    await sms.put()
    await on_its_way.wait()
    working.cancel()
    may_end.set()
    with suppress(asyncio.CancelledError):
        await working
    row = await sms.message()
    assert (row["state"], row["provider_message_id"]) == ("sent", "late")


async def test_a_message_whose_person_is_erased_while_it_goes_out_leaves_nothing_behind(sms: SmsWorld) -> None:
    async def erase(_: web.Request) -> web.StreamResponse:
        connection = await sms.postgres.dedicated()
        await connection.execute("DELETE FROM sms_messages")
        await connection.close()
        return web.json_response({"status_code": 100, "sms": {PHONE[1:]: {"status_code": 100, "sms_id": "late"}}})

    sms.smsru.trouble = [erase]
    await sms.sent()
    assert not await sms.read("SELECT FROM sms_messages")
    assert not await sms.attempts()


async def test_neither_sending_nor_asking_ends_when_postgres_goes_away(postgres_url: str, clock: ManualClock) -> None:
    stream = io.StringIO()
    configure_logging(human=False, level="WARNING", stream=stream)
    async with Cable(postgres_url).laid() as cable:
        postgres = await Postgres.connect(PostgresOptions(cable.url))
        async with sms_world_on(postgres, postgres_url, clock) as sms:
            jobs = [asyncio.create_task(job) for job in (sms.worker.run(), sms.receipts.run())]
            cable.cut()
            events = ("sms.queue_unavailable", "sms.receipts_unavailable")
            await until(lambda: all(event in stream.getvalue() for event in events))
            cable.mend()
            await sms.put()
            await until(lambda: bool(sms.smsru.states))
            for job in jobs:
                assert not job.done()
                job.cancel()
            await asyncio.wait(jobs)
        await postgres.close()
    structlog.reset_defaults()


async def test_nothing_of_a_person_and_no_key_is_logged_or_counted(sms: SmsWorld) -> None:
    stream = io.StringIO()
    configure_logging(human=False, level="DEBUG", stream=stream)
    sms.smsru.codes, sms.smsc.codes = [201, 202, 230], [6, 9]
    sms.smsru.trouble = [status(500), silence]
    for phone in (PHONE, OTHER_PHONE) * 4:
        await sms.put(phone)
        await sms.worker.send_due()
    sms.smsru.trouble = [status(500)]
    await sms.pass_by(10)
    structlog.reset_defaults()
    logged = stream.getvalue()
    assert "sms.provider_needs_a_person" in logged
    assert "sms.not_reported" in logged
    labels = "".join(str(sample.labels) for family in sms.registry.collect() for sample in family.samples)
    texts = {received.form["msg"] for received in sms.smsru.received if "msg" in received.form}
    for secret in (PHONE, PHONE[1:], OTHER_PHONE, OTHER_PHONE[1:], API_KEY, "127.0.0.1", *texts):
        assert secret not in logged
        assert secret not in labels
