"""How good member value is: `python benchmarks/value_quality.py`, from the root; it writes the tables of its decision.

Complete Journey at four cutoffs and three horizons, scored by the product's own code with the tails that its training
measured on earlier windows: how often the 80 % intervals hold, and how far the figures are off against two naive ways.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import uvloop
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.journey_models import Trained, row_of, trained_models, write_between
from svoykrug_server.analytics.churn.blocks import BlockScorer
from svoykrug_server.rpc.logs import configure_logging

Vector = npt.NDArray[np.float64]
Held = npt.NDArray[np.bool_]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "decisions" / "member-value.md"
RESAMPLES = 1_000
KINDS = {
    "count": ("later_days", "expected_purchase_count", "purchase_count_low", "purchase_count_high", 1.0),
    "spend": ("later_spend_minor", "expected_spend_minor", "spend_low_minor", "spend_high_minor", 100.0),
}
"""Column of the truth, of the figure, of both ends, and what to divide by."""
ACTIVITY = ((0.5, "0.5 or more"), (0.2, "0.2 to 0.5"), (0.05, "0.05 to 0.2"), (0.0, "less than 0.05"))
"""Groups of members by the churn model's probability of no purchase: not those that the tails are measured for."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What was said of one kind of figure and what came; arrays have shape (members,).

    Attributes:
        truth: What came.
        said: The figure.
        low, high: The ends of the calibrated interval.
        nominal_low, nominal_high: The ends with a tenth left out at either.
        last_period: What came in the horizon before the cutoff.
        mean_rate: What came a day since the first purchase, times the horizon.
        absence: The churn model's probability of no purchase.
    """

    truth: Vector
    said: Vector
    low: Vector
    high: Vector
    nominal_low: Vector
    nominal_high: Vector
    last_period: Vector
    mean_rate: Vector
    absence: Vector

    @property
    def held(self) -> Held:
        """Whether the calibrated interval holds the truth."""
        return (self.low <= self.truth) & (self.truth <= self.high)

    @property
    def nominal_held(self) -> Held:
        """Whether the interval of a tenth at either end holds it."""
        return (self.nominal_low <= self.truth) & (self.truth <= self.nominal_high)


def foreseen(trained: Trained, kind: str) -> Foreseen:
    """Scores the members of the test window as the product does, with and without the tails of training."""
    truth, said, low, high, unit = KINDS[kind]
    known = trained.came.append_column("segment", pa.array(np.zeros(trained.came.num_rows, dtype=np.int64)))
    nominal = {name: value for name, value in trained.document.items() if name != "value"}
    scored, wide = (
        BlockScorer(each, ()).score(known, UUID(int=0), UUID(int=0)) for each in (trained.document, nominal)
    )
    days, spend, tenure = (_column(trained.came, name) for name in ("purchase_days", "spend_minor", "tenure_days"))
    ever = days if kind == "count" else spend
    earlier = dict(zip(trained.before["member_id"].to_pylist(), _column(trained.before, truth), strict=True))
    # Who came first in the last period bought everything in it.
    last = [
        earlier.get(member, all_of_it) for member, all_of_it in zip(known["member_id"].to_pylist(), ever, strict=True)
    ]
    return Foreseen(
        truth=_column(trained.came, truth) / unit,
        said=_column(scored, said) / unit,
        low=_column(scored, low) / unit,
        high=_column(scored, high) / unit,
        nominal_low=_column(wide, low) / unit,
        nominal_high=_column(wide, high) / unit,
        last_period=np.array(last) / unit,
        mean_rate=ever * trained.model.plan.horizon_days / np.maximum(tenure, 1.0) / unit,
        absence=_column(scored, "probability"),
    )


def _column(table: pa.Table, name: str) -> Vector:
    values: Vector = table[name].to_numpy().astype(np.float64)
    return values


def share(held: Held) -> str:
    """Returns a share with its 95 % binomial interval."""
    mean = float(held.mean())
    error = 1.96 * (mean * (1 - mean) / len(held)) ** 0.5
    return f"{mean:.3f} ± {error:.3f}"


def head_of(trained: Trained) -> list[str]:
    """Returns the first two cells of a row."""
    return [str(trained.model.plan.horizon_days), f"{trained.model.plan.test_cutoff:%d %b}"]


Cells = Sequence[tuple[Trained, dict[str, Foreseen]]]


def coverage(cells: Cells) -> Iterator[str]:
    """Yields how often the intervals hold and how wide they are, with a tenth at either end and calibrated."""
    for kind in KINDS:
        yield from ("", f"{kind.capitalize()}:", "")
        yield row_of(["horizon", "cutoff", "a tenth at either end", "mean width", "**calibrated**", "mean width"])
        yield row_of(["---:", "---", *["---:"] * 4])
        for trained, found in cells:
            row = found[kind]
            widths = [f"{np.mean(row.nominal_high - row.nominal_low):.1f}", f"{np.mean(row.high - row.low):.1f}"]
            yield row_of([*head_of(trained), share(row.nominal_held), widths[0], f"**{share(row.held)}**", widths[1]])
        before, after = (
            np.array([getattr(found[kind], name).mean() for _, found in cells]) for name in ("nominal_held", "held")
        )
        noise = sum(abs(found[kind].held.mean() - 0.8) <= _noise(found[kind].held) for _, found in cells)
        yield ""
        yield (
            f"Mean {before.mean():.3f} before, {after.mean():.3f} calibrated, the farthest from .800 by"
            f" {abs(after - 0.8).max():.3f}; in {noise} of {len(cells)} cells .800 is within the sampling interval."
        )


def _noise(held: Held) -> float:
    return float(1.96 * (held.mean() * (1 - held.mean()) / len(held)) ** 0.5)


def coverage_by_activity(cells: Cells) -> Iterator[str]:
    """Yields how often the intervals hold by how likely members are to stay away, over all cells."""
    titles = [f"{kind}, {name}" for kind in KINDS for name in ("a tenth at either end", "**calibrated**")]
    yield row_of(["probability of no purchase", "members", *titles])
    yield row_of(["---", "---:", *["---:"] * len(titles)])
    above = 1.1
    for least, title in ACTIVITY:
        shares, members = [], 0
        for kind in KINDS:
            rows = [(row, (row.absence >= least) & (row.absence < above)) for row in (each[kind] for _, each in cells)]
            members = sum(int(those.sum()) for _, those in rows)
            shares += [
                f"{np.concatenate([getattr(row, name)[those] for row, those in rows]).mean():.3f}"
                for name in ("nominal_held", "held")
            ]
        yield row_of([title, f"{members:,}", *shares])
        above = least


def errors(cells: Cells) -> Iterator[str]:
    """Yields the mean absolute error and the error of the total of the forecast and of two naive ways."""
    for kind in KINDS:
        yield from ("", f"{kind.capitalize()}:", "")
        yield row_of(["horizon", "cutoff", "last period", "mean rate", "**forecast**", "less the better naive one"])
        yield row_of(["---:", "---", *["---:"] * 4])
        for trained, found in cells:
            row = found[kind]
            ways = [_error(row, each) for each in (row.last_period, row.mean_rate, row.said)]
            off = [np.abs(way - row.truth).mean() for way in (row.last_period, row.mean_rate)]
            better = row.last_period if off[0] < off[1] else row.mean_rate
            ways[2] = f"**{ways[2]}**"
            yield row_of([*head_of(trained), *ways, _difference(row, better)])


def _error(row: Foreseen, way: Vector) -> str:
    return f"{np.abs(way - row.truth).mean():.2f} ({100 * (way.sum() / row.truth.sum() - 1):+.1f} %)"


def _difference(row: Foreseen, way: Vector) -> str:
    """Returns the forecast's mean absolute error less another's, with a paired bootstrap interval."""
    gaps = np.abs(row.said - row.truth) - np.abs(way - row.truth)
    drawn = np.random.default_rng(1).integers(0, len(gaps), (RESAMPLES, len(gaps)))
    low, high = np.percentile(gaps[drawn].mean(axis=1), (2.5, 97.5))
    return f"{gaps.mean():+.2f} ({low:+.2f} to {high:+.2f})"


def main() -> None:
    """Measures and writes the tables."""
    configure_logging(human=True, level="ERROR")
    models = uvloop.run(trained_models())
    cells = [(trained, {kind: foreseen(trained, kind) for kind in KINDS}) for trained in models]
    lines = [f"Measured on {datetime.now(UTC):%d %B %Y}, load average {os.getloadavg()[0]:.1f}.", ""]
    lines += ["### How often the intervals hold", *coverage(cells), "", *coverage_by_activity(cells), ""]
    lines += ["### How far the figures are off", "", "Mean absolute error per household (error of the total)."]
    write_between(PAGE, "value quality", "\n".join([*lines, *errors(cells)]))
    Console().print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
