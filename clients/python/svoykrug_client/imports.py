"""Importing purchases: any number, in batches, sent again from the start when the stream breaks."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

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
    with _bar(show_progress, source.count) as bar:

        async def attempt() -> ImportPurchasesResponse:
            bar.restart()
            return await upload(stub.ImportPurchases, _messages(business_id, source, batch_rows, bar))

        return await repeated(attempt)


def _messages(business_id: str, source: ImportSource, batch_rows: int, bar: "_Bar") -> Iterator[ImportPurchasesRequest]:
    for batch in _batches(source.rows(), batch_rows):
        yield ImportPurchasesRequest(business_id=business_id, purchases=batch)
        bar.advance(len(batch))


def _batches(rows: Iterable[NewPurchase], batch_rows: int) -> Iterator[list[NewPurchase]]:
    iterator = iter(rows)
    # At least one, for the first message names the business.
    yield list(islice(iterator, batch_rows))
    while batch := list(islice(iterator, batch_rows)):
        yield batch


class _Bar(Protocol):
    """Where the rows that were sent are counted."""

    def restart(self) -> None: ...

    def advance(self, rows: int) -> None: ...


class _NoBar:
    """Counts for nobody."""

    def restart(self) -> None:
        """Does nothing."""

    def advance(self, rows: int) -> None:
        """Does nothing."""


def _bar(shown: bool, count: int | None) -> AbstractContextManager[_Bar]:
    if not shown:
        return nullcontext(_NoBar())
    try:
        from svoykrug_client._progress import progress_bar  # noqa: PLC0415  # rich is an extra, and slow to import
    except ModuleNotFoundError as absent:
        raise ModuleNotFoundError("show_progress needs rich: install svoykrug-client[progress]") from absent
    return progress_bar("importing purchases", count)
