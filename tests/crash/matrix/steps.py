"""The steps at which something is killed, what a server does then, and how the stores show that it landed there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import cast

from tests.crash.matrix.analytics_work import Operating, Promotion, Scoring, Snapshot, Training
from tests.crash.matrix.faults import ClickHouseKilled, DiskFull, Fault, PostgresKilled
from tests.crash.matrix.night_work import Night, NightOfSnapshots
from tests.crash.matrix.place import Place
from tests.crash.matrix.purchases_work import (
    Importing,
    ImportingMore,
    Proving,
    Rebuilding,
    ShippingAgain,
    Tampered,
)
from tests.crash.matrix.seen import Record, Seen
from tests.crash.matrix.work import Work


@dataclass(frozen=True, slots=True)
class Death:
    """What a kill left behind.

    Attributes:
        before: Both stores before the server started.
        left: Both stores while it was dead.
        work: What it was at.
    """

    before: Seen
    left: Seen
    work: Work

    @property
    def operation(self) -> Record:
        """The one operation that is new."""
        return cast(Operating, self.work).made(self.before, self.left)

    @property
    def row_is(self) -> int | None:
        """By how much the watched row of the warehouse is wrong; None when it is not there."""
        rows = self.left.watched
        return int(rows[0][0]) - cast(Tampered, self.work).amount_minor if rows else None

    def running_at(self, *stages: str) -> bool:
        """Tells whether the operation is still a worker's, at one of these stages."""
        return bool(self.operation["state"] == "running" and self.operation["stage"] in stages)

    @property
    def night(self) -> Record:
        """The run of the job that was due."""
        work = cast(Night, self.work)
        return next(
            run for run in self.left.runs if (run["job"], run["period"]) == (work.job, work.periods[work.job.value])
        )

    @property
    def started(self) -> list[Record]:
        """The operations that are new."""
        known = {each["id"] for each in self.before.operations}
        return [each for each in self.left.operations if each["id"] not in known]


@dataclass(frozen=True, slots=True)
class Step:
    """A place at which something is killed.

    Attributes:
        component: What is killed there.
        words: What the place is called in the table.
        work: What the server does then.
        failpoint: Where the server kills itself; empty where a store fails under it.
        landed: Tells from both stores whether the kill landed there.
        most_times: At most at which coming there.
        fault: What happens to a store; None where the server dies.
    """

    component: str
    words: str
    work: Callable[[Place, Random], Work]
    failpoint: str = ""
    landed: Callable[[Death], bool] = lambda _: True
    most_times: int = 1
    fault: type[Fault] | None = None


def _claimed(death: Death) -> bool:
    pipe = death.left.pipeline
    return pipe.unshipped_batches == 0 and death.left.copy.rows == pipe.sealed_rows < pipe.committed_rows


def _sealed(death: Death) -> bool:
    pipe = death.left.pipeline
    return pipe.unshipped_batches == 1 and death.left.copy.rows == pipe.shipped_rows < pipe.sealed_rows


def _inserted(death: Death) -> bool:
    pipe = death.left.pipeline
    return pipe.unshipped_batches == 1 and pipe.shipped_rows < death.left.copy.rows == pipe.sealed_rows


def _shipped(death: Death) -> bool:
    pipe = death.left.pipeline
    shipped = pipe.shipped_rows > death.before.pipeline.shipped_rows
    return shipped and pipe.unshipped_batches == 0 and death.left.copy.rows == pipe.shipped_rows


def _reopened(death: Death) -> bool:
    return death.left.proof["full_proof_time"] is not None and bool(death.left.proof["reopened_days"])


def _compared(death: Death) -> bool:
    proof = death.left.proof
    return bool(proof["unproven_days"]) and bool(proof["proven_time"] == death.before.proof["proven_time"])


def _proven(death: Death) -> bool:
    proof = death.left.proof
    return bool(proof["proven_time"] > death.before.proof["proven_time"] and death.row_is == 1)


def _disputed(row_is: int | None) -> Callable[[Death], bool]:
    return lambda death: death.left.proof["disputed_days"] == 1 and death.row_is == row_is


def _rebuilding(row_is: int) -> Callable[[Death], bool]:
    def landed(death: Death) -> bool:
        wanted = death.left.proof["rebuild_id"] is not None
        return wanted and bool(death.left.rebuilt_rows) and death.row_is == row_is

    return landed


def _snapshot(*, stage: str, has_rows: bool, published: bool) -> Callable[[Death], bool]:
    def landed(death: Death) -> bool:
        snapshot = death.left.snapshots[death.operation["made_id"]]
        rows, _ = death.left.build_of(snapshot["id"])
        return death.running_at(stage) and (rows > 0, snapshot["published"]) == (has_rows, published)

    return landed


def _scoring(*, stage: str, has_rows: bool, finished: bool, graded: bool = False) -> Callable[[Death], bool]:
    def landed(death: Death) -> bool:
        made_id = death.operation["made_id"]
        rows, _ = death.left.scores.get(made_id, (0, 0))
        found = death.left.scorings.get(made_id)
        stands = (rows > 0, found is not None, found is not None and found["graded"])
        return death.running_at(stage) and stands == (has_rows, finished, graded)

    return landed


def _training(*, kept: bool) -> Callable[[Death], bool]:
    return lambda death: death.running_at("keep") and (death.operation["made_id"] in death.left.models) == kept


def _promotion(*, serves: bool) -> Callable[[Death], bool]:
    return lambda death: (cast(Promotion, death.work).model_id in death.left.serving) == serves


def _night(state: str, *, started: bool | None = None, all_ended: bool = False) -> Callable[[Death], bool]:
    def landed(death: Death) -> bool:
        ended = all(each["state"] == "succeeded" for each in death.started)
        count, whole = len(death.started), len(cast(Night, death.work).scopes())
        right = started is None or (count > 0) == started
        return death.night["state"] == state and right and (not all_ended or (ended and count == whole))

    return landed


RELAY = [
    Step("relay", "inside a seal's transaction", Importing, "relay.claimed", _claimed, 3),
    Step("relay", "sealed, not inserted", Importing, "relay.sealed", _sealed, 3),
    Step("relay", "inserted, not marked shipped", Importing, "relay.inserted", _inserted, 3),
    Step("relay", "marked shipped", Importing, "relay.shipped", _shipped, 3),
    Step("relay", "a broken batch deleted, not inserted again", ShippingAgain, "relay.batch_deleted", _sealed),
]
PROOF = [
    Step("proof, repair, rebuild", "every day reopened", Proving, "reconciler.touched", _reopened),
    Step("proof, repair, rebuild", "compared, not noted", Proving, "reconciler.compared", _compared),
    Step("proof, repair, rebuild", "noted as proven", Proving, "reconciler.proven", _proven),
    Step("proof, repair, rebuild", "day deleted, not written again", Proving, "reconciler.deleted", _disputed(None)),
    Step("proof, repair, rebuild", "day written again, not proven", Proving, "reconciler.inserted", _disputed(0)),
    Step("proof, repair, rebuild", "new table half filled", Rebuilding, "rebuild.copied", _rebuilding(1), 3),
    Step("proof, repair, rebuild", "tables exchanged, not noted", Rebuilding, "rebuild.exchanged", _rebuilding(0)),
]
SNAPSHOT = [
    Step(
        "operation, snapshot",
        "operation taken",
        Snapshot,
        "operation.taken",
        _snapshot(stage="", has_rows=False, published=False),
    ),
    Step(
        "operation, snapshot",
        "build begun",
        Snapshot,
        "snapshot.begun",
        _snapshot(stage="score", has_rows=False, published=False),
    ),
    Step(
        "operation, snapshot",
        "rows written, not published",
        Snapshot,
        "snapshot.scored",
        _snapshot(stage="score", has_rows=True, published=False),
    ),
    Step(
        "operation, snapshot",
        "published",
        Snapshot,
        "snapshot.published",
        _snapshot(stage="publish", has_rows=True, published=True),
    ),
    Step(
        "operation, snapshot",
        "work done, operation not ended",
        Snapshot,
        "operation.worked",
        _snapshot(stage="publish", has_rows=True, published=True),
    ),
    Step(
        "operation, snapshot",
        "operation ended",
        Snapshot,
        "operation.succeeded",
        lambda death: death.operation["state"] == "succeeded",
    ),
]
CHURN = [
    Step("training, promotion", "learned, not kept", Training, "training.learned", _training(kept=False)),
    Step("training, promotion", "model kept", Training, "training.kept", _training(kept=True)),
    Step("training, promotion", "inside the promotion", Promotion, "promotion.written", _promotion(serves=False)),
    Step("training, promotion", "promoted", Promotion, "promotion.committed", _promotion(serves=True)),
]
SCORING = [
    Step(
        "scoring",
        "computed, not inserted",
        Scoring,
        "scoring.scored",
        _scoring(stage="score", has_rows=False, finished=False),
    ),
    Step(
        "scoring",
        "inserted, not published",
        Scoring,
        "scoring.inserted",
        _scoring(stage="score", has_rows=True, finished=False),
    ),
    Step(
        "scoring",
        "published",
        Scoring,
        "scoring.published",
        _scoring(stage="publish", has_rows=True, finished=True),
    ),
    Step(
        "scoring",
        "graded, receipt not kept",
        Scoring,
        "receipt.graded",
        _scoring(stage="grade", has_rows=True, finished=True),
    ),
    Step(
        "scoring",
        "receipt kept",
        Scoring,
        "receipt.kept",
        _scoring(stage="grade", has_rows=True, finished=True, graded=True),
    ),
]
SCHEDULE = [
    Step("schedule", "job taken", Night, "schedule.claimed", _night("running", started=False)),
    Step("schedule", "operation started", NightOfSnapshots, "schedule.started", _night("running", started=True), 4),
    Step("schedule", "work done, not noted", Night, "schedule.worked", _night("running", all_ended=True)),
    Step("schedule", "noted as done", Night, "schedule.finished", _night("done", all_ended=True)),
]
STORES = [
    Step("stores", "PostgreSQL killed, importing", ImportingMore, fault=PostgresKilled),
    Step("stores", "PostgreSQL killed, snapshot", Snapshot, fault=PostgresKilled),
    Step("stores", "PostgreSQL killed, scoring", Scoring, fault=PostgresKilled),
    Step("stores", "ClickHouse killed, importing", ImportingMore, fault=ClickHouseKilled),
    Step("stores", "ClickHouse killed, snapshot", Snapshot, fault=ClickHouseKilled),
    Step("stores", "ClickHouse killed, scoring", Scoring, fault=ClickHouseKilled),
    Step("stores", "disk full, importing", ImportingMore, fault=DiskFull),
    Step("stores", "disk full, scoring", Scoring, fault=DiskFull),
]
STEPS: Sequence[Step] = (*RELAY, *PROOF, *SNAPSHOT, *CHURN, *SCORING, *SCHEDULE, *STORES)


def spread(runs: int) -> list[Step]:
    """Returns so many steps: each as often as any other, or, of fewer runs than steps, every so-manieth step."""
    if runs >= len(STEPS):
        return [STEPS[number % len(STEPS)] for number in range(runs)]
    return [STEPS[number * len(STEPS) // runs] for number in range(runs)]
