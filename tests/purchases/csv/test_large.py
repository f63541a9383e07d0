"""A large file is read in memory that does not grow with it."""

import asyncio
import time
from collections.abc import Iterator
from uuid import uuid4

import psutil
import pytest
from rich.console import Console

from svoykrug_server.purchases.csv.model import CsvFormat, ImportState
from tests.purchases.circle import IMPORTER, Circle
from tests.purchases.csv.running import NoProgress, figures

LINES = 200_000
MEMBERS = 50
CHUNK_BYTES = 1 << 20
MOST_GROWTH_BYTES = 100 * 1024 * 1024


def chunks() -> Iterator[bytes]:
    """Returns the file in chunks, never the whole of it."""
    waiting = bytearray("Телефон;Чек;Сумма;Дата;Комментарий\r\n".encode("windows-1251"))
    for number in range(LINES):
        line = (
            f"8 (900) 000-00-{number % MEMBERS:02};чек-{number};1 {number % 1000:03},{number % 100:02};"
            f"{number % 28 + 1:02}.{number % 12 + 1:02}.2025 12:{number % 60:02};маникюр и {'покрытие ' * 4}\r\n"
        )
        waiting += line.encode("windows-1251")
        if len(waiting) >= CHUNK_BYTES:
            yield bytes(waiting[:CHUNK_BYTES])
            del waiting[:CHUNK_BYTES]
    yield bytes(waiting)


class PeakMemory:
    """Watches how much memory the process has while something runs."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self.growth_bytes = 0

    async def watch(self) -> None:
        """Watches until it is cancelled."""
        while True:
            self.growth_bytes = max(self.growth_bytes, self._process.memory_info().rss - self._before)
            await asyncio.sleep(0.02)


async def test_two_hundred_thousand_rows_are_tried_and_written_in_flat_memory(
    circle: Circle, capsys: pytest.CaptureFixture[str]
) -> None:
    business_id, uploads, size_bytes = await circle.add_business(), circle.csv.uploads, 0
    for number in range(MEMBERS):
        await circle.add_member(f"+79000000{number:03}")
    started = await uploads.start(IMPORTER, business_id, CsvFormat(), uuid4())
    for chunk in chunks():
        size_bytes = await uploads.upload(IMPORTER, business_id, started.id, size_bytes, chunk)
    for dry_run in (True, False):
        operation = await uploads.finish(IMPORTER, business_id, started.id, None, dry_run=dry_run)
        parameters = (await circle.operations.get(IMPORTER, operation.id)).parameters
        memory = PeakMemory()
        watching, begun = asyncio.create_task(memory.watch()), time.perf_counter()
        await circle.csv.work["import_csv"](parameters, NoProgress())
        seconds = time.perf_counter() - begun
        watching.cancel()
        with capsys.disabled():
            Console(width=120).print(
                f"{'tried' if dry_run else 'written'}: {LINES:,} rows, {size_bytes / 2**20:.0f} MB: {seconds:.1f} s,",
                f"{LINES / seconds:,.0f} rows/s, memory +{memory.growth_bytes / 2**20:.0f} MB at its peak",
            )
        assert memory.growth_bytes < MOST_GROWTH_BYTES
    ended = await uploads.get(IMPORTER, business_id, started.id)
    assert (ended.state, figures(ended)) == (ImportState.WRITTEN, (LINES, LINES, 0, 0))
