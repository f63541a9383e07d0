"""Rounds of the job: when it looks, and what one that fails does to the others."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from svoykrug_server.analytics.build_rows import BuildRows
from svoykrug_server.analytics.model import Snapshot, SnapshotPlan
from svoykrug_server.analytics.remaking.job import REST
from svoykrug_server.analytics.remaking.model import Gone, Kind
from svoykrug_server.analytics.remaking.repository import RemakingRepository
from svoykrug_server.analytics.warehouse import SnapshotWarehouse
from svoykrug_server.kit.supervisor import Supervisor
from svoykrug_server.storage.postgres import Postgres, ReadConnection
from tests.analytics.circles import ingest, random_circle
from tests.analytics.remaking.lost import EARLIER, Remakers, lose, lose_one
from tests.analytics.snapshots import Analytics
from tests.waiting import until


async def test_a_row_that_is_lost_is_seen_by_the_next_round_however_many_lie_about(
    analytics: Analytics, two: tuple[Snapshot, Snapshot]
) -> None:
    remakers = Remakers(analytics)
    # What an attempt that was stopped has left.
    sql = "INSERT INTO snapshot_members SELECT * REPLACE (generateUUIDv4(1) AS build_id) FROM snapshot_members"
    await analytics.warehouse.command(sql)
    job = remakers.job()
    await job.round()
    assert remakers.metric("missing") == 0
    await lose_one(analytics)
    await job.round()
    assert (remakers.metric("missing"), remakers.metric("remade_total")) == (0, 2)


async def test_what_was_published_and_lost_between_two_rounds_is_seen_though_the_table_is_as_it_was(
    analytics: Analytics,
) -> None:
    await ingest(analytics.warehouse, random_circle(6))
    remakers = Remakers(analytics)
    job = remakers.job()
    await job.round()
    await analytics.snapshot(cutoff=EARLIER)
    await analytics.snapshot()
    await lose(analytics)
    await job.round()
    assert (remakers.metric("missing"), remakers.metric("remade_total")) == (0, 2)


async def test_a_round_that_finds_nothing_gone_reads_what_is_published_of_each_kind_once(
    analytics: Analytics, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, read, reads = Remakers(analytics).job(), Postgres.read, 0

    def counted(postgres: Postgres) -> AbstractAsyncContextManager[ReadConnection]:
        nonlocal reads
        reads += 1
        return read(postgres)

    await job.round()
    monkeypatch.setattr(Postgres, "read", counted)
    await job.round()
    assert reads == len(Kind)


async def test_what_is_gone_is_told_before_it_is_made_again(
    analytics: Analytics, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    remakers, build, told = Remakers(analytics), SnapshotWarehouse.build, list[float]()

    async def telling(rows: SnapshotWarehouse, plan: SnapshotPlan, build_id: UUID) -> None:
        told.append(remakers.metric("missing"))
        await build(rows, plan, build_id)

    monkeypatch.setattr(SnapshotWarehouse, "build", telling)
    await lose(analytics)
    await remakers.job().round()
    assert told == [2, 1]
    assert remakers.metric("missing") == 0


async def test_what_is_lost_while_others_are_made_again_is_made_again_in_the_same_round(
    analytics: Analytics, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    remakers, build, built = Remakers(analytics), SnapshotWarehouse.build, list[UUID]()

    async def losing_another(rows: SnapshotWarehouse, plan: SnapshotPlan, build_id: UUID) -> None:
        built.append(plan.id)
        if len(built) == 1:
            await rows.clear(two[0].build_id)
        await build(rows, plan, build_id)

    job = remakers.job()
    await job.round()
    monkeypatch.setattr(SnapshotWarehouse, "build", losing_another)
    await analytics.rows.clear(two[1].build_id)
    await job.round()
    assert built == [two[1].id, two[0].id]
    assert (remakers.metric("missing"), remakers.metric("remade_total")) == (0, 2)


async def test_after_a_long_look_it_rests_from_looking(
    analytics: Analytics, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    remakers, counts, looks = Remakers(analytics), BuildRows.counts, 0

    async def long(rows: BuildRows) -> Mapping[UUID, int]:
        nonlocal looks
        looks += 1
        analytics.clock.advance(timedelta(seconds=1))
        return await counts(rows)

    monkeypatch.setattr(BuildRows, "counts", long)
    job = remakers.job()
    await job.round()
    assert looks == 2
    await lose_one(analytics)
    # The other kind took a second too.
    analytics.clock.advance(timedelta(seconds=REST - 2))
    await job.round()
    assert (looks, remakers.metric("missing")) == (2, 0)
    analytics.clock.advance(timedelta(seconds=2))
    await job.round()
    assert (looks, remakers.metric("remade_total")) == (3, len(two))


async def test_one_that_fails_unforeseen_keeps_no_other_waiting_and_is_told(
    analytics: Analytics, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    remakers, build = Remakers(analytics), SnapshotWarehouse.build

    async def failing(rows: SnapshotWarehouse, plan: SnapshotPlan, build_id: UUID) -> None:
        if plan.id == two[1].id:
            raise DatabaseError("Code: 241. DB::Exception: memory limit exceeded")
        await build(rows, plan, build_id)

    monkeypatch.setattr(SnapshotWarehouse, "build", failing)
    await lose(analytics)
    job = remakers.job()
    with pytest.raises(ExceptionGroup, match="not made again") as failures:
        await job.round()
    assert [type(failure) for failure in failures.value.exceptions] == [DatabaseError]
    assert (remakers.metric("missing"), remakers.metric("remade_total")) == (1, 1)


async def test_after_a_round_that_failed_the_job_goes_on(
    analytics: Analytics, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    remakers, gone, failed = Remakers(analytics), RemakingRepository.gone, 0

    async def failing_once(repository: RemakingRepository) -> Sequence[Gone]:
        nonlocal failed
        failed += 1
        if failed == 1:
            raise asyncpg.DeadlockDetectedError("deadlock detected")
        return await gone(repository)

    monkeypatch.setattr(RemakingRepository, "gone", failing_once)
    await lose(analytics)
    supervisor = Supervisor(0.01)
    supervisor.start("remaking", remakers.job().run)
    await until(lambda: remakers.metric("remade_total") == len(two))
    assert supervisor.states["remaking"].failures == 1
    await supervisor.stop()
