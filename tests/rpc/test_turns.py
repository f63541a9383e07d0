"""How often a caller may call, and how slowly she is refused beyond it."""

import asyncio
from contextlib import suppress

import pytest
from svoykrug.analytics.v1 import analytics_service_pb2
from svoykrug.users.v1 import users_service_pb2

from svoykrug_server.kit.errors import Limited
from svoykrug_server.rpc import refusals
from svoykrug_server.rpc.admission import BURST_SECONDS, Admission
from svoykrug_server.rpc.method import methods_of
from svoykrug_server.rpc.refusals import A_SECOND, MOST_BYTES, MOST_SECONDS, Refusals
from svoykrug_server.rpc.turns import SWEEP_AT, Turns
from tests.waiting import until

RATE = 8
BURST = int(RATE * BURST_SECONDS) + 1


def admitted(admission: Admission, caller: str, now: float, tries: int) -> int:
    """Returns how many of some calls at one moment are admitted. Each ends at once."""
    count = 0
    for _ in range(tries):
        with suppress(Limited):
            admission.enter_caller(caller, now)
            admission.leave_caller(caller)
            count += 1
    return count


def test_a_caller_may_make_the_calls_of_two_seconds_at_once_and_then_as_many_as_her_rate() -> None:
    admission = Admission(100, 100, rate_per_caller=RATE)
    assert admitted(admission, "her", 0.0, 100) == BURST
    assert admitted(admission, "another", 0.0, 100) == BURST
    assert admitted(admission, "her", 1.0, 100) == RATE
    assert admitted(admission, "her", 1.01, 1) == 0
    assert admitted(admission, "her", 1000.0, 100) == BURST, "she does not gather turns for ever"


def test_a_caller_who_keeps_to_her_rate_is_never_refused() -> None:
    admission = Admission(100, 100, rate_per_caller=RATE)
    assert all(admitted(admission, "her", number / RATE, 1) for number in range(1_000))


def test_a_call_that_costs_more_takes_more_turns() -> None:
    admission = Admission(100, 100, rate_per_caller=RATE)
    for _ in range(BURST // 4):
        admission.enter_caller("her", 0.0, turns=4)
    assert admitted(admission, "her", 0.0, 100) == BURST % 4
    insight = analytics_service_pb2.DESCRIPTOR.services_by_name["AnalyticsService"]
    assert methods_of(insight.full_name)["GetMemberInsight"].turns == 4
    profile = users_service_pb2.DESCRIPTOR.services_by_name["UsersService"]
    assert methods_of(profile.full_name)["GetMe"].turns == 1


def test_a_limit_without_a_rate_refuses_nobody_for_calling_often() -> None:
    assert admitted(Admission(100, 100), "her", 0.0, 10_000) == 10_000


def test_nothing_is_kept_of_callers_who_called_a_while_ago() -> None:
    turns = Turns(RATE, BURST_SECONDS)
    for number in range(100 * SWEEP_AT):
        turns.take(number, now=float(number))
        assert len(turns) <= SWEEP_AT
    for number in range(10 * SWEEP_AT):
        turns.take(f"at once {number}", now=1e9)
    assert len(turns) >= 10 * SWEEP_AT
    for number in range(20 * SWEEP_AT):
        turns.take(f"later {number}", now=1e9 + number)
    assert len(turns) <= SWEEP_AT


def test_who_has_called_too_often_is_not_forgotten() -> None:
    admission = Admission(100, 100, rate_per_caller=RATE)
    admitted(admission, "her", 0.0, BURST)
    for number in range(3 * SWEEP_AT):
        admitted(admission, f"another {number}", 0.01, 1)
    assert admitted(admission, "her", 0.02, 1) == 0


def test_refusals_of_one_caller_have_their_turns_one_after_another() -> None:
    turns = Turns(A_SECOND, MOST_SECONDS)
    waits = [turns.take("her", now=0.0) for _ in range(1_000)]
    assert waits[0] == 0
    assert waits == pytest.approx([number / A_SECOND for number in range(1_000)])
    assert turns.take("another", now=0.0) == 0


async def test_the_first_refusal_leaves_at_once_and_the_next_waits_for_its_turn() -> None:
    held = Refusals()
    await refuse(held)
    later = [asyncio.create_task(refuse(held)) for _ in range(3)]
    await asyncio.sleep(0)  # each of them begins
    assert held.waiting == len(later)
    await asyncio.gather(*later)
    assert held.waiting == 0


async def test_a_refusal_waits_ten_seconds_at_most() -> None:
    turns = Turns(A_SECOND, MOST_SECONDS)
    taken = [turns.take("her", now=0.0) for _ in range(2 * A_SECOND * int(MOST_SECONDS))]
    assert max(taken) <= MOST_SECONDS + 1 / A_SECOND


async def test_a_refusal_leaves_before_its_calls_deadline() -> None:
    held = crowded()
    async with asyncio.timeout(MOST_SECONDS / 2):
        await refuse(held, remaining_seconds=0.05)
        await refuse(held, remaining_seconds=-1.0)
    assert held.waiting == 0


async def test_a_call_that_its_client_gave_up_waits_no_longer() -> None:
    held = crowded()
    call = asyncio.create_task(refuse(held))
    await until(lambda: held.waiting == 1)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    assert held.waiting == 0


async def test_beyond_what_may_wait_refusals_leave_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "MOST_WAITING", 2)
    held = crowded()
    waiting = [asyncio.create_task(refuse(held)) for _ in range(2)]
    await until(lambda: held.waiting == 2)
    await refuse(held)
    assert held.waiting == 2
    held.release()
    await asyncio.gather(*waiting)


async def test_beyond_what_their_requests_may_take_refusals_leave_at_once() -> None:
    held = crowded()
    waiting = asyncio.create_task(refuse(held, size=MOST_BYTES))
    await until(lambda: held.waiting == 1)
    await refuse(held, size=1)
    held.release()
    await waiting
    assert held.waiting == 0


async def test_when_the_server_stops_all_leave_at_once() -> None:
    held = crowded()
    waiting = [asyncio.create_task(refuse(held)) for _ in range(10)]
    await until(lambda: held.waiting == len(waiting))
    async with asyncio.timeout(MOST_SECONDS / 2):
        held.release()
        await asyncio.gather(*waiting)
        await refuse(held)


def crowded() -> Refusals:
    """Returns one in which a refusal waits as long as it can."""
    held = Refusals()
    for _ in range(A_SECOND * int(MOST_SECONDS) + 1):
        held.seconds_until_turn("her", 0.0, None)
    return held


async def refuse(held: Refusals, remaining_seconds: float | None = None, size: int = 0) -> None:
    """Waits for the turn of one more refusal."""
    await held.wait("her", 0.0, remaining_seconds, size)
