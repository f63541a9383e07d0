"""Streams of answers, and waiting for operations over them."""

import asyncio

import grpc
import pytest
from svoykrug import errors
from svoykrug.operations.v1.operation_pb2 import (
    OPERATION_STATE_CANCELLED,
    OPERATION_STATE_FAILED,
    OPERATION_STATE_QUEUED,
    OPERATION_STATE_RUNNING,
    OPERATION_STATE_SUCCEEDED,
    Operation,
    OperationError,
)
from svoykrug.operations.v1.operations_service_pb2 import WatchOperationRequest, WatchOperationResponse

from svoykrug_client import Client
from tests.client.staged import Gate, Plain, Refusal, StagedServer
from tests.waiting import until

ID = "0198a000-0000-7000-8000-0000000000bb"
QUEUED = Operation(id=ID, state=OPERATION_STATE_QUEUED)
HALF = Operation(id=ID, state=OPERATION_STATE_RUNNING, percent=50)
DONE = Operation(id=ID, state=OPERATION_STATE_SUCCEEDED, percent=100)
GONE = Plain(grpc.StatusCode.UNAVAILABLE)
STOPPING = Plain(grpc.StatusCode.CANCELLED)
EXPIRED = Refusal("TOKEN_EXPIRED", grpc.StatusCode.UNAUTHENTICATED)
DENIED = Refusal("PERMISSION_DENIED", grpc.StatusCode.PERMISSION_DENIED)
REQUEST = WatchOperationRequest(operation_id=ID)


def seen(operation: Operation) -> WatchOperationResponse:
    return WatchOperationResponse(operation=operation)


async def test_a_stream_gives_all_its_answers(client: Client, server: StagedServer) -> None:
    server.plays("WatchOperation", [seen(QUEUED), seen(HALF), seen(DONE)])
    assert [answer.operation async for answer in client.operations.WatchOperation(REQUEST)] == [QUEUED, HALF, DONE]


async def test_an_empty_stream_is_empty(client: Client, server: StagedServer) -> None:
    server.plays("WatchOperation", [])
    assert [answer async for answer in client.operations.WatchOperation(REQUEST)] == []


async def test_a_stream_refused_for_its_token_is_begun_again_with_a_fresh_one(
    client: Client, server: StagedServer
) -> None:
    server.plays("WatchOperation", EXPIRED, [seen(DONE)])
    assert [answer.operation async for answer in client.operations.WatchOperation(REQUEST)] == [DONE]
    first, second = server.received("WatchOperation")
    assert first.token != second.token


@pytest.mark.parametrize("acts", [[DENIED], [seen(HALF), DENIED]], ids=["at once", "in mid-way"])
async def test_a_stream_that_fails_raises_the_typed_error(client: Client, server: StagedServer, acts: object) -> None:
    server.plays("WatchOperation", acts)
    with pytest.raises(errors.PermissionDeniedError) as caught:
        async for _ in client.operations.WatchOperation(REQUEST):
            pass
    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)


async def test_a_cancelled_stream_is_cancelled_on_the_server(client: Client, server: StagedServer) -> None:
    gate = Gate(seen(DONE))
    server.plays("WatchOperation", [seen(HALF), gate])
    watch = client.operations.WatchOperation(REQUEST)
    async for _ in watch:
        break
    assert not watch.done()
    watch.cancel()
    await until(lambda: gate.cancelled == 1)
    assert watch.cancelled()


async def test_a_stream_cancelled_before_its_first_answer_is_cancelled_on_the_server(
    client: Client, server: StagedServer
) -> None:
    gate = Gate(seen(DONE))
    server.plays("WatchOperation", [gate])
    watch = client.operations.WatchOperation(REQUEST)
    await until(lambda: gate.waiting == 1)
    watch.cancel()
    await until(lambda: gate.cancelled == 1)
    with pytest.raises(asyncio.CancelledError):
        await anext(aiter(watch))


async def test_a_break_ends_a_stream_that_nobody_holds(client: Client, server: StagedServer) -> None:
    gate = Gate(seen(DONE))
    server.plays("WatchOperation", [seen(HALF), gate])
    async for _ in client.operations.WatchOperation(REQUEST):
        await until(lambda: gate.waiting == 1)
        break
    await until(lambda: gate.cancelled == 1)


async def test_an_exception_ends_the_stream_in_which_it_is_raised(client: Client, server: StagedServer) -> None:
    gate = Gate(seen(DONE))
    server.plays("WatchOperation", [seen(HALF), gate])

    async def read() -> None:
        async for _ in client.operations.WatchOperation(REQUEST):
            await until(lambda: gate.waiting == 1)
            raise LookupError

    with pytest.raises(LookupError):
        await read()
    await until(lambda: gate.cancelled == 1)


async def test_a_stream_that_is_held_goes_on_after_a_break_and_ends_with_its_client(
    client: Client, server: StagedServer
) -> None:
    gate = Gate(seen(DONE))
    server.plays("WatchOperation", [seen(QUEUED), seen(HALF), gate])
    watch = client.operations.WatchOperation(REQUEST)
    async for _ in watch:
        break
    async for answer in watch:
        assert answer.operation == HALF
        break
    await until(lambda: gate.waiting == 1)
    assert gate.cancelled == 0
    await client.close()
    await until(lambda: gate.cancelled == 1)


async def test_a_cancelled_task_cancels_the_stream_it_reads(client: Client, server: StagedServer) -> None:
    gate = Gate(seen(DONE))
    server.plays("WatchOperation", [seen(HALF), gate])

    async def read() -> None:
        async for _ in client.operations.WatchOperation(REQUEST):
            pass

    reading = asyncio.create_task(read())
    await until(lambda: gate.waiting == 1)
    reading.cancel()
    await until(lambda: gate.cancelled == 1)
    assert reading.cancelled()


async def test_waiting_returns_the_operation_that_succeeded_and_shows_its_progress(
    client: Client, server: StagedServer
) -> None:
    server.plays("WatchOperation", [seen(QUEUED), seen(HALF), seen(DONE)])
    percents: list[int] = []
    assert await client.wait_for(QUEUED, lambda operation: percents.append(operation.percent)) == DONE
    assert percents == [0, 50, 100]


async def test_waiting_for_an_operation_that_has_ended_asks_nobody(client: Client, server: StagedServer) -> None:
    assert await client.wait_for(DONE) == DONE
    assert server.received("WatchOperation") == []


async def test_a_failed_operation_raises_the_error_of_its_reason(client: Client, server: StagedServer) -> None:
    error = OperationError(reason="TOO_LITTLE_DATA", text="Пока недостаточно данных.", metadata={"members": "12"})
    server.plays("WatchOperation", [seen(Operation(id=ID, state=OPERATION_STATE_FAILED, error=error))])
    with pytest.raises(errors.TooLittleData) as caught:
        await client.wait_for(QUEUED)
    assert (caught.value.text, caught.value.metadata) == ("Пока недостаточно данных.", {"members": "12"})
    assert caught.value.code == "FAILED_PRECONDITION"


async def test_a_cancelled_operation_raises_operation_cancelled(client: Client, server: StagedServer) -> None:
    server.plays("WatchOperation", [seen(Operation(id=ID, state=OPERATION_STATE_CANCELLED))])
    with pytest.raises(errors.OperationCancelled):
        await client.wait_for(QUEUED)


async def test_waiting_goes_on_over_any_number_of_broken_watches_that_got_somewhere(
    client: Client, server: StagedServer
) -> None:
    broken = [[seen(HALF), GONE]] * 3 + [[seen(HALF)]] * 3
    server.plays("WatchOperation", *broken, [seen(HALF), STOPPING], [seen(DONE)])
    assert await client.wait_for(QUEUED) == DONE
    assert len(server.received("WatchOperation")) == 8


async def test_waiting_gives_up_when_nothing_answers_and_calls_nothing_cancelled(
    client: Client, server: StagedServer
) -> None:
    server.plays("WatchOperation", [])
    with pytest.raises(errors.ConnectionLost):
        await client.wait_for(QUEUED)
    assert len(server.received("WatchOperation")) == 5


async def test_what_the_listener_to_progress_raises_ends_the_watch(client: Client, server: StagedServer) -> None:
    gate = Gate(seen(DONE))
    server.plays("WatchOperation", [seen(HALF), gate])

    def listener(_: Operation) -> None:
        raise LookupError("no such bar")

    with pytest.raises(LookupError, match="no such bar"):
        await client.wait_for(QUEUED, listener)
    await until(lambda: gate.cancelled == gate.waiting)
