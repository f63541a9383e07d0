"""A server that cannot keep up: who calls hears it from us, with a time to wait."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.rpc.conftest import StartEdge
from tests.rpc.probe import SERVICE, ProbeRequest
from tests.rpc.rich import RichError
from tests.waiting import until

WAITING = 4_000
"""More calls than gRPC would let wait by itself: 1,000, and from 3,000 on none."""
STANDSTILL_SECONDS = 1.0


async def test_calls_that_waited_for_a_busy_event_loop_are_answered_or_shed_and_never_just_cancelled(
    start_edge: StartEdge,
) -> None:
    edge = await start_edge(max_calls_per_second_per_caller=WAITING)
    with grpc.insecure_channel(edge.server.addresses[0]) as channel:
        echo: Any = channel.unary_unary(f"/{SERVICE}/Echo")
        calls = [echo.future(b"") for _ in range(WAITING)]
        time.sleep(STANDSTILL_SECONDS)  # noqa: ASYNC251  the event loop stands still, and calls arrive meanwhile
        codes = Counter(await asyncio.to_thread(lambda: [call.code() for call in calls]))
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}


ANSWER_SECONDS = 0.01
FLOOD_SECONDS, CALLS_A_SECOND = 10.0, 400
CAPACITY = FLOOD_SECONDS / ANSWER_SECONDS
ENOUGH_SECONDS = 12.0
"""A quarter of the flood is answered while it lasts; had nothing been shed the last of it would wait for 30 seconds."""


async def test_a_flood_is_shed_while_it_lasts_and_those_answered_are_answered_soon(start_edge: StartEdge) -> None:
    edge = await start_edge({"Echo": block_the_loop}, max_calls_per_second_per_caller=10**6)
    health: Any = health_pb2_grpc.HealthStub(edge.stub.channel)
    with grpc.insecure_channel(edge.server.addresses[0]) as channel:
        flood = asyncio.create_task(asyncio.to_thread(flood_with, channel))
        await until(lambda: "rpc_server_shed_requests_total 0.0" not in edge.metrics(), seconds=60)
        async with asyncio.timeout(ENOUGH_SECONDS):
            await health.Check(health_pb2.HealthCheckRequest())
        ended = await flood
    outcomes = Counter(one.outcome for one in ended)
    assert set(outcomes) == {ANSWERED, SHED}
    assert outcomes[ANSWERED] > CAPACITY / 3
    assert max(one.seconds for one in ended) < ENOUGH_SECONDS
    for _ in range(10):  # the flood is over: nobody is refused or waits
        await until(lambda: "rpc_server_wait_seconds 0.0\n" in edge.metrics(), seconds=60)
        assert await edge.stub.Echo(ProbeRequest(text="hello"))


ANSWERED, SHED = "answered", "shed with a time to wait"


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a call, and how long it took."""

    outcome: str
    seconds: float


async def block_the_loop(request: object, _context: object) -> object:
    """Answers after a while in which nothing else happens."""
    time.sleep(ANSWER_SECONDS)  # noqa: ASYNC251  a call that takes so much of the processor
    return request


def flood_with(channel: grpc.Channel) -> list[Ended]:
    """Begins calls at a steady pace, whatever becomes of those before, and waits for all."""
    echo: Any = channel.unary_unary(f"/{SERVICE}/Echo")
    ended: SimpleQueue[tuple[Any, float]] = SimpleQueue()
    calls = round(FLOOD_SECONDS * CALLS_A_SECOND)
    began = time.monotonic()
    for number in range(calls):
        time.sleep(max(0.0, began + number / CALLS_A_SECOND - time.monotonic()))
        begun = time.monotonic()
        echo.future(b"").add_done_callback(lambda call, begun=begun: ended.put((call, time.monotonic() - begun)))
    return [Ended(outcome_of(call), seconds) for call, seconds in (ended.get() for _ in range(calls))]


def outcome_of(call: Any) -> str:
    """Waits for a call, and tells what became of it."""
    if call.code() is grpc.StatusCode.OK:
        return ANSWERED
    error = RichError.of(call)
    return SHED if error.reason == "OVERLOADED" and error.all(error_details_pb2.RetryInfo) else str(call.code())
