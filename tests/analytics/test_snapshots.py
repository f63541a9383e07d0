"""Publishing snapshots: atomic, repeatable after a crash, never while the stores disagree."""

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from svoykrug_server.analytics.model import SnapshotPlan
from svoykrug_server.analytics.service import NewSnapshot
from svoykrug_server.kit.errors import DomainError, FailedPrecondition, InvalidFields
from svoykrug_server.operations.model import OperationState
from tests.analytics.circles import BUSINESSES, CUTOFF, WATERMARK, ingest, random_circle
from tests.analytics.snapshots import Analytics
from tests.callers import admin, service
from tests.waiting import until

DAY = timedelta(days=1)


async def refused(call: Awaitable[object]) -> DomainError:
    with pytest.raises(DomainError) as refusal:
        await call
    return refusal.value


async def test_a_snapshot_is_published_with_all_it_was_computed_from(analytics: Analytics) -> None:
    await ingest(analytics.warehouse, random_circle(1))
    snapshot = await analytics.snapshot(BUSINESSES[0], window_days=90)
    plan = snapshot.plan
    assert (plan.business_id, plan.cutoff, plan.window_days) == (BUSINESSES[0], CUTOFF, 90)
    assert (plan.watermark, plan.rules_version) == (WATERMARK, "rfm-1")
    assert snapshot.member_count == await analytics.row_count() > 0
    assert snapshot.publish_time == analytics.clock.now()


async def test_without_a_cutoff_the_watermark_is_it_and_without_a_window_a_year(analytics: Analytics) -> None:
    snapshot = await analytics.snapshot(cutoff=None)
    assert (snapshot.plan.cutoff, snapshot.plan.window_days) == (WATERMARK, 365)


@pytest.mark.parametrize("watermark", [None, CUTOFF - DAY])
async def test_a_cutoff_ahead_of_the_watermark_is_refused_and_nothing_is_queued(
    analytics: Analytics, watermark: datetime | None
) -> None:
    analytics.proofs.known_up_to = watermark
    refusal = await refused(analytics.ask())
    assert isinstance(refusal, FailedPrecondition)
    assert refusal.reason == "CUTOFF_AHEAD_OF_WATERMARK"
    assert not await analytics.runner().run_one()


async def test_the_same_request_again_gets_the_first_operation(analytics: Analytics) -> None:
    caller, request_id = admin(), uuid4()
    asked = NewSnapshot(None, None, 0, request_id)
    first = await analytics.service.create(caller, asked)
    analytics.proofs.known_up_to = WATERMARK + DAY
    assert (await analytics.service.create(caller, asked)).id == first.id
    assert await analytics.runner().run_one()
    assert not await analytics.runner().run_one()


async def test_the_same_request_id_for_another_snapshot_is_refused(analytics: Analytics) -> None:
    caller, request_id = service("analytics.write"), uuid4()
    await analytics.service.create(caller, NewSnapshot(None, CUTOFF, 0, request_id))
    refusal = await refused(analytics.service.create(caller, NewSnapshot(None, CUTOFF, 30, request_id)))
    assert isinstance(refusal, InvalidFields)
    assert refusal.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize("answers", [[True], [False, True]], ids=["before", "while computing"])
async def test_nothing_is_published_while_the_stores_disagree(analytics: Analytics, answers: list[bool]) -> None:
    await ingest(analytics.warehouse, random_circle(2, purchases=300))
    operation = await analytics.ask(BUSINESSES[1])
    asked = len(answers)
    analytics.proofs.disputed_answers = list(answers)
    await analytics.runner().run_one()
    assert analytics.proofs.asked == [(BUSINESSES[1], CUTOFF)] * asked
    assert (await analytics.operation(operation)).state is OperationState.QUEUED
    assert await analytics.repository.latest(BUSINESSES[1], None) is None
    assert await analytics.row_count() == 0


async def test_a_snapshot_is_published_once_the_stores_are_repaired(analytics: Analytics) -> None:
    await ingest(analytics.warehouse, random_circle(2, purchases=300))
    operation = await analytics.ask()
    analytics.proofs.disputed_answers = [True]
    await analytics.runner().run_one()
    await make_due(analytics)
    assert await analytics.runner().run_one()
    assert (await analytics.operation(operation)).state is OperationState.SUCCEEDED


async def make_due(analytics: Analytics) -> None:
    """Lets a waiting operation be taken at once."""
    async with analytics.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE operations SET due_time = now()")


async def test_an_operation_fails_with_its_reason_when_the_stores_keep_disagreeing(analytics: Analytics) -> None:
    operation = await analytics.ask()
    analytics.proofs.disputed_answers = [True, True]
    for _ in range(2):
        await make_due(analytics)
        await analytics.runner().run_one()
    failure = (await analytics.operation(operation)).failure
    assert failure is not None
    assert failure.reason == "STORES_DISAGREE"


@pytest.mark.parametrize("step", ["snapshot.begun", "snapshot.scored", "snapshot.published"])
async def test_a_process_killed_at_any_step_leaves_no_row_twice(postgres_url: str, data_dir: Path, step: str) -> None:
    died = await run_worker(postgres_url, data_dir, f"{step}:1")
    assert died is None
    ended = await run_worker(postgres_url, data_dir, "")
    assert ended is not None
    assert ended["state"] == "succeeded"
    assert ended["attempts"] == 2
    assert ended["rows"] == ended["members"] == ended["member_count"] > 0


async def run_worker(postgres_url: str, data_dir: Path, failpoints: str) -> "dict[str, Any] | None":
    """Runs the snapshot of a circle in a process of its own; returns what it says, None when it was killed."""
    root = Path(__file__).parents[2]
    command = (sys.executable, "-m", "tests.analytics.snapshot_worker", postgres_url, str(data_dir), failpoints)
    process = await asyncio.create_subprocess_exec(*command, cwd=root, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


async def test_work_repeated_after_publication_changes_nothing(analytics: Analytics) -> None:
    await ingest(analytics.warehouse, random_circle(3))
    snapshot = await analytics.snapshot()
    result = await analytics.builder.run({"snapshot_id": str(snapshot.id)}, Silent())
    assert result == {"snapshot_id": str(snapshot.id)}
    assert await analytics.repository.find(None, snapshot.id) == snapshot
    assert await analytics.row_count() == snapshot.member_count


class Silent:
    """Progress that nobody watches."""

    async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:
        """Says nothing."""


async def test_an_attempt_that_was_overtaken_publishes_nothing_and_leaves_nothing(analytics: Analytics) -> None:
    await ingest(analytics.warehouse, random_circle(3))
    await analytics.ask()
    async with analytics.postgres.read() as connection:
        snapshot_id = await connection.fetchval("SELECT id FROM snapshots")
    rows_build = analytics.rows.build

    async def build_and_be_overtaken(plan: SnapshotPlan, build_id: UUID) -> None:
        await rows_build(plan, build_id)
        analytics.rows.build = rows_build  # type: ignore[method-assign]  # the second attempt is undisturbed
        await analytics.builder.run({"snapshot_id": str(snapshot_id)}, Silent())

    analytics.rows.build = build_and_be_overtaken  # type: ignore[method-assign]  # the first attempt is slow
    with pytest.raises(asyncio.CancelledError):
        await analytics.builder.run({"snapshot_id": str(snapshot_id)}, Silent())
    snapshot = await analytics.repository.find(None, snapshot_id)
    assert snapshot is not None
    assert await analytics.row_count() == snapshot.member_count
    assert (await analytics.rows.contents(snapshot.build_id)).member_count == snapshot.member_count


async def test_a_cancelled_snapshot_leaves_nothing(analytics: Analytics) -> None:
    await ingest(analytics.warehouse, random_circle(4))
    operation = await analytics.ask()
    rows_build, built = analytics.rows.build, asyncio.Event()

    async def build_and_hang(plan: SnapshotPlan, build_id: UUID) -> None:
        await rows_build(plan, build_id)
        built.set()
        await asyncio.Event().wait()

    analytics.rows.build = build_and_hang  # type: ignore[method-assign]  # long enough to be cancelled
    running = asyncio.create_task(analytics.runner().run_one())
    await until(built.is_set)
    assert await analytics.row_count() > 0
    await analytics.operations.cancel(admin(), operation.id)
    await asyncio.wait_for(running, 10)
    assert (await analytics.operation(operation)).state is OperationState.CANCELLED
    assert await analytics.row_count() == 0
    assert await analytics.repository.latest(None, None) is None


async def test_computing_the_same_snapshot_again_gives_the_same_rows(analytics: Analytics) -> None:
    await ingest(analytics.warehouse, random_circle(5))
    first, second = await analytics.snapshot(), await analytics.snapshot()
    contents = [await analytics.rows.contents(snapshot.build_id) for snapshot in (first, second)]
    assert contents[0] == contents[1]
    async with analytics.postgres.read() as connection:
        hashes = await connection.fetch("SELECT content_hash FROM snapshots")
    assert {int(row["content_hash"]) for row in hashes} == {contents[0].content_hash}
