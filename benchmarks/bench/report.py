"""What was measured, as tables in docs/performance.md, charts beside it, and the JSON that both are made of."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.bench import getme, targets
from benchmarks.bench.charts import draw
from benchmarks.bench.figures import Figure, Part, read, write
from benchmarks.bench.processes import ROOT

DOCUMENT = ROOT / "docs" / "performance.md"
KEPT = ROOT / "docs" / "performance" / "bench.json"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
"""Between these lines of the document stands what the bench wrote."""
TITLES = {
    "getme": "GetMe, side by side",
    "steps": "Where each microsecond of GetMe goes",
    "edge": "Steps of the edge on an empty call",
    "mix": "The mix at 1,000 calls/s",
    "isolation": "Slow and abusive callers beside others",
    "bulk": "Imports and the relay",
    "analytics": "Analytics at ten million purchases",
    "starting": "Start and idle memory",
    "growth": "Cost of a call as the circle grows",
    "several": "Several processes behind the same ports",
}
LONG = {
    "long_growth": "Cost of a call up to a million members",
    "long_mix": "The mix for five minutes, and on FastAPI",
    "long_mix_easy": "The mix for five minutes at another pace, and on FastAPI",
    "long_memory": "Memory of server and worker over twenty minutes",
}
"""What takes too long for `make bench`: scripts of these names; `long_mix.py` has two."""
KNOWN = TITLES | LONG


def keep(name: str, part: Part) -> None:
    """Keeps what a part measured, and writes tables and charts anew."""
    parts = read(KEPT) | {name: part}
    KEPT.parent.mkdir(exist_ok=True)
    write(KEPT, {known: parts[known] for known in KNOWN if known in parts})
    charts = draw(parts, KEPT.parent)
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{written(parts, charts)}\n\n{END}{after}")


def written(parts: Mapping[str, Part], charts: Mapping[str, Path]) -> str:
    """Returns everything as Markdown."""
    lines = [_row("what", "target", "measured", "met", "by"), _row("---", "---:", "---:", "---", "---")]
    lines += [_row(*row) for row in targets.rows(parts)]
    if missed := targets.reasons(parts):
        lines += ["", "Why targets are missed, as far as it was found:", "", *missed]
    for name, title in KNOWN.items():
        if name in parts:
            lines += ["", f"### {title}", "", *_part(parts[name])]
            lines += ["", _whole(parts)] if name == "steps" and "getme" in parts else []
            lines += ["", f"![{title}]({charts[name].relative_to(DOCUMENT.parent)})"] if name in charts else []
    for part in _latest_by_processor(parts):
        lines += ["", _machine(part)]
    return "\n".join(lines)


def _whole(parts: Mapping[str, Part]) -> str:
    """Returns what the layers of GetMe are of the whole call, as a real server was seen to pay for it."""
    figures = parts["getme"].figures
    whole, empty = (figures[f"{name}, 100 in flight: server CPU us"].median for name in (getme.PRODUCT, getme.EMPTY))
    ours = sum(
        figure.median
        for name, figure in parts["steps"].figures.items()
        if name.endswith(": us") and not name.startswith("edge, ")
    )
    return (
        f"The layers are {ours:.0f} us together. A server under load was seen to use {whole:.0f} us a call, and"
        f" {empty:.0f} for an empty one, which is gRPC and the event loop between calls. The other"
        f" {whole - ours - empty:.0f} us are in neither: a call that waits for PostgreSQL is woken once more, and what"
        " runs by turns finds the caches of the processor cold. Edge and statement were seen to take 31 us where each"
        " runs alone, and 56 where they follow each other. The parts of the edge are by the clock, in a loop that does"
        " nothing else, so they are cheaper there than in the layers."
    )


def _part(part: Part) -> list[str]:
    rounds = max(figure.rounds for figure in part.figures.values())
    spread = "One run" if rounds == 1 else f"Medians of {rounds} rounds, in brackets the smallest and the largest"
    commit = f", of {part.machine['commit']}" if "commit" in part.machine else ""
    told = (
        f"{part.note} {spread}; {part.machine['date']}{commit}, when {part.busy:.0%} of the machine was busy with other"
        " work."
    )
    return [told.strip(), "", *_table(part.figures)]


def _latest_by_processor(parts: Mapping[str, Part]) -> list[Part]:
    """Returns the last part that each kind of machine measured, the oldest first."""
    by_date = sorted(parts.values(), key=lambda part: part.machine["date"])
    latest = {part.machine["processor"]: part for part in by_date}
    return sorted(latest.values(), key=lambda part: part.machine["date"])


def _machine(part: Part) -> str:
    """Returns what the figures depend on."""
    bare = ("date", "processor", "commit")
    facts = [f"{name} {value}" for name, value in part.machine.items() if name not in bare]
    return f"The machine of {part.machine['date']}: {part.machine['processor']}, {', '.join(facts)}."


def _table(figures: Mapping[str, Figure]) -> list[str]:
    """Returns a table with a row for each thing that was measured and a column for each unit it was measured in."""
    split = {name: name.rpartition(": ") for name in figures}
    units = list(dict.fromkeys(unit for _, _, unit in split.values()))
    rows: dict[str, dict[str, str]] = {}
    for name, (what, _, unit) in split.items():
        rows.setdefault(what, {})[unit] = _told(figures[name])
    lines = [_row("", *units), _row("---", *["---:"] * len(units))]
    return lines + [_row(what, *(cells.get(unit, "") for unit in units)) for what, cells in rows.items()]


def _told(figure: Figure) -> str:
    median = _number(figure.median)
    return median if figure.rounds == 1 else f"{median} ({_number(figure.least)} - {_number(figure.most)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
