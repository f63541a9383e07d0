"""The table of targets: what each is held against, and what measures it."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.bench import getme, growth, isolation
from benchmarks.bench.figures import Figure, Part
from benchmarks.bench.mix import EASY
from benchmarks.scale import report as scale

MISSED = "**no**"


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure, or the ratio of two, and its bound.

    Attributes:
        part: Which part of the bench measures it.
        figure: The figure's name.
        bound: What it must not cross.
        unit: What it is told in.
        over: The figure it is divided by; empty for none.
        at_least: Whether the bound is the least, not the most.
        reason: What was measured of why it is missed; told where it is.
    """

    part: str
    figure: str
    bound: float
    unit: str
    over: str = ""
    at_least: bool = False
    reason: str = ""

    def value(self, parts: Mapping[str, Part]) -> float | None:
        """Returns the median, or the ratio of medians; None where it was not measured."""
        figures = parts[self.part].figures if self.part in parts else {}
        if self.figure not in figures or (self.over and self.over not in figures):
            return None
        return figures[self.figure].median / (figures[self.over].median if self.over else 1.0)

    def told(self, parts: Mapping[str, Part]) -> tuple[str, str, str]:
        """Returns target, measured value, and whether it is met, as a table shows them."""
        sign = ">=" if self.at_least else "<="
        value = self.value(parts)
        if value is None:
            return f"{sign} {self.bound:,g}{self.unit}", "not measured", ""
        met = value >= self.bound if self.at_least else value <= self.bound
        return f"{sign} {self.bound:,g}{self.unit}", f"{_rounded(value)}{self.unit}", "yes" if met else MISSED


SCALE = "[Analytics at scale](#analytics-at-scale)"
AT_SCALE = "analytics_scale"
"""The part that `analytics_scale.py` keeps in a file of its own."""
CHURN, CHURN_PARTS = "churn, all of it", ("churn: features of all", "churn: training", "churn: scoring all")
P99, AT_RISK = "99th percentile", "ListAtRiskMembers, first page of 50"
INSTRUCTIONS = (
    "an empty call is grpc.aio's own work; the edge's steps, a read of PostgreSQL and its answer come on top:"
    " [where the time of GetMe goes](#where-the-time-of-getme-goes)"
)
SNAPSHOT = (
    "it takes some 1.3 s of processor time, so two cores cannot take less than 0.65 s: of 1.34 s 0.34 were reading the"
    " columns, 0.23 finding corrections, 0.3 grouping by member, 0.2 ranks and insert, the rest above all the join of"
    f" purchases with corrections; what else was tried stands in {SCALE}"
)
HUNDRED_MILLION = (
    "its cost of a purchase is that of ten million and more: its memory grows from 592 to 1,515 MB, so what it"
    " looks up for each purchase lies outside of the processor's caches, which would explain the growth; it was not"
    " taken apart at a hundred million"
)
CHURNED = (
    "26 s are features, 26 training with its judging and calibrating, 42 scoring with reasons, by one thread beside"
    f" serving; by part in {SCALE}"
)
ONE_RUN = "one run, in which half took no more than 38.6 ms; in a run before it was 45.6"
SETTLES = (
    "what it was given did not stay with it, by the account of its allocators; prepared statements of its connections,"
    " at most 100 each, are still being filled in: [what a worker's memory does](#what-a-workers-memory-does)"
)
STAND_BACK = (
    "a snapshot uses one of the two cores for as long as it takes, and the server, PostgreSQL and the callers share the"
    " other: calls wait for a turn of the kernel's scheduler. With the engine's threads at the lowest priority (nice"
    " 19; busy machine, medians of five rounds) p95 was 2.0 ms and p99 5.6, without it 4.3 and 6.6, quiet"
    " 2.1 and 2.7; left out, as threads of the engine serve calls too, and those would wait for everybody. Beside one"
    " of 100 million, as the target has it, it was not measured"
)
ENTRIES = (
    "who bought takes some 0.4 s of processor time: ten million entries are read and grouped by member, which two cores"
    f" cannot do in less than 0.2 s; by part in {SCALE}"
)
SHARED = (
    "a caller may begin 100 calls a second and is refused 100 times a second at most; what these cost, their statements"
    " above all, shares the processor with everybody's: `decisions/overload.md`"
)
IMPORTED = (
    "most of its processor time is importing 1,500 modules in one thread, on a busy machine 1.0 of 1.2 s with outside"
    " stores and of 1.45 s with embedded ones: [what an idle server holds](#what-an-idle-server-holds)"
)
ENGINE = (
    "importing the ClickHouse engine, its pyarrow and what a server imports comes to 380 MB; 178 MB are the mapped file"
    " of the engine's library: [what an idle server holds](#what-an-idle-server-holds)"
)
PACKAGES = (
    "140 MB are Python and imported packages, SQLAlchemy 22 MB of them:"
    " [what an idle server holds](#what-an-idle-server-holds)"
)
IMPORTS = (
    "writing a purchase takes 16 to 18 us of one PostgreSQL process, most of it for five indexes, and with all that"
    " follows it takes some 41 us of two cores: [what an import costs](#what-an-import-costs)"
)
RELAYED = (
    "COPY, the note of its days and the insert follow one another, beside proofs and tiers of the same rows on the same"
    " cores: [what an import costs](#what-an-import-costs)"
)
FULL = (
    "a thousand calls a second leave two cores 2 ms each; what a call takes of the server, PostgreSQL and its callers"
    " stands with the mix"
)
MIX = (("p50", 5), ("p95", 15), ("p99", 40))


def _scaled(what: str, purchases: int) -> str:
    return f"{what}, {purchases:,} purchases"


def _at_scale(what: str, millions: int, bound: float, unit: str, reason: str) -> Measure:
    return Measure(AT_SCALE, _scaled(what, millions * 1_000_000), bound, unit, reason=reason)


TARGETS: tuple[tuple[str, Measure], ...] = (
    (
        "GetMe, calls/s against FastAPI + SQLAlchemy ORM, 100 in flight",
        Measure("getme", getme.against(getme.ORM, 100, getme.RATE), 2.6, "x", at_least=True),
    ),
    (
        "the same, where FastAPI remembers verified tokens too",
        Measure("getme", getme.against(getme.ORM_REMEMBERING, 100, getme.RATE), 2.6, "x", at_least=True),
    ),
    (
        "GetMe, p99 against that of FastAPI + SQLAlchemy ORM, 100 in flight",
        Measure("getme", getme.against(getme.ORM, 100, getme.TAIL), 0.333, "x"),
    ),
    (
        "GetMe, calls/s against an empty grpc.aio call",
        Measure(
            "getme",
            getme.against(getme.EMPTY, 100, getme.RATE),
            0.4,
            "x",
            at_least=True,
            reason=INSTRUCTIONS,
        ),
    ),
    ("steps of the edge on an empty call of a member", Measure("edge", "steps of a call for members: us", 35, " us")),
    ("mix at 1,000 calls/s, p50", Measure("mix", "all: p50 ms", 5, " ms", reason=FULL)),
    ("mix, p95", Measure("mix", "all: p95 ms", 15, " ms", reason=FULL)),
    ("mix, p99", Measure("mix", "all: p99 ms", 40, " ms", reason=FULL)),
    ("mix, errors", Measure("mix", "all: errors", 0, "", reason=FULL)),
    *((f"mix at 500 calls/s, {p}", Measure("mix", f"{EASY}: {p} ms", most, " ms")) for p, most in MIX),
    ("mix for five minutes, p99", Measure("long_mix", f"{getme.PRODUCT}, all: p99 ms", 40, " ms", reason=FULL)),
    ("mix for five minutes, errors", Measure("long_mix", f"{getme.PRODUCT}, all: errors", 0, "", reason=FULL)),
    *(
        (
            f"mix, p99 beside {kind} against its quiet p99",
            Measure("isolation", f"beside {kind}: p99 ms", 2, "x", f"{isolation.QUIET}: p99 ms", reason=SHARED),
        )
        for kind in isolation.KINDS
    ),
    (
        "ImportPurchases, into PostgreSQL",
        Measure("bulk", "import: rows/s", 100_000, " rows/s", at_least=True, reason=IMPORTS),
    ),
    (
        "relay, PostgreSQL to ClickHouse",
        Measure("bulk", "relay alone: rows/s", 200_000, " rows/s", at_least=True, reason=RELAYED),
    ),
    ("relay, lag beside an import", Measure("bulk", "relay beside an import: most lag s", 2, " s")),
    ("snapshot of 10 million, all cores", Measure("analytics", "snapshot, all cores: s", 0.5, " s", reason=SNAPSHOT)),
    ("snapshot of 10 million, one thread", Measure("analytics", "snapshot, one thread: s", 1, " s", reason=SNAPSHOT)),
    ("snapshot of 100 million, all cores", _at_scale("snapshot, all cores", 100, 6, " s", HUNDRED_MILLION)),
    ("snapshot of 100 million, one thread", _at_scale("snapshot, one thread", 100, 12, " s", HUNDRED_MILLION)),
    ("churn of 50 million purchases and a million members, all of it", _at_scale(CHURN, 50, 10, " s", CHURNED)),
    ("GetMemberInsight, p99", Measure("analytics", "GetMemberInsight: p99 ms", 20, " ms")),
    ("ListAtRiskMembers, p99", Measure("analytics", "ListAtRiskMembers, first page of 50: p99 ms", 50, " ms")),
    ("GetMemberInsight at 2 million members, p99", _at_scale(f"GetMemberInsight, {P99}", 100, 0.02, " s", ONE_RUN)),
    ("ListAtRiskMembers at 2 million members, p99", _at_scale(f"{AT_RISK}, {P99}", 100, 0.05, " s", ONE_RUN)),
    (
        "dashboard of 10 million, cold",
        Measure("analytics", "dashboard of one business, cold: s", 0.15, " s", reason=ENTRIES),
    ),
    ("the same, cached", Measure("analytics", "dashboard of one business, cached: s", 0.005, " s")),
    (
        "GetMe, p99 beside a snapshot of 10 million against its quiet p99",
        Measure("analytics", "GetMe, beside a snapshot: p99 ms", 2, "x", "GetMe, quiet: p99 ms", reason=STAND_BACK),
    ),
    ("the call of the mix that grows most with ten times the members", Measure("growth", growth.WORST, 1.25, "x")),
    ("the same with a hundred times", Measure("long_growth", growth.WORST, 1.5, "x")),
    (
        "the analytics whose cost of a purchase grows most from 10 to 100 million purchases",
        Measure("growth", growth.WORST_PURCHASE, 1.14, "x", reason=HUNDRED_MILLION),
    ),
    *(
        (
            f"memory of the {process} after twenty minutes against after five",
            Measure(
                "long_memory", f"{process}: MB at the end", 1.01, "x", f"{process}: MB after a quarter", reason=SETTLES
            ),
        )
        for process in ("server", "worker")
    ),
    ("warm start, embedded stores", Measure("starting", "embedded stores: start s", 0.9, " s", reason=IMPORTED)),
    ("idle memory, embedded stores", Measure("starting", "embedded stores: idle MB", 360, " MB", reason=ENGINE)),
    ("warm start, outside stores", Measure("starting", "outside stores: start s", 0.5, " s", reason=IMPORTED)),
    ("idle memory, outside stores", Measure("starting", "outside stores: idle MB", 130, " MB", reason=PACKAGES)),
)


def rows(parts: Mapping[str, Part]) -> list[tuple[str, str, str, str, str]]:
    """Returns the table: what, target, measured, met, and what measures it."""
    held = {**parts, AT_SCALE: _scale()}
    return [(what, *target.told(held), f"`{_command(target.part)}`") for what, target in TARGETS]


def reasons(parts: Mapping[str, Part]) -> list[str]:
    """Returns why targets are missed, as far as it was found."""
    held = {**parts, AT_SCALE: _scale()}
    missed = ((what, each) for what, each in TARGETS if each.told(held)[2] == MISSED)
    by_reason: dict[str, list[str]] = {}
    for what, each in missed:
        by_reason.setdefault(each.reason, []).append(what)
    return [f"- {'; '.join(whats)}: {reason}." for reason, whats in by_reason.items() if reason]


def _scale() -> Part:
    """Returns what `analytics_scale.py` has measured, in seconds by what was asked and of how many purchases."""
    figures: dict[str, Figure] = {}
    for purchases, size in scale.read(scale.KEPT).items():
        seconds = {line.what: line.seconds for line in size.lines}
        if set(CHURN_PARTS) <= seconds.keys():
            seconds[CHURN] = sum(seconds[part] for part in CHURN_PARTS)
        figures |= {_scaled(what, purchases): Figure.of([each]) for what, each in seconds.items()}
    return Part({}, 0.0, figures)


def _command(part: str) -> str:
    return f"benchmarks/{part}.py" if part.startswith(("long_", AT_SCALE)) else f"make bench WHAT={part}"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
