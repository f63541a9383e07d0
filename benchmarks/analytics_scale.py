"""What analytics costs at scale: `python benchmarks/analytics_scale.py [purchases ...]`, from the root.

Stores of its own in a temporary folder. For each size purchases are made inside ClickHouse; the product's own services
make a snapshot, train and score churn, and show dashboard, cohorts and matrix. Up to ten million purchases PostgreSQL's
SQL and pandas do the same, in turn with the product; up to half a million their answers must be equal, figure for
figure. The tables go into docs/performance.md after each figure, so that a run that is stopped loses nothing; sizes and
figures measured before stay in them, kept in docs/performance/analytics_scale.json. Each size has a process of its own,
and the script fails where memory grows from a hundred thousand purchases to ten million.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID

import numpy as np
import uvloop
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.scale import report
from benchmarks.scale.apart import PandasProcess
from benchmarks.scale.circle import Stores, copy_to_file, copy_to_postgres, fill, open_shops, open_stores
from benchmarks.scale.in_postgres import InPostgres
from benchmarks.scale.measuring import Call, Watch, alternating, memory_mb
from benchmarks.scale.product import Product
from benchmarks.scale.report import Line, Size
from benchmarks.scale.served import CALLS, call_times
from svoykrug_server.rpc.logs import configure_logging
from tests.conftest import reachable_folder

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
SIZES = (100_000, 500_000, 10_000_000)
MOST_COMPARED = 500_000
MOST_ELSEWHERE = 10_000_000
"""Beyond, PostgreSQL takes minutes a figure and pandas needs more memory than the machine has."""
MOST_WAYS_IN_PANDAS = 1_000_000
"""pandas pairs all purchases of a member before it can drop those too far apart: 0.6 billion pairs at ten million."""
ENOUGH_SECONDS = 15.0
"""An engine that has worked so long at a figure, all rounds together, is not asked for it again."""
FLAT_FROM, FLAT_TO, FLAT_MB = 100_000, 10_000_000, 100.0
"""From the one size to the other the most memory may not grow by more than this."""
ONE_SHOP = UUID(int=1)
SNAPSHOT = "snapshot, one thread"
FIGURES = {
    SNAPSHOT: "snapshot",
    "churn: features of all": "feature_figures",
    "dashboard, cold": "dashboard_figures",
    "cohorts": "cohort_figures",
    "matrix": "way_figures",
}
"""What the engines are compared in, and the name of the method that answers."""


class NotEqual(Exception):
    """Two engines gave different figures."""


class NotFlat(Exception):
    """Memory grows with the circle."""


class Bench:
    """One run over all sizes.

    Args:
        stores: Stores of its own.
        folder: Where files may lie.
        console: Where progress is told.
        only: How the names of the figures begin that are measured; empty for all.
    """

    def __init__(self, stores: Stores, folder: Path, console: Console, only: str) -> None:
        self._stores, self._folder, self._console, self._only = stores, folder, console, only
        self._beside, self._alone = Product(stores.postgres, stores.beside), Product(stores.postgres, stores.alone)
        self._model_id = UUID(int=0)

    async def measure(self, purchases: int, rounds: int, keep: Callable[[Size], None]) -> None:
        """Measures one size.

        Args:
            purchases: The size.
            rounds: How often each engine is asked for each figure.
            keep: Given what there is after each figure: a run over the large sizes takes long, and may be stopped.
        """
        self._console.print(f"making {purchases:,} purchases")
        rows = await fill(self._stores.beside, purchases)
        # What the engine keeps of memory that making the purchases took is not what answering takes.
        await self._stores.beside.command("SYSTEM JEMALLOC PURGE")
        size = Size(purchases, rows, await self._beside.member_count(), memory_mb())
        calls = self._product_calls()
        peaks: dict[str, float] = {}
        others: list[dict[str, Call]] = [{}, {}]
        postgres, pandas = None, None
        if purchases <= MOST_ELSEWHERE:
            peaks = await self._peaks()
            postgres, pandas = await self._others(rows)
            if purchases <= MOST_COMPARED:
                await self._compare(postgres, pandas)
            others = _other_calls(postgres, pandas, purchases)
        if not self._only:
            await self._beside.cached_dashboard()  # From now on it is remembered.
        for what, call in calls.items():
            size.lines.append(await self._line(what, call, peaks.get(what), others, rounds))
            size.load = os.getloadavg()[2]
            keep(size)
        if postgres is not None and pandas is not None:
            size.pandas_mb = pandas.memory_mb()
            pandas.close()
            await postgres.close()
        if not self._only:
            await self._served(size)
            await self._one_shop(size, rounds)
        keep(size)

    async def _peaks(self) -> dict[str, float]:
        """Asks for everything once, before others are given copies, and returns the most memory the process had."""
        peaks = {}
        for what, call in self._product_calls().items():
            with Watch() as watch:
                await call()
            peaks[what] = watch.peak_mb
            self._console.print(f"{what:30} first {watch.seconds:9.3f} s, at most {watch.peak_mb:7,.0f} MB")
        return peaks

    def _product_calls(self) -> dict[str, Call]:
        product = self._beside
        calls: dict[str, Call] = {
            SNAPSHOT: product.snapshot,
            "snapshot, all cores": self._alone.snapshot,
            "churn: features of all": product.features,
            "churn: training": self._train,
            "churn: scoring all": self._score,
            "dashboard, cold": product.cold_dashboard,
            "dashboard, cached": product.cached_dashboard,
            "cohorts": product.cohorts,
            "matrix": product.matrix,
        }
        return {what: call for what, call in calls.items() if what.startswith(self._only)}

    async def _train(self) -> None:
        self._model_id = await self._beside.train()

    async def _score(self) -> None:
        await self._beside.score(self._model_id)

    async def _others(self, rows: int) -> tuple[InPostgres, PandasProcess]:
        self._console.print("copying to PostgreSQL and to a file")
        await copy_to_postgres(self._stores.beside, self._stores.postgres, rows)
        file = self._folder / "ledger.parquet"
        await copy_to_file(self._stores.beside, file, rows)
        return await InPostgres.open(self._stores.postgres), PandasProcess(file)

    async def _compare(self, postgres: InPostgres, pandas: PandasProcess) -> None:
        """Refuses figures that are not the same in all three.

        Raises:
            NotEqual: They are not.
        """
        await self._beside.snapshot()
        await postgres.snapshot()
        for name in ("snapshot_figures", "dashboard_figures", "cohort_figures", "way_figures"):
            ours = await getattr(self._beside, name)()
            theirs = [await getattr(postgres, name)(), await pandas.ask(name)]
            if not ours or any(other != ours for other in theirs):
                raise NotEqual(name)
        features = await self._beside.feature_figures()
        for other in (await postgres.feature_figures(), await pandas.ask("feature_figures")):
            if features.shape != other.shape or not np.allclose(features, other, rtol=1e-9, atol=1e-9):
                raise NotEqual("feature_figures")
        self._console.print("the figures of ClickHouse, PostgreSQL and pandas are equal")

    async def _line(
        self, what: str, call: Call, peak_mb: float | None, others: list[dict[str, Call]], rounds: int
    ) -> Line:
        calls = {"product": call}
        for name, answers in zip(("postgres", "pandas"), others, strict=True):
            if what in answers:
                calls[name] = answers[what]
        costs = await alternating(calls, rounds, ENOUGH_SECONDS)
        seconds = {name: cost.seconds for name, cost in costs.items()}
        told = ", ".join(f"{name} {took:,.3f} s" for name, took in seconds.items())
        self._console.print(f"{what:30} {told}")
        ours = costs["product"]
        peak_mb = ours.peak_mb if peak_mb is None else peak_mb
        theirs = (seconds.get("postgres"), seconds.get("pandas"))
        return Line(what, ours.seconds, ours.cpu_seconds, peak_mb, *theirs, runs=ours.runs)

    async def _served(self, size: Size) -> None:
        for what, (median_ms, p99_ms) in (await call_times(self._beside)).items():
            self._console.print(f"{what:30} median {median_ms:.1f} ms, p99 {p99_ms:.1f} ms")
            size.lines.append(Line(f"{what}, median", median_ms / 1_000, runs=CALLS))
            size.lines.append(Line(f"{what}, 99th percentile", p99_ms / 1_000, runs=CALLS))

    async def _one_shop(self, size: Size, rounds: int) -> None:
        """Asks for the dashboard of a business that made all the purchases, at a size that one may have."""
        if size.purchases <= MOST_ELSEWHERE:
            await fill(self._stores.beside, size.purchases, shops=1)
            what, call = "dashboard of one business, cold", partial(self._beside.cold_dashboard, ONE_SHOP)
            size.lines.append(await self._line(what, call, None, [{}, {}], rounds))


def _other_calls(postgres: InPostgres, pandas: PandasProcess, purchases: int) -> list[dict[str, Call]]:
    in_postgres: dict[str, Call] = {what: getattr(postgres, name) for what, name in FIGURES.items()}
    in_postgres["churn: features of all"] = postgres.features
    in_pandas: dict[str, Call] = {what: partial(pandas.run, name) for what, name in FIGURES.items()}
    if purchases > MOST_WAYS_IN_PANDAS:
        del in_pandas["matrix"]
    return [in_postgres, in_pandas]


async def run(purchases: int, rounds: int, only: str, results: Path, document: Path, console: Console) -> None:
    """Measures a size and writes the tables."""
    folder = reachable_folder("svoykrug-scale-")
    try:
        async with open_stores(folder, os.cpu_count() or 1) as stores:
            await open_shops(stores.postgres)

            def keep(size: Size) -> None:
                measured = report.read(results)
                measured[purchases] = report.joined(measured.get(purchases), size)
                report.write(results, document, [measured[key] for key in sorted(measured)])

            await Bench(stores, folder, console, only).measure(purchases, rounds, keep)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def refuse_growth(measured: dict[int, Size]) -> None:
    """Refuses memory that grows with the circle.

    Raises:
        NotFlat: It grows.
    """
    if FLAT_FROM in measured and FLAT_TO in measured:
        growth = report.growth_mb(measured[FLAT_FROM], measured[FLAT_TO])
        grown = {what: round(megabytes) for what, megabytes in growth.items() if megabytes > FLAT_MB}
        if grown:
            raise NotFlat(f"from {FLAT_FROM:,} to {FLAT_TO:,} purchases memory grew, in MB: {grown}")


def main() -> None:
    """Reads the arguments and measures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("purchases", nargs="*", type=int, default=list(SIZES))
    arguments.add_argument("--rounds", type=int, default=5, help="how often each engine is asked for each figure")
    arguments.add_argument("--only", default="", help="how the names of the figures begin that are measured")
    arguments.add_argument("--results", type=Path, default=report.KEPT, help="what earlier runs measured")
    arguments.add_argument("--document", type=Path, default=DOCUMENT, help="where the tables stand")
    asked = arguments.parse_args()
    if len(asked.purchases) == 1:
        configure_logging(human=True, level="ERROR")
        size, console = asked.purchases[0], Console(highlight=False)
        uvloop.run(run(size, asked.rounds, asked.only, asked.results, asked.document, console))
        return
    options = ["--rounds", str(asked.rounds), "--only", asked.only]
    options += ["--results", str(asked.results), "--document", str(asked.document)]
    for purchases in asked.purchases:
        # Memory is compared between sizes, so none may inherit another's.
        subprocess.run([sys.executable, __file__, str(purchases), *options], check=True)
    refuse_growth(report.read(asked.results))


if __name__ == "__main__":
    main()
