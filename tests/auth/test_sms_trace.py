"""What support is told when somebody says that no code came."""

from collections.abc import AsyncIterator
from dataclasses import fields, replace
from datetime import timedelta
from uuid import UUID

import pytest
from svoykrug.auth.v1 import code_delivery_pb2 as pb

from svoykrug_server.auth.sms.convert import traced_to_proto
from svoykrug_server.auth.sms.model import Attempt, DeliveryState, Template, TracedSms
from svoykrug_server.auth.sms.trace import MOST_TRACED, CodeDeliveryTrace
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from tests.auth.sms_world import SmsWorld, sms_world_on
from tests.auth.world import OTHER_PHONE, PHONE, Client, World, refusal_of
from tests.callers import admin
from tests.users.people import accounts

ADMIN_ID = UUID(int=42)
SUPPORT = Client(caller=admin(ADMIN_ID))


@pytest.fixture
async def sms(postgres: Postgres, postgres_url: str, clock: ManualClock) -> AsyncIterator[SmsWorld]:
    """SMS on a fresh Postgres."""
    async with sms_world_on(postgres, postgres_url, clock) as world:
        yield world


async def test_a_trace_tells_every_attempt_and_what_became_of_the_message(sms: SmsWorld) -> None:
    sms.smsru.codes = [201]
    start = sms.clock.now()
    await sms.sent()
    sms.smsc.states[(await sms.message())["message_id"].hex] = 1
    await sms.pass_by(10)
    (traced,) = await sms.trace.trace("8 (999) 123-45-67", SUPPORT)
    assert traced.template is Template.SESSION_COMPROMISED
    assert (traced.state, traced.create_time, traced.end_time) == ("sent", start, start)
    assert traced.attempts == (Attempt("smsru", start, "no_money"), Attempt("smsc", start, "taken"))
    assert traced.delivery_state is DeliveryState.DELIVERED
    assert traced.delivery_time is not None
    assert (traced.failure, traced.verified) == ("", False)


async def test_a_trace_says_why_a_message_did_not_leave_or_arrive(sms: SmsWorld) -> None:
    sms.smsru.codes = [202]
    await sms.sent()
    for state in (105, 104):
        sms.clock.advance(timedelta(seconds=1))
        await sms.sent()
        sms.smsru.states[list(sms.smsru.states)[-1]] = state
    sms.clock.advance(timedelta(seconds=1))
    await sms.put()
    await sms.pass_by(10)
    traced = await sms.trace.trace(PHONE, SUPPORT)
    assert [(it.state, it.delivery_state, it.failure) for it in traced] == [
        ("queued", None, ""),
        ("sent", DeliveryState.EXPIRED, "expired"),
        ("sent", DeliveryState.UNDELIVERABLE, "deleted_by_operator"),
        ("failed", None, "number_refused"),
    ]


async def test_a_trace_says_whether_the_code_came_back_right_and_never_the_code(world: World) -> None:
    challenge = await world.start()
    await world.auth.sms_worker.send_due()
    trace = CodeDeliveryTrace(world.postgres, accounts(), world.clock)
    (before,) = await trace.trace(PHONE, SUPPORT)
    await world.complete(world.answer(challenge.challenge_id))
    (after,) = await trace.trace(PHONE, SUPPORT)
    assert (before.verified, after.verified) == (False, True)
    assert replace(before, verified=True) == after
    assert after.template is Template.SIGN_IN_CODE
    assert world.code_of(challenge.challenge_id) not in repr(after)


async def test_a_trace_goes_back_seven_days_and_a_hundred_messages(sms: SmsWorld) -> None:
    await sms.put()
    sms.clock.advance(timedelta(days=7))
    for _ in range(MOST_TRACED + 1):
        await sms.put()
    await sms.put(OTHER_PHONE)
    assert len(await sms.trace.trace(PHONE, SUPPORT)) == MOST_TRACED
    assert len(await sms.trace.trace(OTHER_PHONE, SUPPORT)) == 1
    sms.clock.advance(timedelta(days=7))
    assert await sms.trace.trace(PHONE, SUPPORT) == ()


async def test_who_asks_is_audited_with_her_id_and_never_her_phone(world: World) -> None:
    signed_in = await world.sign_in()
    trace = CodeDeliveryTrace(world.postgres, accounts(), world.clock)
    await trace.trace(PHONE, SUPPORT)
    world.clock.advance(timedelta(seconds=1))
    await trace.trace(OTHER_PHONE, SUPPORT)
    known, unknown = await world.audited("CODE_DELIVERY_TRACED")
    assert (known["actor_id"], known["target_kind"], known["target_id"]) == (ADMIN_ID, "user", str(signed_in.user_id))
    assert (unknown["target_kind"], unknown["target_id"]) == (None, None)
    for event in (known, unknown):
        assert not [value for value in event.values() if PHONE in str(value) or OTHER_PHONE in str(value)]


async def test_what_is_no_phone_is_refused(sms: SmsWorld) -> None:
    refusal = await refusal_of(sms.trace.trace("her number", SUPPORT))
    assert [violation.path for violation in refusal.violations] == ["phone"]


@pytest.mark.parametrize("template", list(Template))
@pytest.mark.parametrize("state", ["queued", "sent", "failed", "expired"])
@pytest.mark.parametrize("delivery_state", [None, *DeliveryState])
def test_every_trace_has_its_words_in_the_contract(
    template: Template, state: str, delivery_state: DeliveryState | None, clock: ManualClock
) -> None:
    now = clock.now()
    attempts = (Attempt("smsru", now, "taken"),)
    full = TracedSms(template, state, now, now, attempts, delivery_state, now, "timeout", verified=True)
    message = traced_to_proto(full)
    assert message.kind != pb.SMS_KIND_UNSPECIFIED
    assert message.state != pb.SMS_STATE_UNSPECIFIED
    assert (message.delivery_state == pb.DELIVERY_STATE_UNSPECIFIED) == (
        delivery_state in {None, DeliveryState.UNKNOWN}
    )
    assert len(message.ListFields()) >= len(fields(TracedSms)) - 1
    bare = traced_to_proto(replace(full, end_time=None, delivery_time=None, failure=""))
    assert not bare.HasField("end_time")
    assert not bare.HasField("delivery_time")
