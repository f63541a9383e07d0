"""Importing purchases: any number, in batches, sent again from the start when the stream breaks."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from svoykrug import errors
from svoykrug.purchases.v1.purchases_service_pb2 import ImportPurchasesRequest, ImportPurchasesResponse, NewPurchase
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub

from svoykrug_client._calls import wait_before

# Large messages decode far cheaper a row than small ones, and this stays well under the 4 MB of one message.
BATCH_ROWS = 2_000
_MOST_ATTEMPTS = 5
_AGAIN = (
    errors.Unavailable,
    errors.ConnectionLost,
    errors.ResourceExhausted,
    errors.TokenExpired,
    errors.AccessTokenRevoked,
)


@dataclass(frozen=True, slots=True)
class ImportSource:
    """The rows of an import, which can be read again from the start.

    Attributes:
        rows: Returns a new iterator over all rows, the same ones in the same order each time.
        count: How many rows there are; None when that is not known before the end.
    """

    rows: Callable[[], Iterable[NewPurchase]]
    count: int | None = None


async def import_purchases(
    stub: PurchasesServiceStub, business_id: str, source: ImportSource, *, batch_rows: int, show_progress: bool
) -> ImportPurchasesResponse:
    """Sends all rows; see `Client.import_purchases`."""
    with _progress(show_progress) as progress:
        bar = progress.add_task("importing purchases", total=source.count)
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            progress.reset(bar)
            try:
                return await stub.ImportPurchases(_messages(business_id, source, batch_rows, progress, bar))
            except _AGAIN as error:
                if attempt == _MOST_ATTEMPTS:
                    raise
                await wait_before(attempt, error)
    raise AssertionError("the last attempt returns or raises")


async def _messages(
    business_id: str, source: ImportSource, batch_rows: int, progress: Progress, bar: object
) -> AsyncIterator[ImportPurchasesRequest]:
    for batch in _batches(source.rows(), batch_rows):
        yield ImportPurchasesRequest(business_id=business_id, purchases=batch)
        progress.advance(bar, len(batch))  # type: ignore[arg-type]  # rich's TaskID is an int by another name


def _batches(rows: Iterable[NewPurchase], batch_rows: int) -> Iterator[list[NewPurchase]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, batch_rows)):
        yield batch


def _progress(shown: bool) -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, transient=True, disable=not shown)
