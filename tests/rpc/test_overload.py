"""A server that cannot keep up: who calls hears it from us, with a time to wait."""

import asyncio
import time
from collections import Counter
from typing import Any

import grpc

from tests.rpc.conftest import StartEdge
from tests.rpc.probe import SERVICE

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
