"""The table of targets: what each is held against, and what measures it."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.bench import getme, growth, isolation
from benchmarks.bench.figures import Part
from benchmarks.bench.mix import EASY

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


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A target that takes too long for `make bench`.

    Attributes:
        target: The target.
        command: What measures it.
        found: Where its last figure stands.
    """

    target: str
    command: str
    found: str


SCALE = "Analytics at scale"
INSTRUCTIONS = (
    "an empty call is grpc.aio's own work; the edge's steps, a read of PostgreSQL and its answer come on top:"
    " [where the time of GetMe goes](#where-the-time-of-getme-goes)"
)
JOIN = (
    "most of its processor time is the join of entries with corrections, 1.26 s with one thread and 1.4 s with"
    " both cores, which take 0.7 s for it at best"
)
STAND_BACK = (
    "a snapshot uses one of the two cores for as long as it takes, and the server, PostgreSQL and the callers share the"
    " other: calls wait for a turn of the kernel's scheduler. With the engine's threads at the lowest priority (nice"
    " 19; busy machine, medians of five rounds) p95 was 2.0 ms and p99 5.6, without it 4.3 and 6.6, quiet"
    " 2.1 and 2.7; left out, as threads of the engine serve calls too, and those would wait for everybody"
)
ENTRIES = (
    "who bought takes some 0.4 s of processor time: ten million entries are read and grouped by member, which two cores"
    f" cannot do in less than 0.2 s; by part in {SCALE}"
)
SHARED = (
    "a caller may begin 200 calls a second and is refused 100 times a second at most; what these cost, their statements"
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
TARGETS: tuple[tuple[str, Measure | Elsewhere], ...] = (
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
    ("snapshot of 10 million, all cores", Measure("analytics", "snapshot, all cores: s", 0.5, " s", reason=JOIN)),
    ("snapshot of 10 million, one thread", Measure("analytics", "snapshot, one thread: s", 1, " s", reason=JOIN)),
    ("snapshot of 100 million", Elsewhere("<= 6 s; beside serving <= 12 s", "analytics_scale.py 100000000", SCALE)),
    ("churn, 50 million purchases, 1 million members", Elsewhere("<= 10 s", "analytics_scale.py 50000000", SCALE)),
    ("GetMemberInsight, p99", Measure("analytics", "GetMemberInsight: p99 ms", 20, " ms")),
    ("ListAtRiskMembers, p99", Measure("analytics", "ListAtRiskMembers, first page of 50: p99 ms", 50, " ms")),
    ("both at 2 million members", Elsewhere("<= 20 ms, <= 50 ms", "analytics_scale.py 100000000", SCALE)),
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
        "the analytics whose cost of a purchase grows most from 100 thousand to 100 million purchases",
        Measure("growth", growth.WORST_PURCHASE, 1.6, "x"),
    ),
    ("warm start, embedded stores", Measure("starting", "embedded stores: start s", 0.9, " s", reason=IMPORTED)),
    ("idle memory, embedded stores", Measure("starting", "embedded stores: idle MB", 360, " MB", reason=ENGINE)),
    ("warm start, outside stores", Measure("starting", "outside stores: start s", 0.5, " s", reason=IMPORTED)),
    ("idle memory, outside stores", Measure("starting", "outside stores: idle MB", 130, " MB", reason=PACKAGES)),
)


def rows(parts: Mapping[str, Part]) -> list[tuple[str, str, str, str, str]]:
    """Returns the table: what, target, measured, met, and what measures it."""
    table = []
    for what, target in TARGETS:
        if isinstance(target, Elsewhere):
            table.append((what, target.target, f"see {target.found}", "", f"`benchmarks/{target.command}`"))
        else:
            table.append((what, *target.told(parts), f"`{_command(target.part)}`"))
    return table


def reasons(parts: Mapping[str, Part]) -> list[str]:
    """Returns why targets are missed, as far as it was found."""
    missed = ((what, each) for what, each in TARGETS if isinstance(each, Measure) and each.told(parts)[2] == MISSED)
    by_reason: dict[str, list[str]] = {}
    for what, each in missed:
        by_reason.setdefault(each.reason, []).append(what)
    return [f"- {'; '.join(whats)}: {reason}." for reason, whats in by_reason.items() if reason]


def _command(part: str) -> str:
    return f"benchmarks/{part}.py" if part.startswith("long_") else f"make bench WHAT={part}"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
