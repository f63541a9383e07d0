"""An import arrives whole or says why not: broken streams are sent again, what the rows raise comes out."""

import asyncio
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
import rich.console
from svoykrug import errors
from svoykrug.purchases.v1.purchases_service_pb2 import ImportPurchasesRequest, ImportPurchasesResponse, NewPurchase

from svoykrug_client import Client
from tests.client.staged import Context, Plain, Refusal, StagedServer
from tests.waiting import until

BUSINESS_ID = "0198a000-0000-7000-8000-0000000000cc"
ROWS = [NewPurchase(external_id=str(number), amount_minor=number) for number in range(10)]
GONE = Plain(grpc.StatusCode.UNAVAILABLE)
STOPPING = Plain(grpc.StatusCode.CANCELLED)
EXPIRED = Refusal("TOKEN_EXPIRED", grpc.StatusCode.UNAUTHENTICATED)
REVOKED = Refusal("ACCESS_TOKEN_REVOKED", grpc.StatusCode.UNAUTHENTICATED)
OVERLOADED = Refusal("OVERLOADED", grpc.StatusCode.RESOURCE_EXHAUSTED)


class Taker:
    """Takes imports as the service does: it knows what is there already.

    Args:
        breaks_after_batches: For each attempt in turn, after how many batches it goes away.
    """

    def __init__(self, *breaks_after_batches: int) -> None:
        self._breaks = list(breaks_after_batches)
        self.rows: dict[str, NewPurchase] = {}
        self.attempts: list[list[int]] = []

    async def __call__(
        self, requests: AsyncIterator[ImportPurchasesRequest], context: Context
    ) -> ImportPurchasesResponse:
        """Takes one stream."""
        left = self._breaks.pop(0) if self._breaks else None
        answer = ImportPurchasesResponse()
        self.attempts.append([])
        async for request in requests:
            if left == len(self.attempts[-1]):
                break
            assert request.business_id == BUSINESS_ID
            self.attempts[-1].append(len(request.purchases))
            for row in request.purchases:
                answer.received_count += 1
                answer.duplicate_count += row.external_id in self.rows
                answer.recorded_count += row.external_id not in self.rows
                self.rows[row.external_id] = row
        if left is not None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
        return answer


async def test_all_rows_arrive_in_batches_and_in_order(client: Client, server: StagedServer) -> None:
    taker = Taker()
    server.plays("ImportPurchases", taker)
    answer = await client.import_purchases(BUSINESS_ID, ROWS, batch_rows=4)
    assert (answer.received_count, answer.recorded_count) == (10, 10)
    assert taker.attempts == [[4, 4, 2]]
    assert list(taker.rows.values()) == ROWS


async def test_an_import_without_rows_still_names_its_business(client: Client, server: StagedServer) -> None:
    taker = Taker()
    server.plays("ImportPurchases", taker)
    assert (await client.import_purchases(BUSINESS_ID, [])).received_count == 0
    assert taker.attempts == [[0]]


async def test_a_stream_broken_in_mid_way_is_sent_again_from_the_start(client: Client, server: StagedServer) -> None:
    taker = Taker(2, 1)
    server.plays("ImportPurchases", taker)
    answer = await client.import_purchases(BUSINESS_ID, lambda: iter(ROWS), batch_rows=3)
    assert taker.attempts == [[3, 3], [3], [3, 3, 3, 1]]
    assert (answer.received_count, answer.recorded_count, answer.duplicate_count) == (10, 4, 6)
    assert list(taker.rows.values()) == ROWS


async def test_an_import_is_given_up_after_five_attempts(client: Client, server: StagedServer) -> None:
    server.plays("ImportPurchases", GONE)
    with pytest.raises(errors.ConnectionLost):
        await client.import_purchases(BUSINESS_ID, ROWS)
    assert len(server.received("ImportPurchases")) == 5


@pytest.mark.parametrize("refusal", [EXPIRED, REVOKED, OVERLOADED, STOPPING])
async def test_an_import_refused_for_a_reason_that_passes_is_sent_again(
    client: Client, server: StagedServer, refusal: Refusal | Plain
) -> None:
    server.plays("ImportPurchases", refusal, Taker())
    assert (await client.import_purchases(BUSINESS_ID, ROWS)).recorded_count == 10
    first, second = server.received("ImportPurchases")
    assert (first.token == second.token) == (refusal in (OVERLOADED, STOPPING))


async def test_an_import_refused_for_good_is_sent_once(client: Client, server: StagedServer) -> None:
    server.plays("ImportPurchases", Refusal("BUSINESS_ARCHIVED", grpc.StatusCode.FAILED_PRECONDITION))
    with pytest.raises(errors.BusinessArchived) as caught:
        await client.import_purchases(BUSINESS_ID, ROWS)
    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)
    assert len(server.received("ImportPurchases")) == 1


async def test_a_refusal_in_mid_stream_is_told_by_its_own_class_each_time(client: Client, server: StagedServer) -> None:
    server.plays("ImportPurchases", Refusal("BUSINESS_ARCHIVED", grpc.StatusCode.FAILED_PRECONDITION))
    for _ in range(50):
        with pytest.raises(errors.BusinessArchived):
            await client.import_purchases(BUSINESS_ID, ROWS * 20, batch_rows=1)


async def test_what_the_rows_raise_comes_out_and_ends_the_stream(client: Client, server: StagedServer) -> None:
    taker = Taker()
    server.plays("ImportPurchases", taker)

    def rows() -> Iterator[NewPurchase]:
        yield from ROWS[:4]
        raise LookupError("row 5 of the file has no amount")

    with pytest.raises(LookupError, match="row 5"):
        await client.import_purchases(BUSINESS_ID, rows, batch_rows=2)
    assert len(server.received("ImportPurchases")) <= 1


async def test_a_cancelled_import_is_cancelled_on_the_server(client: Client, server: StagedServer) -> None:
    taken, ended = asyncio.Event(), asyncio.Event()

    async def taker(requests: AsyncIterator[ImportPurchasesRequest], _: Context) -> ImportPurchasesResponse:
        try:
            async for _request in requests:
                taken.set()
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ImportPurchasesResponse()

    server.plays("ImportPurchases", taker)
    call = asyncio.create_task(client.import_purchases(BUSINESS_ID, ROWS))
    await taken.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(ended.is_set)


@pytest.mark.parametrize("batch_rows", [-1, 0, 5001])
async def test_a_batch_size_the_service_does_not_take_is_an_error_here(client: Client, batch_rows: int) -> None:
    with pytest.raises(ValueError, match="batch_rows"):
        await client.import_purchases(BUSINESS_ID, ROWS, batch_rows=batch_rows)


async def test_progress_counts_the_rows_that_were_sent(
    client: Client, server: StagedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(rich, "_console", rich.console.Console(file=screen, force_terminal=True, width=120))
    server.plays("ImportPurchases", Taker(1), Taker())
    await client.import_purchases(BUSINESS_ID, ROWS, batch_rows=5, show_progress=True)
    assert "importing purchases" in screen.getvalue()
    assert "10/10" in screen.getvalue()


async def test_nothing_is_printed_without_being_asked(
    client: Client, server: StagedServer, capfd: pytest.CaptureFixture[str]
) -> None:
    server.plays("ImportPurchases", Taker())
    await client.import_purchases(BUSINESS_ID, ROWS)
    assert capfd.readouterr() == ("", "")


async def test_a_progress_bar_without_rich_says_what_to_install(
    client: Client, server: StagedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "svoykrug_client._progress", raising=False)
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    server.plays("ImportPurchases", Taker())
    with pytest.raises(ModuleNotFoundError, match=r"svoykrug-client\[progress\]"):
        await client.import_purchases(BUSINESS_ID, ROWS, show_progress=True)
    assert (await client.import_purchases(BUSINESS_ID, ROWS)).recorded_count == 10


def test_the_client_is_imported_without_its_extras_and_without_what_only_services_need() -> None:
    modules = "svoykrug_client, svoykrug_client.sync"
    absent = "import sys; sys.modules.update(dict.fromkeys(('rich', 'typer', 'opentelemetry', 'jwt', 'cryptography')))"
    subprocess.run([sys.executable, "-W", "error", "-c", f"{absent}; import {modules}"], check=True, timeout=60)


async def test_the_stub_itself_takes_written_requests_and_raises_typed_errors(
    client: Client, server: StagedServer
) -> None:
    server.plays("ImportPurchases", Taker(), Refusal("PERMISSION_DENIED", grpc.StatusCode.PERMISSION_DENIED))
    call = client.purchases.ImportPurchases()
    await call.write(ImportPurchasesRequest(business_id=BUSINESS_ID, purchases=ROWS))
    await call.done_writing()
    assert (await call).recorded_count == 10
    with pytest.raises(errors.PermissionDeniedError):
        await client.purchases.ImportPurchases(iter([ImportPurchasesRequest(business_id=BUSINESS_ID)]))
