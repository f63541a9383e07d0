"""Complete Journey through the product's own training, at four cutoffs and three horizons: what the benchmarks measure.

Stores of its own in a temporary folder; the data is installed by pip. Every training label window ends before the test
cutoff: the plan refuses another, and `Trained` checks it again.
"""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
from rich.console import Console
from rich.progress import track

from svoykrug_server.analytics.churn.model import ChurnModel
from svoykrug_server.analytics.churn.service import NewModel
from svoykrug_server.analytics.churn.warehouse import sample
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.folder import DataFolder
from svoykrug_server.storage.migrate import migrate_postgres
from svoykrug_server.storage.migrate_warehouse import migrate_warehouse
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.warehouse import Warehouse, WarehouseOptions
from tests.analytics.churn.circle import Circle
from tests.analytics.churn.journey import import_complete_journey
from tests.analytics.circles import WATERMARK
from tests.conftest import reachable_folder

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
_AUTUMN = tuple(datetime(2017, month, day, tzinfo=UTC) for month, day in ((9, 8), (10, 6), (11, 3), (12, 1)))
_EARLIER = tuple(cutoff - timedelta(days=28) for cutoff in _AUTUMN[:3])
CUTOFFS: dict[int, tuple[datetime, ...]] = {
    14: _AUTUMN,
    28: _AUTUMN,
    56: (*_EARLIER, datetime(2017, 11, 3, tzinfo=UTC)),
}
"""Test cutoffs by horizon. The data ends on 31 December, so a window of 56 days must begin by 5 November."""
CELLS = [(horizon, cutoff) for horizon, cutoffs in CUTOFFS.items() for cutoff in cutoffs]
GATE_CUTOFF, GATE_HORIZON_DAYS = datetime(2017, 12, 1, tzinfo=UTC), 28


@dataclass(frozen=True, slots=True)
class Trained:
    """A model as the product trained, judged and kept it.

    Attributes:
        model: Its plan and its card.
        document: Its numbers.
        came: What was known of everyone at its test cutoff and what came, as `ChurnWarehouse.window` gives it.
        before: The same a horizon earlier.
    """

    model: ChurnModel
    document: dict[str, Any]
    came: pa.Table
    before: pa.Table

    def __post_init__(self) -> None:
        """Refuses a training window that reaches into the test window.

        Raises:
            ValueError: A training label window ends after the test cutoff.
        """
        plan = self.model.plan
        if max(plan.training_cutoffs) + timedelta(days=plan.horizon_days) >= plan.test_cutoff:
            raise ValueError("every training label window ends before the test cutoff")


async def _trained(circle: Circle, horizon_days: int, cutoff: datetime) -> Trained:
    """Trains and judges a model with the training cutoffs that the product chooses."""
    model = await circle.trained(NewModel(None, horizon_days, cutoff, (), 0, uuid4()))
    document = await circle.repository.document(model.id)
    if document is None:
        raise ValueError("a trained model is kept with its numbers")
    scope = await circle.known.scope(None, WATERMARK)
    came, before = [
        await circle.known.window(scope, at, horizon_days, 0, sample(1.0))
        for at in (cutoff, cutoff - timedelta(days=horizon_days))
    ]
    return Trained(model, document, came, before)


async def trained_models() -> list[Trained]:
    """Trains and judges a model in every cell, and shows how far it is."""
    async with _complete_journey() as circle:
        return [
            await _trained(circle, horizon, cutoff)
            for horizon, cutoff in track(CELLS, "training", console=Console(stderr=True))
        ]


@asynccontextmanager
async def _complete_journey() -> AsyncIterator[Circle]:
    """Opens stores, migrated and filled with every receipt; they are gone afterwards."""
    folder = reachable_folder("svoykrug-quality-")
    place = DataFolder(folder / "data")
    place.open(0)
    server = EmbeddedPostgres.start(place, durable=False)
    try:
        postgres = await Postgres.connect(PostgresOptions(server.url))
        await migrate_postgres(postgres)
        warehouse = Warehouse(WarehouseOptions(str(folder / "warehouse")), migrate_warehouse)
        await warehouse.prepare()
        circle = Circle(postgres, warehouse, ManualClock(NOW))
        await import_complete_journey(circle)
        yield circle
        await warehouse.close()
        await postgres.close()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def row_of(cells: Sequence[str]) -> str:
    """Returns a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def write_between(page: Path, marker: str, text: str) -> None:
    """Replaces what a page holds between two comments that name a marker.

    Args:
        page: A Markdown page.
        marker: Its name: `<!-- measured: name -->` begins it, `<!-- end: name -->` ends it.
        text: What takes its place.

    Raises:
        ValueError: The page has no such marker.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(f"<!-- measured: {marker} -->\n")
    _, end, after = rest.partition(f"<!-- end: {marker} -->")
    if not (begin and end):
        raise ValueError(f"{page} has no marker {marker}")
    page.write_text(f"{before}{begin}{text.rstrip()}\n{end}{after}", encoding="utf-8")
