"""Importing purchases: any number, in batches, sent again from the start when the stream breaks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from svoykrug.purchases.v1.purchases_service_pb2 import ImportPurchasesRequest, ImportPurchasesResponse, NewPurchase
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub

from svoykrug_client._repeating import repeated
from svoykrug_client._uploading import upload

# Large messages decode far cheaper a row than small ones, and this stays well under the 4 MB of one message.
BATCH_ROWS = 2_000
_MOST_BATCH_ROWS = 5_000


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
    if not 1 <= batch_rows <= _MOST_BATCH_ROWS:
        raise ValueError(f"batch_rows is 1 to {_MOST_BATCH_ROWS}, not {batch_rows}")
    with _progress(show_progress) as progress:
        bar = progress.add_task("importing purchases", total=source.count)

        async def attempt() -> ImportPurchasesResponse:
            progress.reset(bar)
            return await upload(stub.ImportPurchases, _messages(business_id, source, batch_rows, progress, bar))

        return await repeated(attempt)


def _messages(
    business_id: str, source: ImportSource, batch_rows: int, progress: Progress, bar: TaskID
) -> Iterator[ImportPurchasesRequest]:
    for batch in _batches(source.rows(), batch_rows):
        yield ImportPurchasesRequest(business_id=business_id, purchases=batch)
        progress.advance(bar, len(batch))


def _batches(rows: Iterable[NewPurchase], batch_rows: int) -> Iterator[list[NewPurchase]]:
    iterator = iter(rows)
    # At least one, for the first message names the business.
    yield list(islice(iterator, batch_rows))
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
