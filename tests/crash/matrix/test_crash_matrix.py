"""Show: whatever is killed, at whatever step, the next server finishes the work: nothing is lost and nothing doubled.

A run is: the real server does something and is killed at a named step (`kit/failpoints.py`), or a store fails under it;
both stores are asked whether that landed at the step; the next server in the same data folder, or the one whose store
came back, is asked again for the same; then everything that was ever sent or made is counted in both stores.

`make test` runs a sample of the steps, `make soak` 200 runs over all of them (`--crash-runs 200`).
"""

from pathlib import Path

import pytest
from rich.console import Console

from tests.crash.matrix.disk import small_disk
from tests.crash.matrix.place import opened
from tests.crash.matrix.run import Matrix
from tests.crash.matrix.steps import spread
from tests.crash.matrix.table import Outcome, show
from tests.crash.matrix.work import Harm

SEED = 4


@pytest.mark.timeout(3600)
async def test_whatever_is_killed_at_whatever_step_nothing_is_lost_and_nothing_doubled(
    data_dir: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = spread(request.config.getoption("--crash-runs"))
    outcomes: list[Outcome] = []
    with small_disk(data_dir) as disk:
        async with opened(data_dir, SEED) as place:
            matrix = Matrix(place, disk, SEED)
            await matrix.begin()
            try:
                async for outcome in matrix.runs(steps):
                    outcomes.append(outcome)  # noqa: PERF401  what was done is shown when a run fails
            finally:
                with capsys.disabled():
                    show(outcomes, Console(width=200))
    assert [outcome.step.words for outcome in outcomes if not outcome.hit] == []
    assert sum((outcome.harm for outcome in outcomes), Harm()) == Harm()
    assert {outcome.step.words for outcome in outcomes} == {step.words for step in steps}
