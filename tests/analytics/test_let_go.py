"""Letting go of old months changes no answer about later ones, and what would need them is refused."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from svoykrug_server.analytics.churn.warehouse import ChurnWarehouse, Scope, sample
from svoykrug_server.analytics.dashboards.calendar import AskedDays, AskedMonths
from svoykrug_server.analytics.dashboards.matrix import AskedMatrix
from svoykrug_server.analytics.dashboards.model import Dashboard, MatrixPlan
from svoykrug_server.analytics.model import SnapshotPlan
from svoykrug_server.analytics.warehouse import SnapshotWarehouse
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.purchases.retention_warehouse import PURCHASES, RetentionWarehouse
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.circles import BUSINESSES, CUTOFF, WATERMARK, ingest, random_circle
from tests.analytics.dashboards.world import Dashboards, asked
from tests.analytics.horizon import failure_of, keep_from, refusal_of
from tests.analytics.snapshots import Analytics
from tests.callers import admin

MOSCOW = ZoneInfo("Europe/Moscow")
HORIZON_DAY = date(2025, 3, 1)
HORIZON = datetime(2025, 2, 28, 21, tzinfo=UTC)
SCOPES = (None, BUSINESSES[0], BUSINESSES[3])
PERIODS = ((date(2026, 4, 1), date(2026, 5, 1)), (date(2026, 1, 10), date(2026, 5, 10)))
CUTOFFS = (CUTOFF, CUTOFF - timedelta(days=45))


async def dashboard_answers(shown: Dashboards) -> list[Any]:
    answers: list[Any] = []
    for scope in SCOPES:
        for first, end in PERIODS:
            days = AskedDays(first, end).on(end, 28, 366)
            answers += [await shown.rows.sales(scope, days), await shown.rows.buyers(scope, days)]
        months = AskedMonths(HORIZON_DAY, date(2026, 5, 2))
        answers.append((await shown.cohorts.get(admin(), scope, months)).cohorts)
    plan = MatrixPlan(HORIZON, CUTOFF, None, 30)
    businesses = await shown.rows.open_businesses(plan)
    rows = await shown.rows.matrix_block(plan, [each.business_id for each in businesses], sample(1.0))
    return [*answers, businesses, rows.to_pylist()]


async def snapshot_answers(warehouse: Warehouse) -> list[Any]:
    rows, answers = SnapshotWarehouse(warehouse, MOSCOW), []
    for scope in SCOPES:
        for cutoff in CUTOFFS:
            build_id = uuid4()
            await rows.build(SnapshotPlan(uuid4(), scope, cutoff, 365, WATERMARK, "test"), build_id)
            answers.append(await rows.contents(build_id))
            await rows.clear(build_id)
    return answers


async def churn_answers(warehouse: Warehouse) -> list[Any]:
    known = ChurnWarehouse(warehouse, MOSCOW)
    answers: list[Any] = []
    scopes = [each for scope in SCOPES for each in (await known.scope(scope, WATERMARK), Scope(scope, WATERMARK))]
    for scope in scopes:
        for cutoff in CUTOFFS:
            answers.append(await known.usual_gap(scope, cutoff))
            answers.append(await known.member_count(scope, cutoff))
            answers.append((await known.window(scope, cutoff, 28, 0, sample(1.0))).to_pylist())
    return answers


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_answer_within_the_horizon_stays_the_same(
    postgres: Postgres, warehouse: Warehouse, clock: ManualClock, seed: int
) -> None:
    shown, retention = Dashboards(postgres, warehouse, clock), RetentionWarehouse(warehouse)
    await shown.open_businesses()
    await ingest(warehouse, random_circle(seed, members=25))

    async def answers() -> list[Any]:
        snapshots, churn = await snapshot_answers(warehouse), await churn_answers(warehouse)
        return [*await dashboard_answers(shown), *snapshots, *churn]

    before = await answers()
    await retention.choose(PURCHASES, HORIZON, 9)
    count = await retention.delete(PURCHASES, HORIZON, 9)
    after = await answers()

    assert count > 100
    assert after == before


NOT_KEPT = ("HISTORY_NOT_KEPT", HORIZON.isoformat())


async def test_days_months_and_matrices_that_begin_too_early_are_refused(
    postgres: Postgres, warehouse: Warehouse, clock: ManualClock
) -> None:
    shown = Dashboards(postgres, warehouse, clock)
    await keep_from(postgres, HORIZON_DAY)
    early, days = HORIZON_DAY - timedelta(days=1), timedelta(days=30)

    await shown.service.get(admin(), asked(None, AskedDays(HORIZON_DAY, HORIZON_DAY + days)))
    await shown.cohorts.get(admin(), None, AskedMonths(HORIZON_DAY, date(2026, 5, 1)))
    await shown.matrix.get(admin(), AskedMatrix(None, AskedDays(HORIZON_DAY, date(2026, 1, 1)), 30))
    refused = [
        await refusal_of(shown.service.get(admin(), asked(None, AskedDays(early, early + days)))),
        await refusal_of(shown.cohorts.get(admin(), None, AskedMonths(date(2025, 2, 1), date(2026, 5, 1)))),
        await refusal_of(
            shown.matrix.get(admin(), AskedMatrix(None, AskedDays(date(2025, 2, 28), date(2026, 1, 1)), 30))
        ),
    ]

    assert refused == [NOT_KEPT] * 3


async def test_a_dashboard_tells_all_that_can_be_known_and_leaves_out_the_rest(
    postgres: Postgres, warehouse: Warehouse, clock: ManualClock
) -> None:
    whole, retention = Dashboards(postgres, warehouse, clock), RetentionWarehouse(warehouse)
    await whole.open_businesses()
    await ingest(warehouse, random_circle(1, members=25))
    # Both periods before are held, one of them, and none but the period itself.
    periods = [AskedDays(HORIZON_DAY + timedelta(days=before), date(2026, 5, 2)) for before in (287, 214, 100)]

    async def dashboards(shown: Dashboards, scope: UUID | None) -> list[Dashboard]:
        return [(await shown.service.get(admin(), asked(scope, days))).dashboard for days in periods]

    everything = [await dashboards(whole, scope) for scope in SCOPES]
    await keep_from(postgres, HORIZON_DAY)
    await retention.choose(PURCHASES, HORIZON, 9)
    await retention.delete(PURCHASES, HORIZON, 9)
    left = Dashboards(postgres, warehouse, clock)
    for scope, (both, one, none) in zip(SCOPES, everything, strict=True):
        assert one.previous is not None
        without_returning = replace(one.previous, buyers=one.previous.buyers.alone())
        alone = replace(none.period, buyers=none.period.buyers.alone())
        assert await dashboards(left, scope) == [
            both,
            replace(one, previous=without_returning),
            replace(none, previous=None, period=alone),
        ]
        assert alone.buyers.active > alone.buyers.new >= 0


@pytest.mark.parametrize("days", [1, 28, 244, 365, 366])
async def test_with_24_months_kept_a_dashboard_of_any_length_answers_and_of_a_year_the_year_before_stands_beside_it(
    postgres: Postgres, warehouse: Warehouse, clock: ManualClock, days: int
) -> None:
    shown, today = Dashboards(postgres, warehouse, clock), clock.now().date()
    await keep_from(postgres, date(today.year - 2, today.month, 1))
    end = today + timedelta(days=1)

    dashboard = (await shown.service.get(admin(), asked(None, AskedDays(end - timedelta(days=days), end)))).dashboard

    assert (dashboard.previous is not None) == (days <= 365)


async def test_a_snapshot_whose_window_begins_too_early_is_refused_also_when_it_was_queued_before(
    analytics: Analytics,
) -> None:
    await ingest(analytics.warehouse, random_circle(1))
    queued = await analytics.ask(cutoff=CUTOFF, window_days=500)
    await keep_from(analytics.postgres, HORIZON_DAY)

    refused = await refusal_of(analytics.ask(cutoff=CUTOFF, window_days=500))
    assert await analytics.runner().run_one()

    assert refused == failure_of((await analytics.operation(queued)).failure) == NOT_KEPT
    assert (await analytics.snapshot(cutoff=CUTOFF, window_days=365)).member_count > 0


async def test_a_history_begins_with_the_first_snapshot_that_is_held(analytics: Analytics) -> None:
    await ingest(analytics.warehouse, random_circle(1))
    users = await analytics.join(range(1, 121))
    for days in (40, 20):
        await analytics.snapshot(cutoff=CUTOFF - timedelta(days=days))
    await keep_from(analytics.postgres, (CUTOFF - timedelta(days=30)).date())

    history = await analytics.insight.history(admin(), None, users[1])

    assert [step.cutoff_day for step in history.steps] == [(CUTOFF - timedelta(days=20)).date()]
