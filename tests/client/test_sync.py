"""The synchronous client is the asynchronous one with calls that block: one refresh over all threads, too."""

import asyncio
import concurrent.futures
import gc
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import grpc
import pytest
from svoykrug import errors
from svoykrug.operations.v1.operation_pb2 import OPERATION_STATE_RUNNING, OPERATION_STATE_SUCCEEDED, Operation
from svoykrug.operations.v1.operations_service_pb2 import WatchOperationRequest, WatchOperationResponse
from svoykrug.purchases.v1.purchase_pb2 import Purchase
from svoykrug.purchases.v1.purchases_service_pb2 import (
    ImportPurchasesRequest,
    ImportPurchasesResponse,
    ListMyPurchasesRequest,
    ListMyPurchasesResponse,
    NewPurchase,
)
from svoykrug.users.v1.users_service_pb2 import GetMeRequest

import svoykrug_client
from svoykrug_client import MemoryTokenStore, sync
from tests.client.conftest import ME
from tests.client.staged import Context, Gate, Plain, Refusal, StagedServer
from tests.waiting import until

Result = TypeVar("Result")
HALF = Operation(id="0198a000-0000-7000-8000-0000000000bb", state=OPERATION_STATE_RUNNING, percent=50)
DONE = Operation(id=HALF.id, state=OPERATION_STATE_SUCCEEDED, percent=100)
WATCH = WatchOperationRequest(operation_id=HALF.id)
EXPIRED = Refusal("TOKEN_EXPIRED", grpc.StatusCode.UNAUTHENTICATED)
GONE = Plain(grpc.StatusCode.UNAVAILABLE)


def seen(operation: Operation) -> WatchOperationResponse:
    return WatchOperationResponse(operation=operation)


async def blocking(work: Callable[[], Result]) -> Result:
    """Does what blocks in a thread of its own: the staged server answers in this one."""
    with ThreadPoolExecutor(1) as thread:
        return await asyncio.get_running_loop().run_in_executor(thread, work)


@pytest.fixture
async def client(server: StagedServer, store: MemoryTokenStore) -> AsyncIterator[sync.Client]:
    """A synchronous client of a signed-in person."""
    opened = sync.Client(server.target, insecure=True, token_store=store)
    yield opened
    await blocking(opened.close)


def arguments(of: Callable[..., object]) -> list[tuple[str, object, object]]:
    """Returns name, kind and default of each argument."""
    return [(one.name, one.kind, one.default) for one in inspect.signature(of).parameters.values()]


def test_both_clients_have_the_same_names_and_take_the_same_arguments(client: sync.Client) -> None:
    assert sorted(sync.__all__) == sorted(svoykrug_client.__all__)
    for name in ("Client", "service_client", "pages", "items"):
        assert arguments(getattr(sync, name)) == arguments(getattr(svoykrug_client, name))
    assert {name for name in vars(sync.Client) if name[0] != "_"} == {
        name for name in vars(svoykrug_client.Client) if name[0] != "_"
    }
    assert inspect.signature(client.complete_sign_in).parameters["birth_date"].default is None
    assert "Called again with the same arguments" in (inspect.getdoc(client.complete_sign_in) or "")


async def test_calls_of_many_threads_with_a_dead_token_share_one_refresh(
    client: sync.Client, server: StagedServer
) -> None:
    answers = await asyncio.gather(*(blocking(lambda: client.users.GetMe(GetMeRequest())) for _ in range(20)))
    assert answers == [ME] * 20
    assert len(server.received("RefreshTokens")) == 1
    assert len({call.token for call in server.received("GetMe")}) == 1


async def test_a_refused_token_is_renewed_and_the_call_repeated(client: sync.Client, server: StagedServer) -> None:
    server.plays("GetMe", EXPIRED, ME)
    assert await blocking(lambda: client.users.GetMe(GetMeRequest())) == ME
    assert len(server.received("RefreshTokens")) == 2


async def test_a_refusal_is_raised_by_its_class_and_names_the_line_that_called(
    client: sync.Client, server: StagedServer
) -> None:
    server.plays("GetMe", Refusal("PERMISSION_DENIED", grpc.StatusCode.PERMISSION_DENIED))

    def ask_who_i_am() -> None:
        client.users.GetMe(GetMeRequest())

    with pytest.raises(errors.PermissionDeniedError) as caught:
        await blocking(ask_who_i_am)
    assert caught.value.request_id == "request-7"
    assert "ask_who_i_am" in [entry.name for entry in caught.traceback]


async def test_a_deadline_and_metadata_of_the_callers_own_hold(client: sync.Client, server: StagedServer) -> None:
    server.plays("GetMe", ME, Gate(ME))
    await blocking(lambda: client.users.GetMe(GetMeRequest(), timeout=5, metadata=[("accept-language", "en")]))
    [call] = server.received("GetMe")
    assert call.seconds_left is not None
    assert call.seconds_left < 5
    assert call.metadata["accept-language"] == "en"
    with pytest.raises(errors.DeadlineExceeded):
        await blocking(lambda: client.users.GetMe(GetMeRequest(), timeout=0.1))


async def test_a_stream_is_an_iterator_to_its_end(client: sync.Client, server: StagedServer) -> None:
    server.plays("WatchOperation", EXPIRED, [seen(HALF), seen(DONE)])
    assert await blocking(lambda: list(client.operations.WatchOperation(WATCH))) == [seen(HALF), seen(DONE)]


def left_by_break(client: sync.Client) -> None:
    for _ in client.operations.WatchOperation(WATCH):
        break
    gc.collect()


def left_by_with(client: sync.Client) -> None:
    with client.operations.WatchOperation(WATCH) as watch:
        assert next(watch) == seen(HALF)


def left_by_cancel(client: sync.Client) -> None:
    watch = client.operations.WatchOperation(WATCH)
    assert next(watch) == seen(HALF)
    watch.cancel()
    watch.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        next(watch)


@pytest.mark.parametrize("leave", [left_by_break, left_by_with, left_by_cancel])
async def test_a_stream_that_is_left_is_cancelled_on_the_server(
    client: sync.Client, server: StagedServer, leave: Callable[[sync.Client], None]
) -> None:
    gate = Gate(seen(DONE))
    server.plays("WatchOperation", [seen(HALF), gate])
    await blocking(lambda: leave(client))
    await until(lambda: gate.waiting == gate.cancelled == 1)


async def test_closing_a_client_cancels_the_calls_of_its_other_threads_and_no_others(
    client: sync.Client, server: StagedServer
) -> None:
    gate = Gate(ME)
    server.plays("GetMe", gate)
    other = sync.Client(server.target, insecure=True)

    def cut() -> None:
        with pytest.raises(concurrent.futures.CancelledError):
            client.users.GetMe(GetMeRequest())

    mine = asyncio.create_task(blocking(cut))
    theirs = asyncio.create_task(blocking(lambda: other.users.GetMe(GetMeRequest())))
    await until(lambda: gate.waiting == 2)
    await blocking(client.close)
    await mine
    gate.open()
    assert await theirs == ME
    await blocking(other.close)


async def test_lists_come_page_by_page(client: sync.Client, server: StagedServer) -> None:
    first = ListMyPurchasesResponse(purchases=[Purchase(id="1"), Purchase(id="2")], next_page_token="second")
    last = ListMyPurchasesResponse(purchases=[Purchase(id="3")])
    server.plays("ListMyPurchases", first, first, last)
    method, request = client.purchases.ListMyPurchases, ListMyPurchasesRequest()
    assert await blocking(lambda: next(sync.pages(method, request))) == first
    assert len(server.received("ListMyPurchases")) == 1
    rows = await blocking(lambda: list(sync.items(method, request, lambda page: page.purchases)))
    assert [row.id for row in rows] == ["1", "2", "3"]
    assert [sent.page_token for sent in server.requests("ListMyPurchases")] == ["", "", "second"]


async def test_a_list_that_is_refused_raises_the_typed_error(client: sync.Client, server: StagedServer) -> None:
    server.plays("ListMyPurchases", Refusal("INVALID_PAGE_TOKEN", grpc.StatusCode.INVALID_ARGUMENT))
    with pytest.raises(errors.InvalidPageToken):
        await blocking(lambda: list(sync.pages(client.purchases.ListMyPurchases, ListMyPurchasesRequest())))


async def counted(requests: AsyncIterator[ImportPurchasesRequest], _: Context) -> ImportPurchasesResponse:
    return ImportPurchasesResponse(received_count=sum([len(request.purchases) async for request in requests]))


async def test_rows_are_read_in_the_callers_thread_and_a_broken_import_is_sent_again(
    client: sync.Client, server: StagedServer
) -> None:
    server.plays("ImportPurchases", GONE, counted)
    readers: set[int] = set()

    def rows() -> Iterator[NewPurchase]:
        for number in range(10):
            readers.add(threading.get_ident())
            yield NewPurchase(external_id=str(number))

    def imported() -> int:
        answer = client.import_purchases("0198a000-0000-7000-8000-0000000000cc", rows, batch_rows=3)
        assert readers == {threading.get_ident()}
        return answer.received_count

    assert await blocking(imported) == 10
    assert len(server.received("ImportPurchases")) == 2


async def test_an_upload_takes_an_iterator_and_raises_what_the_iterator_raises(
    client: sync.Client, server: StagedServer
) -> None:
    server.plays("ImportPurchases", counted)

    def requests(count: int) -> Iterator[ImportPurchasesRequest]:
        for _ in range(count):
            yield ImportPurchasesRequest(purchases=[NewPurchase()])
        if count > 3:
            raise LookupError("row 4 has no amount")

    answer = await blocking(lambda: client.purchases.ImportPurchases(requests(3)))
    assert answer.received_count == 3
    with pytest.raises(LookupError, match="row 4"):
        await blocking(lambda: client.purchases.ImportPurchases(requests(4)))


async def test_rows_that_block_hold_up_no_other_thread(client: sync.Client, server: StagedServer) -> None:
    server.plays("ImportPurchases", counted)
    reading, go_on = threading.Event(), threading.Event()

    def rows() -> Iterator[NewPurchase]:
        reading.set()
        assert go_on.wait(10)
        yield NewPurchase()

    importing = asyncio.create_task(blocking(lambda: client.import_purchases("", rows)))
    await until(reading.is_set)
    assert await blocking(lambda: client.users.GetMe(GetMeRequest())) == ME
    go_on.set()
    assert (await importing).received_count == 1


async def test_waiting_for_an_operation_tells_its_progress_in_the_callers_thread(
    client: sync.Client, server: StagedServer
) -> None:
    server.plays("WatchOperation", [seen(HALF), GONE], [seen(DONE)])
    told: list[tuple[int, int]] = []

    def wait() -> Operation:
        me = threading.get_ident()
        ended = client.wait_for(HALF, lambda operation: told.append((threading.get_ident(), operation.percent)))
        assert told == [(me, 50), (me, 100)]
        return ended

    assert await blocking(wait) == DONE


async def test_what_a_progress_function_raises_comes_out_and_ends_the_watch(
    client: sync.Client, server: StagedServer
) -> None:
    gate = Gate(seen(DONE))
    server.plays("WatchOperation", [seen(HALF), gate])

    def refuse(_: Operation) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        await blocking(lambda: client.wait_for(HALF, refuse))
    await until(lambda: gate.cancelled == gate.waiting)
