"""Clients that ask for much and read nothing: what is sent to them waits, and nobody waits for them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.rpc.conftest import StartEdge
from tests.rpc.probe import ProbeRequest, Stub
from tests.rpc.test_interceptor import refused
from tests.waiting import until

KILOBYTE = 1_000
CHUNK = ProbeRequest(blob=bytes(64 * KILOBYTE))
READERS = 8
MOST_AHEAD_BYTES = 8_000 * KILOBYTE


class Flood:
    """Sends without end, and counts what it could send to each caller."""

    def __init__(self) -> None:
        self.sent: dict[int, int] = {}
        self.closed = 0

    async def send(self, _request: Any, _context: Any) -> AsyncIterator[Any]:
        """Sends chunks as long as they are taken."""
        reader = len(self.sent)
        self.sent[reader] = 0
        try:
            while True:
                yield CHUNK
                self.sent[reader] += 1
        finally:
            self.closed += 1


async def test_a_stream_that_nobody_reads_stops_being_made(start_edge: StartEdge) -> None:
    flood = Flood()
    edge = await start_edge({"Watch": flood.send})
    before = psutil.Process().memory_info().rss
    # The client says how much may be ahead of it; left alone it asks for up to 64 MB where it finds the way slow.
    modest = grpc.aio.insecure_channel(edge.server.addresses[0], options=[("grpc.http2.bdp_probe", 0)])
    calls = [Stub(modest).Watch(ProbeRequest()) for _ in range(READERS)]
    for call in calls:
        await call.read()
    await until(lambda: len(flood.sent) == READERS)

    async def no_more_is_sent_while_others_call() -> bool:
        before = dict(flood.sent)
        for _ in range(50):
            assert await edge.stub.Echo(ProbeRequest(text="others"), timeout=10) == ProbeRequest(text="others")
        return flood.sent == before

    # What may be ahead of the readers is sent first, however long that takes.
    await until(no_more_is_sent_while_others_call)
    sent = dict(flood.sent)
    assert await no_more_is_sent_while_others_call(), "chunks are made that nobody reads"
    assert max(sent.values()) * len(CHUNK.blob) < MOST_AHEAD_BYTES
    assert psutil.Process().memory_info().rss - before < READERS * MOST_AHEAD_BYTES
    await modest.close()
    await until(lambda: flood.closed == READERS)


async def test_a_reader_that_sleeps_is_sent_away_with_its_deadline(start_edge: StartEdge) -> None:
    flood = Flood()
    edge = await start_edge({"Count": flood.send})
    # The time to connect counts against a call's deadline.
    await edge.stub.channel.channel_ready()
    call = edge.stub.Count(ProbeRequest(), timeout=1)
    await until(lambda: flood.closed == 1)
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: edge.server.calls_in_progress == 0)


async def test_a_stop_does_not_wait_for_readers_that_sleep(start_edge: StartEdge) -> None:
    flood = Flood()
    edge = await start_edge({"Watch": flood.send}, drain_seconds=0, grace_seconds=1)
    calls = [edge.stub.Watch(ProbeRequest()) for _ in range(3)]
    await until(lambda: len(flood.sent) == len(calls))
    async with asyncio.timeout(5):
        await edge.server.stop()
    assert flood.closed == len(calls)


async def test_one_address_cannot_open_endless_streams_of_health_without_end(start_edge: StartEdge) -> None:
    """They are public, and end when their callers like: nobody holds them all."""
    edge = await start_edge(max_calls_per_caller=3)
    stub: Any = health_pb2_grpc.HealthStub(edge.stub.channel)
    watching = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(3)]
    for call in watching:
        await call.read()
    error = await refused(stub.Watch(health_pb2.HealthCheckRequest()).read())
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert await stub.Check(health_pb2.HealthCheckRequest())
    assert await edge.stub.Echo(ProbeRequest(text="others")) == ProbeRequest(text="others")
    watching[0].cancel()

    async def can_watch() -> bool:
        call = stub.Watch(health_pb2.HealthCheckRequest())
        try:
            await call.read()
        except grpc.aio.AioRpcError:
            return False
        return bool(call.cancel())

    await until(can_watch)
    for call in watching:
        call.cancel()
