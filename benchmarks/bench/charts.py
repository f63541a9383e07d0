"""Charts of what was measured, as SVG: bars with the spread of the rounds, and lines; readable on light and dark."""

from collections.abc import Mapping
from math import log
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from benchmarks.bench import getme, growth
from benchmarks.bench.figures import Figure, Part, Series
from benchmarks.bench.flatness import Slope

OURS, OTHERS, INK = "#1b7f5a", "#8a94a6", "#5b6472"
LINES = (OURS, "#c2571a", "#3b6fb6", "#8e4fa8", "#b08900", "#c0396b")


def draw(parts: Mapping[str, Part], folder: Path) -> dict[str, Path]:
    """Draws a chart of each part that has one, and returns where they are, by part."""
    charts: dict[str, Path] = {}
    if "getme" in parts:
        figures = parts["getme"].figures
        ending = ", 100 in flight: calls/s"
        rates = {name.removesuffix(ending): figure for name, figure in figures.items() if name.endswith(ending)}
        charts["getme"] = _bars(rates, "GetMe, calls a second, 100 in flight", folder / "getme.svg")
    if "steps" in parts:
        steps = parts["steps"].figures.items()
        layers = {name.removesuffix(": us"): figure for name, figure in steps if name.endswith(": us")}
        charts["steps"] = _bars(layers, "GetMe, microseconds of processor time", folder / "steps.svg")
    if "mix" in parts:
        ending = ": p99 ms"
        tails = {name.removesuffix(ending): f for name, f in parts["mix"].figures.items() if name.endswith(ending)}
        charts["mix"] = _bars(tails, "Mix at 1,000 calls/s, 99th percentile, ms", folder / "mix.svg")
    if "long_mix" in parts:
        ending = ": p99 ms"
        tails = {name.removesuffix(ending): f for name, f in parts["long_mix"].figures.items() if name.endswith(ending)}
        title = "Mix at 1,000 calls/s for minutes, 99th percentile, ms"
        charts["long_mix"] = _bars(tails, title, folder / "long_mix.svg")
    if "long_memory" in parts:
        charts["long_memory"] = _memory(parts["long_memory"].series, folder / "long_memory.svg")
    for name in ("growth", "long_growth"):
        if name in parts:
            charts[name] = _growth(growth.lines_of(parts[name].figures), folder / f"{name}.svg")
    return charts


def _growth(calls: Series, file: Path) -> Path:
    """Draws what calls cost by members, and what purchases cost analytics by purchases; both axes grow by factors."""
    canvas = Canvas(figsize=(11, 4.8), layout="constrained")
    titles = ("A call, ms, by members", "A purchase in analytics, us of processor time, by purchases")
    for axes, lines, title in zip(canvas.subplots(1, 2), (calls, growth.purchase_lines()), titles, strict=True):
        for number, (name, line) in enumerate(lines.items()):
            style = ("-", "--")[number // len(LINES)]
            axes.plot(*zip(*line, strict=True), style, color=LINES[number % len(LINES)], marker="o", ms=3, label=name)
        _log_n(axes, lines)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(which="both", axis="y", color=OTHERS, alpha=0.2)
        axes.legend(
            frameon=False,
            labelcolor=INK,
            fontsize=7,
            handlelength=4,
            loc="upper left",
            bbox_to_anchor=(0, -0.1),
            ncols=2,
        )
        _dress(axes, title)
    canvas.savefig(file, transparent=True, metadata={"Date": None})
    return file


def _log_n(axes: Axes, lines: Series) -> None:
    """Draws from the top of the smallest size how much a line may rise when nothing is worse than n log n."""
    sizes = sorted({size for line in lines.values() for size, _ in line})
    top = max((value for line in lines.values() for size, value in line if size == sizes[0]), default=0.0)
    rise = [top * log(size) / log(sizes[0]) for size in sizes]
    axes.plot(sizes, rise, ":", color=INK, linewidth=1, label="as log n")


def _memory(series: Series, file: Path) -> Path:
    """Draws memory over time, and the line through it after the first quarter."""
    canvas = Canvas(figsize=(8, 3.2), layout="constrained")
    axes = canvas.subplots()
    for colour, (name, samples) in zip((OURS, OTHERS), series.items(), strict=True):
        axes.plot(*zip(*samples, strict=True), color=colour, linewidth=1, label=name)
        slope, last = Slope.of(samples), samples[-1][0]
        axes.plot([slope.begin_minutes, last], [slope.begin_mb, slope.end_mb], color=INK, linewidth=1, linestyle="--")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, labelcolor=INK)
    axes.set_xlabel("minutes", color=INK)
    return _saved(canvas, axes, "Memory over mix, imports and snapshots, MB", file)


def _bars(figures: Mapping[str, Figure], title: str, file: Path) -> Path:
    """Draws one bar a figure, the product's in its colour, with a line from the smallest to the largest round."""
    canvas = Canvas(figsize=(8, 0.8 + 0.36 * len(figures)), layout="constrained")
    axes = canvas.subplots()
    names = list(figures)[::-1]
    medians = [figures[name].median for name in names]
    below = [figures[name].median - figures[name].least for name in names]
    above = [figures[name].most - figures[name].median for name in names]
    compared = any(name.startswith(getme.PRODUCT) for name in names)
    colours = [OURS if name.startswith(getme.PRODUCT) or not compared else OTHERS for name in names]
    axes.barh(names, medians, xerr=[below, above], color=colours, ecolor=INK, height=0.62)
    for place, name in enumerate(names):
        told = f" {figures[name].median:,.0f}" if figures[name].median >= 100 else f" {figures[name].median:.3g}"
        axes.annotate(told, (figures[name].most, place), va="center", color=INK, fontsize=9)
    axes.set_xmargin(0.12)
    return _saved(canvas, axes, title, file)


def _saved(canvas: Canvas, axes: Axes, title: str, file: Path) -> Path:
    _dress(axes, title)
    canvas.savefig(file, transparent=True, metadata={"Date": None})
    return file


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.tick_params(which="both", colors=INK, length=0)
    axes.spines[:].set_visible(False)
