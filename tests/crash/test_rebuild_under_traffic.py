"""Show: the warehouse is rebuilt, and dropped and rebuilt, under traffic: nothing outside analytics notices.

`benchmarks/rebuild_under_traffic.py` is the same with many rows, and prints the figures.
"""

from pathlib import Path

import pytest

from tests.crash.own_rows import BATCH_ROWS
from tests.crash.rebuilding import rebuilt_under_traffic
from tests.crash.results import RESULTS
from tests.crash.traffic import AWAY, BEING_REMADE

BATCHES = 10


@pytest.mark.parametrize("lost", [False, True], ids=["rebuilt", "dropped and rebuilt"])
async def test_no_call_fails_and_both_stores_end_equal(data_dir: Path, lost: bool) -> None:
    seen = await rebuilt_under_traffic(data_dir, BATCHES, lost=lost)
    assert not seen.failures
    assert not seen.read.wrong
    assert bool(seen.refused_reads) == lost
    assert seen.remade == (RESULTS if lost else 0)
    for fate in seen.fates.values():
        assert fate.outcomes["OK"] > 0
        assert lost or not (fate.outcomes[AWAY] or fate.outcomes[BEING_REMADE])
    assert seen.rows_meanwhile > 0
    assert seen.rows > BATCHES * BATCH_ROWS
    assert seen.postgres == seen.clickhouse
    assert seen.postgres.rows == seen.postgres.distinct == seen.rows
