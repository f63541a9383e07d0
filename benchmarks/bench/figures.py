"""Measured figures: medians of alternating rounds, kept as JSON beside the document that shows them."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Series = Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        median: The median of all rounds.
        least: The smallest of them.
        most: The largest of them.
        rounds: How many there were.
    """

    median: float
    least: float
    most: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        """Returns the figure of some rounds."""
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of the bench measured.

    Attributes:
        machine: The machine, versions and date.
        busy: What share of the cores was busy before it began.
        figures: By name: what was measured, then in what, such as `product, 100 in flight: calls/s`.
        note: What a reader must know of it.
        series: What a chart shows as lines, by name: pairs of numbers.
    """

    machine: Mapping[str, str]
    busy: float
    figures: Mapping[str, Figure]
    note: str = ""
    series: Series = field(default_factory=dict)


Measured = tuple[Mapping[str, Figure], str]
"""What a part returns: its figures, and what a reader must know of them."""


def read(file: Path) -> dict[str, Part]:
    """Returns what was measured before, by part."""
    if not file.exists():
        return {}
    kept: dict[str, dict[str, Any]] = json.loads(file.read_text())
    return {
        name: Part(**{**part, "figures": {key: Figure(**figure) for key, figure in part["figures"].items()}})
        for name, part in kept.items()
    }


def write(file: Path, parts: Mapping[str, Part]) -> None:
    """Keeps what was measured."""
    kept = {name: asdict(part) for name, part in parts.items()}
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
