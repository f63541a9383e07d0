"""What both stores say of a folder, asked from outside the server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from svoykrug_server.kit.caller import SYSTEM_ID
from svoykrug_server.storage.postgres import Postgres
from tests.crash.own_rows import Totals
from tests.crash.stores_seen import WAREHOUSE_TOTALS, Pipeline, pipeline

# How far are proof, repair and rebuild?
_PROOF = """
    SELECT count(*) FILTER (WHERE touched_batch_id > proven_batch_id) AS unproven_days,
        count(*) FILTER (WHERE proven_batch_id < 0) AS reopened_days, count(disputed_since_time) AS disputed_days,
        max(proven_time) AS proven_time, (SELECT full_proof_time FROM relay_state) AS full_proof_time,
        (SELECT rebuild_id FROM relay_state) AS rebuild_id
    FROM proven_days
"""

# How does each operation stand, and what is it to make?
_OPERATIONS = """
    SELECT id, kind, state, stage, attempt_count AS attempts, starter_id,
        coalesce(parameters->>'snapshot_id', parameters->>'scoring_id', parameters->>'churn_model_id')::uuid AS made_id,
        (parameters->>'business_id')::uuid AS business_id
    FROM operations ORDER BY id
"""

# Which snapshots are there, and which build of each is published?
_SNAPSHOTS = """
    SELECT id, business_id, cutoff_time, watermark, build_id, publish_time IS NOT NULL AS published, member_count
    FROM snapshots
"""

# Which models are there, and how often was each promoted?
_MODELS = """
    SELECT id, state, (
        SELECT count(*) FROM audit_events WHERE action = 'CHURN_MODEL_PROMOTED' AND target_id = churn_models.id::text
    ) AS promotions
    FROM churn_models
"""

# Which scorings are finished, and which of them are graded?
_SCORINGS = """
    SELECT s.id, s.cutoff_time, s.watermark, s.scored_count, r.scoring_id IS NOT NULL AS graded
    FROM churn_scorings AS s LEFT JOIN churn_receipts AS r ON r.scoring_id = s.id
"""

# How does each job of the schedule stand in each period?
_RUNS = "SELECT job, period, state, attempt_count AS attempts FROM scheduled_runs"

# How many rows has each build, and how many members?
BUILDS = "SELECT build_id, count(), uniqExact(member_id) FROM snapshot_members GROUP BY build_id"

# How many rows has each scoring, and how many members?
SCORES = "SELECT scoring_id, count(), uniqExact(member_id) FROM churn_scores GROUP BY scoring_id"

# How many rows has the table that a rebuild fills?
REBUILT = "SELECT total_rows FROM system.tables WHERE database = 'svoykrug' AND name = 'purchases_rebuilt'"

STATEMENTS = (WAREHOUSE_TOTALS, BUILDS, SCORES, REBUILT)

Record = asyncpg.Record


@dataclass(frozen=True, slots=True)
class Seen:
    """Both stores at one moment.

    Attributes:
        pipeline: How far the purchases are.
        proof: How far proof, repair and rebuild are.
        operations: The operations, the oldest first.
        snapshots: Snapshots by id.
        models: Models by id.
        scorings: Finished scorings by id.
        runs: Jobs in periods.
        copy: The purchases in ClickHouse.
        builds: Rows and members of each build of a snapshot.
        scores: Rows and members of each scoring.
        rebuilt_rows: Rows of the table that a rebuild fills; None when there is none.
        watched: What ClickHouse answered to the work's own question.
    """

    pipeline: Pipeline
    proof: Record
    operations: Sequence[Record]
    snapshots: Mapping[UUID, Record]
    models: Mapping[UUID, Record]
    scorings: Mapping[UUID, Record]
    runs: Sequence[Record]
    copy: Totals
    builds: Mapping[UUID, tuple[int, int]]
    scores: Mapping[UUID, tuple[int, int]]
    rebuilt_rows: int | None
    watched: Sequence[Sequence[Any]]

    def operation(self, made_id: UUID | None) -> Record | None:
        """Returns the operation that makes a thing."""
        return next((each for each in self.operations if each["made_id"] == made_id), None)

    def build_of(self, snapshot_id: UUID) -> tuple[int, int]:
        """Returns rows and members of a snapshot's latest build; none when it has none."""
        return self.builds.get(self.snapshots[snapshot_id]["build_id"], (0, 0))

    @property
    def serving(self) -> set[UUID]:
        """The models that serve."""
        return {model_id for model_id, model in self.models.items() if model["state"] == "serving"}


async def seen(postgres: Postgres, answers: Sequence[Sequence[Sequence[Any]]]) -> Seen:
    """Returns both stores as they are.

    Args:
        postgres: PostgreSQL.
        answers: What ClickHouse answers to `STATEMENTS`, and to the work's own question if it has one.
    """
    async with postgres.read() as connection:
        proof = await connection.fetchrow(_PROOF)
        asked = [await connection.fetch(sql) for sql in (_OPERATIONS, _SNAPSHOTS, _MODELS, _SCORINGS, _RUNS)]
    operations, snapshots, models, scorings, runs = asked
    totals, builds, scores, rebuilt, *watched = answers
    assert proof is not None
    return Seen(
        pipeline=await pipeline(postgres),
        proof=proof,
        operations=operations,
        snapshots={row["id"]: row for row in snapshots},
        models={row["id"]: row for row in models},
        scorings={row["id"]: row for row in scorings},
        runs=runs,
        copy=Totals(*map(int, totals[0])),
        builds=_counts(builds),
        scores=_counts(scores),
        rebuilt_rows=int(rebuilt[0][0]) if rebuilt else None,
        watched=watched[0] if watched else (),
    )


def _counts(rows: Sequence[Sequence[Any]]) -> dict[UUID, tuple[int, int]]:
    return {UUID(str(key)): (int(count), int(members)) for key, count, members in rows}


# Which rows does the ledger hold, as the warehouse is to hold them?
_ENTRIES = """
    SELECT entry_id, purchase_id, entry.business_id, member_id, amount_minor, purchase_time, ingest_time
    FROM purchase_entries AS entry JOIN outbox USING (outbox_id) JOIN sealed_batches USING (batch_id)
"""


async def ledger_rows(postgres: Postgres) -> list[Record]:
    """Returns the sealed rows of the ledger."""
    async with postgres.read() as connection:
        rows: list[Record] = await connection.fetch(_ENTRIES)
    return rows


async def all_proven(postgres: Postgres) -> bool:
    """Tells whether every day at every business is proven, and none disputed."""
    async with postgres.read() as connection:
        proof = await connection.fetchrow(_PROOF)
    assert proof is not None
    return (proof["unproven_days"], proof["disputed_days"]) == (0, 0)


async def begin_rebuild(postgres: Postgres) -> None:
    """Asks for a rebuild of the warehouse, as `svoykrug warehouse rebuild` does."""
    await execute(postgres, "UPDATE relay_state SET rebuild_id = gen_random_uuid()")


async def end_leases(postgres: Postgres) -> None:
    """Ends the leases of a server that is dead: the next one need not wait for them."""
    await execute(
        postgres,
        "UPDATE relay_state SET lease_expire_time = now() - interval '1 s'",
        "UPDATE operations SET lease_expire_time = now() - interval '1 s' WHERE state = 'running'",
        "UPDATE scheduled_runs SET lease_expire_time = now() - interval '1 s' WHERE state = 'running'",
    )
    await end_waits(postgres)


async def end_waits(postgres: Postgres) -> None:
    """Ends the waits before another attempt."""
    await execute(postgres, "UPDATE operations SET due_time = now() WHERE state = 'queued'")


async def execute(postgres: Postgres, *statements: str) -> None:
    """Executes statements in one transaction."""
    async with postgres.transaction() as tx:
        driver = await tx.driver()
        for statement in statements:
            await driver.execute(statement)


async def make_due(postgres: Postgres, job: str, periods: Mapping[str, str]) -> None:
    """Makes one job due now, as if it had never been done for its period, and no other.

    Args:
        postgres: PostgreSQL.
        job: The job.
        periods: The period that is due now, by job.
    """
    long_ago = {name: "2000" if name == job else period for name, period in periods.items()}
    async with postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.execute("DELETE FROM scheduled_runs")
        # Otherwise the operations of the last time would do for this one.
        await driver.execute("DELETE FROM idempotency_records WHERE subject = $1", str(SYSTEM_ID))
        await driver.executemany(
            "INSERT INTO scheduled_runs (job, period, state, create_time, end_time)"
            " VALUES ($1, $2, 'done', now(), now())",
            list(long_ago.items()),
        )


# As if it had beaten every baseline beyond doubt: which models are good enough is not tried here.
_GOOD_ENOUGH = """
    UPDATE churn_models SET card = jsonb_set(card, '{differences}', (
        SELECT jsonb_agg(each || '{"share_better": 1}' || jsonb_build_object(
            'estimate', each->'estimate' || '{"value": 0.01}'
        ))
        FROM jsonb_array_elements(card->'differences') AS each
    ))
"""

# One more model that is as good.
_TWIN = """
    INSERT INTO churn_models (id, business_id, horizon_days, population_days, test_cutoff_time, training_cutoff_times,
        watermark, algorithm, features, card, document, create_time)
    SELECT gen_random_uuid(), business_id, horizon_days, population_days, test_cutoff_time, training_cutoff_times,
        watermark, algorithm, features, card, document, create_time
    FROM churn_models
"""


async def make_promotable(postgres: Postgres) -> list[UUID]:
    """Makes two models that may be promoted, in turn, of the one that there is; returns them."""
    await execute(postgres, _GOOD_ENOUGH, _TWIN)
    async with postgres.read() as connection:
        return [row["id"] for row in await connection.fetch("SELECT id FROM churn_models")]
