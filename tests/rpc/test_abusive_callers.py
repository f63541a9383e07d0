"""A caller who calls more often than she may: shed with a time to wait, slowly, and nobody else notices."""

import asyncio
from collections import Counter

import grpc
import pytest
from google.rpc import error_details_pb2

from svoykrug_server.rpc import call as call_module
from tests.callers import person
from tests.rpc.conftest import Edge, StartEdge, TokenTable
from tests.rpc.probe import ProbeRequest
from tests.rpc.rich import RichError
from tests.rpc.test_interceptor import refused, requests
from tests.serving import Metadata
from tests.waiting import until

REQUEST = ProbeRequest(text="hello")
IN_FLIGHT = 1_000
RATE = 20
SHED = "shed with a time to wait"
ANSWERED = "answered"


async def test_a_thousand_calls_of_one_person_are_shed_and_another_person_is_answered_all_along(
    start_edge: StartEdge, tokens: TokenTable
) -> None:
    edge = await start_edge(max_calls_per_second_per_caller=RATE)
    hers, others = tokens.sign_in(person()), tokens.sign_in(person())
    ended: Counter[str] = Counter()
    keeping = [asyncio.create_task(keep_calling(edge, hers, ended)) for _ in range(IN_FLIGHT)]
    await until(lambda: ended[ANSWERED] > 0, seconds=60)
    for _ in range(RATE):
        assert await edge.stub.Mine(REQUEST, metadata=others) == REQUEST
    await until(lambda: ended[SHED] > RATE, seconds=60)
    for _ in range(RATE):
        assert await edge.stub.Mine(REQUEST, metadata=others) == REQUEST
    assert set(ended) == {ANSWERED, SHED}
    await give_up(keeping)
    await until(lambda: waiting(edge, "Mine") == 0, seconds=60)


async def test_refusals_that_wait_take_no_place_of_others_and_a_stop_lets_them_leave(
    start_edge: StartEdge, tokens: TokenTable
) -> None:
    edge = await start_edge(max_calls=2, max_calls_per_second_per_caller=1, grace_seconds=60)
    keeping = await crowd(edge, tokens.sign_in(person()))
    assert edge.server.calls_in_progress == 0
    assert await edge.stub.Echo(REQUEST) == REQUEST
    async with asyncio.timeout(60):
        await edge.server.stop()
        ended = Counter(await asyncio.gather(*keeping))
    assert set(ended) <= {ANSWERED, SHED}
    assert ended[SHED] > len(keeping) / 2


async def test_a_refusal_that_waits_comes_before_the_calls_deadline(start_edge: StartEdge, tokens: TokenTable) -> None:
    edge = await start_edge(max_calls_per_second_per_caller=1)
    hers = tokens.sign_in(person())
    keeping = await crowd(edge, hers)
    # It leaves when nine tenths of the time have passed: the last tenth is for a busy machine.
    error = await refused(edge.stub.Mine(REQUEST, metadata=hers, timeout=5))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    await give_up(keeping)


async def test_an_address_is_limited_in_public_methods_and_a_stream_counts_as_one_call(
    start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = await start_edge(max_calls_per_second_per_caller=1)
    # Time stands still: on a slow machine these calls may take the second in which one more may be made.
    monkeypatch.setattr(call_module, "perf_counter", lambda: 0.0)
    for _ in range(3):
        call = edge.stub.Chat(requests(*[REQUEST] * 10))
        assert [message async for message in call] == [REQUEST] * 10
    error = await refused(edge.stub.Chat(requests(REQUEST)))
    assert error.reason == "OVERLOADED"
    assert error.one(error_details_pb2.RetryInfo).retry_delay.ToTimedelta().total_seconds() > 0


async def crowd(edge: Edge, hers: Metadata) -> list[asyncio.Task[str]]:
    """Begins a thousand calls of one person; most are to be refused, and wait for it."""
    keeping = [asyncio.create_task(outcome(edge, hers)) for _ in range(IN_FLIGHT)]
    await until(lambda: waiting(edge, "Mine") > IN_FLIGHT / 2)
    return keeping


async def keep_calling(edge: Edge, hers: Metadata, ended: Counter[str]) -> None:
    """Calls again at once, whatever was answered."""
    while True:
        ended[await outcome(edge, hers)] += 1


async def outcome(edge: Edge, hers: Metadata) -> str:
    """Calls, and tells what became of the call."""
    try:
        await edge.stub.Mine(REQUEST, metadata=hers)
    except grpc.aio.AioRpcError as caught:
        error = RichError.of(caught)
        return SHED if error.all(error_details_pb2.RetryInfo) and error.reason == "OVERLOADED" else error.reason
    return ANSWERED


async def give_up(keeping: list[asyncio.Task[str]] | list[asyncio.Task[None]]) -> None:
    """Cancels calls."""
    for task in keeping:
        task.cancel()
    await asyncio.wait(keeping)


def waiting(edge: Edge, method: str) -> int:
    """Returns how many calls of a method have not ended, also those whose refusal waits."""
    line = f'rpc_server_active_requests{{rpc_method="{method}"'
    return int(next(float(each.rpartition(" ")[2]) for each in edge.metrics().splitlines() if each.startswith(line)))
