"""A rolling restart, seen by a client that never stops calling: no call of hers is lost."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from svoykrug_client._methods import service_config
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.server import RpcServer
from tests.rpc.conftest import TokenTable
from tests.rpc.probe import SERVICE, ProbeRequest, Stub, add_service
from tests.waiting import until

RESTARTS = 6
CALLERS = 8
ENOUGH_CALLS = 100
SHIPPED = json.loads(service_config())["methodConfig"][0]["retryPolicy"]
IN_TURN: Mapping[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
RETRYING = {**IN_TURN, "methodConfig": [{"name": [{"service": SERVICE}], "retryPolicy": SHIPPED}]}
ASKING_FOR_HEALTH = {**IN_TURN, "healthCheckConfig": {"serviceName": ""}}


async def server_on(port: int, drain_seconds: float, served: Counter[int]) -> RpcServer:
    """Starts a server whose calls take a moment, and are counted by its port."""

    async def echo(request: Any, context: Any) -> Any:
        await asyncio.sleep(0.001)
        served[port] += 1
        return request

    options = RpcOptions(
        listen=(f"127.0.0.1:{port}",),
        max_calls_per_second_per_caller=1_000_000,  # tests call faster than people do
        drain_seconds=drain_seconds,
        grace_seconds=10,
    )
    server = RpcServer(replace(options), TokenTable(), CollectorRegistry())
    add_service(server.methods, {"Echo": echo})
    await server.start()
    return server


@asynccontextmanager
async def calling(ports: list[int], config: Mapping[str, Any]) -> AsyncIterator[list[grpc.StatusCode]]:
    """Calls without a pause for the length of the block; yields how the calls ended so far."""
    ends: list[grpc.StatusCode] = []
    options = [("grpc.service_config", json.dumps(config)), ("grpc.max_reconnect_backoff_ms", 200)]
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    async with grpc.aio.insecure_channel(target, options=options) as channel:

        async def call_on() -> None:
            while not over.is_set():
                try:
                    await Stub(channel).Echo(ProbeRequest(), timeout=20)
                    ends.append(grpc.StatusCode.OK)
                except grpc.aio.AioRpcError as error:
                    ends.append(error.code())

        over = asyncio.Event()
        callers = [asyncio.create_task(call_on()) for _ in range(CALLERS)]
        yield ends
        over.set()
        await asyncio.gather(*callers)


@pytest.mark.parametrize(
    ("config", "drain_seconds"),
    [(RETRYING, 0.0), (ASKING_FOR_HEALTH, 0.3)],
    ids=["a client that retries as ours does", "a client that asks for health"],
)
async def test_no_call_is_lost_while_two_servers_are_restarted_in_turn(
    unused_tcp_port_factory: Any, config: Mapping[str, Any], drain_seconds: float
) -> None:
    served: Counter[int] = Counter()
    ports = [unused_tcp_port_factory(), unused_tcp_port_factory()]
    servers = [await server_on(port, drain_seconds, served) for port in ports]
    try:
        async with calling(ports, config) as ends:
            for turn in range(RESTARTS):
                # As every rolling restart does it: the next one goes when the one before is back at work.
                served.clear()
                await until(lambda: all(served[port] >= ENOUGH_CALLS for port in ports), seconds=30)
                await servers[turn % 2].stop()
                servers[turn % 2] = await server_on(ports[turn % 2], drain_seconds, served)
    finally:
        for server in servers:
            await server.stop()
    assert set(ends) == {grpc.StatusCode.OK}


async def test_a_server_about_to_stop_is_ready_no_more(unused_tcp_port: int) -> None:
    server = await server_on(unused_tcp_port, 1000.0, Counter())
    assert server.is_ready
    hurry = asyncio.Event()
    stopping = asyncio.create_task(server.stop(hurry))
    await until(lambda: not server.is_ready)
    assert not stopping.done()
    hurry.set()
    await stopping
