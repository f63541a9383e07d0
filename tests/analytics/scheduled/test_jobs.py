"""The jobs of analytics the whole way: operations by themselves, once, for every scope there is something to do for."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pyarrow.compute as pc
import pytest
from sqlalchemy import text

from svoykrug_server.analytics.churn.model import MIN_MEMBERS
from svoykrug_server.analytics.ports import Progress
from svoykrug_server.analytics.scheduled.repository import ScopeRepository
from svoykrug_server.kit.caller import SYSTEM_ID
from svoykrug_server.kit.errors import FailedPrecondition
from svoykrug_server.operations.model import OperationState
from svoykrug_server.operations.schedule.model import JobKind
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.churn.circle import HORIZON_DAYS, TEST_CUTOFF, fill, simulated
from tests.analytics.circles import WATERMARK
from tests.analytics.scheduled.night import MORNING, Night, days
from tests.callers import admin
from tests.waiting import until

MIDNIGHT = datetime(2026, 6, 1, tzinfo=UTC)
SELLS, SOLD_LONG_AGO = UUID(int=11), UUID(int=12)
A_MODEL = """
    INSERT INTO churn_models (
        id, business_id, horizon_days, population_days, test_cutoff_time, training_cutoff_times, watermark, algorithm,
        features, card, document, create_time
    )
    SELECT gen_random_uuid(), id, 28, 0, made, '{}', made, 'x', '{}', '{}', '{}', made
    FROM (SELECT $1::timestamptz AS made) AS now, unnest($2::uuid[]) AS id
"""


@pytest.fixture
async def night(postgres: Postgres, warehouse: Warehouse) -> Night:
    """A circle the morning after the schedule began: every job is due, and one business sold in the last year."""
    night = Night(postgres, warehouse)
    await night.sell(SELLS, MORNING - days(30))
    await night.sell(SOLD_LONG_AGO, MORNING - days(400))
    await night.fall()
    return night


async def test_at_night_the_circle_and_each_business_that_sells_get_a_snapshot_of_midnight(night: Night) -> None:
    async with night.worker():
        assert await night.scheduler().run_due(JobKind.SNAPSHOTS)
    for scope in (None, SELLS):
        page = await night.analytics.snapshots.list_page(scope, 0, "")
        assert [snapshot.plan.cutoff for snapshot in page.snapshots] == [MIDNIGHT]
    assert not (await night.analytics.snapshots.list_page(SOLD_LONG_AGO, 0, "")).snapshots
    assert {operation.starter_id for operation in await night.started()} == {SYSTEM_ID}


async def test_snapshots_wait_until_the_warehouse_is_proven_up_to_midnight(night: Night) -> None:
    night.proofs.known_up_to = MIDNIGHT - days(1)
    async with night.worker():
        assert not await night.scheduler().run_due(JobKind.SNAPSHOTS)
        assert await night.started() == []
        night.proofs.known_up_to = WATERMARK
        assert await night.scheduler().run_due(JobKind.SNAPSHOTS)
    assert len(await night.started()) == 2


async def test_whoever_takes_a_job_over_goes_on_with_its_operations_and_starts_none_twice(night: Night) -> None:
    dying = asyncio.ensure_future(night.scheduler().run_due(JobKind.SNAPSHOTS))
    await until(lambda: _has_started(night))
    dying.cancel()
    with suppress(asyncio.CancelledError):
        await dying
    async with night.worker():
        assert await night.scheduler().run_due(JobKind.SNAPSHOTS)
    operations = await night.started()
    assert [operation.state for operation in operations] == [OperationState.SUCCEEDED] * 2


async def test_a_scope_that_fails_is_tried_again_and_the_others_are_not_done_twice(night: Night) -> None:
    tries = 0

    async def failing_once(parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise FailedPrecondition("CUTOFF_AHEAD_OF_WATERMARK")
        return {"snapshot_id": parameters["snapshot_id"]}

    async with night.worker({"create_snapshot": failing_once}):
        assert not await night.scheduler().run_due(JobKind.SNAPSHOTS)
        assert await night.scheduler().run_due(JobKind.SNAPSHOTS)
    states = sorted(operation.state for operation in await night.started())
    assert states == [OperationState.FAILED, OperationState.SUCCEEDED, OperationState.SUCCEEDED]


async def test_what_an_admin_cancelled_stays_so_and_the_job_is_done(night: Night) -> None:
    job = asyncio.ensure_future(night.scheduler().run_due(JobKind.SNAPSHOTS))
    await until(lambda: _has_started(night))
    (first,) = await night.started()
    await night.operations.cancel(admin(), first.id)
    async with night.worker():
        assert await job
    states = sorted(operation.state for operation in await night.started())
    assert states == [OperationState.CANCELLED, OperationState.SUCCEEDED]


async def test_scopes_with_too_little_data_get_no_model_and_the_job_is_done(night: Night) -> None:
    async with night.worker():
        assert await night.scheduler().run_due(JobKind.TRAINING)
    reasons = [operation.failure and operation.failure.reason for operation in await night.started()]
    assert reasons == ["TOO_LITTLE_DATA", "TOO_LITTLE_DATA"]


async def fill_up_to_now(night: Night) -> None:
    """Lets the warehouse hold a circle that can be learned from."""
    rows = simulated()
    later = WATERMARK - days(1) - (TEST_CUTOFF + days(HORIZON_DAYS))
    times = pc.add(rows["purchase_time"], later)
    await fill(night.warehouse, rows.set_column(rows.schema.get_field_index("purchase_time"), "purchase_time", times))


async def test_a_scope_gets_its_first_model_the_night_it_has_enough_members(night: Night) -> None:
    await fill_up_to_now(night)
    async with night.worker():
        assert await night.scheduler().run_due(JobKind.FIRST_TRAINING)
        assert await night.started() == []
        await night.sell(UUID(int=13), MORNING - days(60), members=MIN_MEMBERS)
        night.clock.advance(days(1))
        assert await night.scheduler().run_due(JobKind.FIRST_TRAINING)
        serving = await night.analytics.churn.repository.serving_model(None)
        assert serving is not None
        assert await _promoters(night) == ["system"]
        trained = len(await night.started())
        night.clock.advance(days(1))
        assert await night.scheduler().run_due(JobKind.FIRST_TRAINING)
    again = [operation for operation in await night.started() if operation.failure is None]
    assert trained == 2  # the circle, and the business, of which the warehouse knows nothing
    assert len(again) == 1


async def test_scopes_are_first_trained_once_enough_members_bought_long_enough_ago(
    night: Night, postgres: Postgres
) -> None:
    many, few, late, waits = (UUID(int=number) for number in (21, 22, 23, 24))
    await night.sell(many, MORNING - days(40), members=MIN_MEMBERS)
    await night.sell(few, MORNING - days(40), members=MIN_MEMBERS - 1)
    await night.sell(late, MORNING - days(10), members=MIN_MEMBERS)
    await night.sell(waits, MORNING - days(40), members=MIN_MEMBERS)
    async with postgres.transaction() as tx:
        await (await tx.driver()).execute(A_MODEL, MORNING - days(3), [waits])
    scopes, bought = ScopeRepository(postgres), (MORNING - days(365), MORNING - days(14))
    assert await scopes.unserved(MIN_MEMBERS, bought, MORNING - days(7)) == [None, many]
    assert await scopes.unserved(MIN_MEMBERS, bought, MORNING - days(1)) == [None, many, waits]


async def test_no_purchase_of_a_scope_that_has_a_model_is_read_to_count_its_members(
    night: Night, postgres: Postgres
) -> None:
    async with postgres.transaction() as tx:
        await (await tx.driver()).execute(A_MODEL, MORNING - days(3), [None, SELLS, SOLD_LONG_AGO])
    async with postgres.transaction() as tx, asyncio.timeout(30):
        await tx.execute(text("LOCK TABLE purchase_entries IN ACCESS EXCLUSIVE MODE"))
        bought = (MORNING - days(365), MORNING - days(14))
        assert await ScopeRepository(postgres).unserved(1, bought, MORNING - days(7)) == []


async def test_a_model_is_trained_and_serves_scores_at_night_and_is_graded_when_its_horizon_has_closed(
    night: Night,
) -> None:
    await fill_up_to_now(night)
    churn = night.analytics.churn
    async with night.worker():
        assert await night.scheduler().run_due(JobKind.TRAINING)
        serving = await churn.repository.serving_model(None)
        assert serving is not None
        assert await _promoters(night) == ["system"]
        assert await night.scheduler().run_due(JobKind.SCORING)
        scoring = await churn.repository.latest_forecast(None, None)
        assert scoring is not None
        assert (scoring.plan.cutoff, scoring.plan.model_id) == (MIDNIGHT, serving.id)
        assert await night.scheduler().run_due(JobKind.FORECAST_RECEIPTS)
        assert await churn.risk.list_receipts(None, 0, "") == ([], "")
        night.clock.advance(days(serving.plan.horizon_days + 7))
        night.proofs.known_up_to = night.clock.now()
        assert await night.scheduler().run_due(JobKind.FORECAST_RECEIPTS)
    (receipt,), _ = await churn.risk.list_receipts(None, 0, "")
    assert receipt.scoring == scoring
    assert receipt.member_count == scoring.scored_count


async def _has_started(night: Night) -> bool:
    return bool(await night.started())


async def _promoters(night: Night) -> list[str]:
    async with night.postgres.read() as connection:
        # Who promoted models?
        rows = await connection.fetch("SELECT actor_kind FROM audit_events WHERE action = 'CHURN_MODEL_PROMOTED'")
    return [row["actor_kind"] for row in rows]
