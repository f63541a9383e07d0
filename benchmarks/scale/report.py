"""What was measured, kept between runs, and the tables made of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

BEGIN, END = "<!-- analytics_scale: begin -->", "<!-- analytics_scale: end -->"
"""Between these lines of docs/performance.md stands what the script wrote."""
KEPT = Path(__file__).resolve().parent.parent.parent / "docs" / "performance" / "analytics_scale.json"
"""What was measured of analytics so far."""


@dataclass(slots=True)
class Line:
    """One figure at one size.

    Attributes:
        what: The figure.
        seconds: The product's median.
        cpu_seconds: The median of the processor time of its process, the embedded engine's among it; None where it
            was not taken.
        peak_mb: The most memory its process had when it was first asked for.
        postgres_seconds: PostgreSQL's median; None where it was not asked.
        pandas_seconds: The same of pandas.
        runs: How many times the product was asked.
    """

    what: str
    seconds: float
    cpu_seconds: float | None = None
    peak_mb: float | None = None
    postgres_seconds: float | None = None
    pandas_seconds: float | None = None
    runs: int = 1


@dataclass(slots=True)
class Size:
    """What was measured at one size.

    Attributes:
        purchases: The size that was asked for.
        rows: Entries of the ledger.
        members: Members who bought.
        resting_mb: Memory of the process when the ledger was made and nothing asked yet; None where it was not taken.
        pandas_mb: Memory of pandas's process once it had answered everything it was asked.
        load: The machine's load average over a quarter of an hour at the end; of two cores.
        lines: The figures.
    """

    purchases: int
    rows: int
    members: int
    resting_mb: float | None
    pandas_mb: float | None = None
    load: float = 0.0
    lines: list[Line] = field(default_factory=list)


def read(file: Path) -> dict[int, Size]:
    """Returns what earlier runs kept, by size."""
    if not file.exists():
        return {}
    kept = [
        Size(**{**size, "lines": [Line(**line) for line in size["lines"]]}) for size in json.loads(file.read_text())
    ]
    return {size.purchases: size for size in kept}


def joined(before: Size | None, size: Size) -> Size:
    """Returns what a run has measured of a size so far, and below it what only the runs before it did."""
    measured = {line.what for line in size.lines}
    kept = [] if before is None else [line for line in before.lines if line.what not in measured]
    return replace(size, lines=[*size.lines, *kept])


def write(file: Path, document: Path, sizes: Sequence[Size]) -> None:
    """Keeps what was measured for later runs, and puts the tables between their lines in the document."""
    file.write_text(json.dumps([asdict(size) for size in sizes], indent=1) + "\n")
    text = document.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    document.write_text(f"{before}{BEGIN}\n\n{tables(sizes)}\n\n{END}{after}")


def tables(sizes: Sequence[Size]) -> str:
    """Returns everything as Markdown: what each figure costs, and what each size is."""
    lines = [
        "| purchases | what | time | of | processor time | most memory | PostgreSQL | pandas |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for size in sizes:
        for line in size.lines:
            ours = (_time(line.seconds), str(line.runs), _time(line.cpu_seconds), _memory(line.peak_mb))
            theirs = (_time(line.postgres_seconds), _time(line.pandas_seconds))
            lines.append(_row(f"{size.purchases:,}", line.what, *ours, *theirs))
    lines += ["", "| purchases | entries | members | memory at rest | most memory | pandas | load |"]
    lines += ["| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for size in sizes:
        counts = (f"{size.purchases:,}", f"{size.rows:,}", f"{size.members:,}")
        memory = (_memory(size.resting_mb), _memory(most_mb(size)), _memory(size.pandas_mb))
        lines.append(_row(*counts, *memory, f"{size.load:.1f}"))
    return "\n".join(lines)


def most_mb(size: Size) -> float:
    """Returns the most memory the process had, whatever it was asked."""
    return max((line.peak_mb or 0.0 for line in size.lines), default=0.0)


def growth_mb(small: Size, large: Size) -> dict[str, float]:
    """Returns by how much the most memory of each figure differs between two sizes."""
    before = {line.what: line.peak_mb for line in small.lines if line.peak_mb is not None}
    after = {line.what: line.peak_mb for line in large.lines if line.peak_mb is not None}
    return {what: after[what] - before[what] for what in before if what in after}


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{1_000 * seconds:,.1f} ms" if seconds < 0.1 else f"{seconds:,.2f} s"


def _memory(megabytes: float | None) -> str:
    return "" if megabytes is None else f"{megabytes:,.0f} MB"
