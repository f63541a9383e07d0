"""Workers: one at a time by lease, alive by heartbeats, resumed after a kill, stopped when asked."""

import asyncio
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from svoykrug_server.kit.errors import FailedPrecondition, WarehouseUnavailable
from svoykrug_server.operations.model import OperationState
from svoykrug_server.operations.runner import Progress, RunnerOptions
from svoykrug_server.storage.postgres import Postgres
from tests.callers import admin
from tests.operations.work import NOON, QUICK, runner_of, service_of, standing, start
from tests.waiting import until

RESULT = {"snapshot_id": "made"}


async def quick_work(parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
    await progress.report("only", 50, 7)
    return RESULT


async def test_work_that_is_done_succeeds_with_its_result(postgres: Postgres) -> None:
    operation = await start(postgres)
    assert await runner_of(postgres, quick_work).run_one()
    ended = await standing(postgres, operation)
    assert (ended.state, ended.percent, ended.stage) == (OperationState.SUCCEEDED, 100, "only")
    assert (ended.result, ended.rows_done_count, ended.attempt_count) == (RESULT, 7, 1)
    assert ended.start_time == ended.end_time == NOON.now()


async def test_there_is_nothing_to_do_when_nothing_was_started(postgres: Postgres) -> None:
    assert not await runner_of(postgres, quick_work).run_one()


async def test_work_gets_the_parameters_of_its_operation(postgres: Postgres) -> None:
    seen: list[Mapping[str, Any]] = []

    async def work(parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        seen.append(parameters)
        return RESULT

    await start(postgres, parameters={"snapshot_id": "x"})
    await runner_of(postgres, work).run_one()
    assert seen == [{"snapshot_id": "x"}]


async def test_an_operation_started_in_a_transaction_that_fails_never_was(postgres: Postgres) -> None:
    async def start_and_fail() -> None:
        async with postgres.transaction() as tx:
            await service_of(postgres).start(tx, "create_snapshot", {}, admin().subject_id)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await start_and_fail()
    assert not await runner_of(postgres, quick_work).run_one()


async def test_a_refusal_of_the_domain_fails_the_operation_with_its_reason(postgres: Postgres) -> None:
    async def work(parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        raise FailedPrecondition("TOO_LITTLE_DATA", metadata={"member_count": "7"})

    operation = await start(postgres)
    await runner_of(postgres, work).run_one()
    ended = await standing(postgres, operation)
    assert ended.state is OperationState.FAILED
    assert ended.failure is not None
    assert (ended.failure.reason, ended.failure.metadata) == ("TOO_LITTLE_DATA", {"member_count": "7"})


async def test_an_unexpected_error_fails_the_operation_and_tells_nothing(postgres: Postgres) -> None:
    async def work(parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        raise RuntimeError("secret detail")

    operation = await start(postgres)
    await runner_of(postgres, work).run_one()
    ended = await standing(postgres, operation)
    assert ended.failure is not None
    assert (ended.failure.reason, ended.failure.metadata) == ("INTERNAL", {})


async def test_work_waits_for_a_store_that_is_away_and_goes_on(postgres: Postgres) -> None:
    tries = 0

    async def work(parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise WarehouseUnavailable(timedelta(milliseconds=10))
        return RESULT

    operation = await start(postgres)
    runner = runner_of(postgres, work)
    await runner.run_one()
    assert (await standing(postgres, operation)).state is OperationState.QUEUED
    await until(runner.run_one)
    ended = await standing(postgres, operation)
    assert (ended.state, ended.attempt_count) == (OperationState.SUCCEEDED, 2)


async def test_work_whose_store_stays_away_fails_with_that_reason(postgres: Postgres) -> None:
    async def work(parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        raise WarehouseUnavailable(timedelta(milliseconds=1))

    operation = await start(postgres)
    runner = runner_of(postgres, work)
    for _ in range(QUICK.max_attempts):
        await until(runner.run_one)
    ended = await standing(postgres, operation)
    assert ended.failure is not None
    assert (ended.failure.reason, ended.attempt_count) == ("WAREHOUSE_UNAVAILABLE", QUICK.max_attempts)


async def test_an_operation_whose_workers_keep_dying_is_given_up(postgres: Postgres) -> None:
    operation = await start(postgres)
    async with postgres.transaction() as tx:
        connection = await tx.driver()
        await connection.execute("UPDATE operations SET attempt_count = $1", QUICK.max_attempts)
    await runner_of(postgres, quick_work).run_one()
    assert (await standing(postgres, operation)).state is OperationState.FAILED


async def test_an_operation_goes_on_after_its_worker_was_killed(postgres: Postgres, postgres_url: str) -> None:
    operation = await start(postgres)
    script = str(Path(__file__).with_name("doomed_worker.py"))
    doomed = await asyncio.create_subprocess_exec(sys.executable, script, postgres_url)

    async def in_the_middle() -> bool:
        return (await standing(postgres, operation)).stage == "middle"

    await until(in_the_middle, seconds=30)
    doomed.kill()
    await doomed.wait()
    assert (await standing(postgres, operation)).state is OperationState.RUNNING
    await until(runner_of(postgres, quick_work).run_one)
    ended = await standing(postgres, operation)
    assert (ended.state, ended.attempt_count, ended.result) == (OperationState.SUCCEEDED, 2, RESULT)


async def test_of_many_workers_each_operation_is_run_by_one(postgres: Postgres) -> None:
    runs: list[str] = []

    async def work(parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        runs.append(parameters["number"])
        await progress.report("only", 1)
        return RESULT

    numbers = [str(number) for number in range(20)]
    for number in numbers:
        await start(postgres, parameters={"number": number})
    options = RunnerOptions(worker_count=4, poll_seconds=0.02)
    workers = [asyncio.create_task(runner_of(postgres, work, options).run()) for _ in range(2)]
    await until(lambda: len(runs) >= 20)
    for worker in workers:
        worker.cancel()
    await asyncio.wait(workers)
    assert sorted(runs, key=int) == numbers


async def test_work_longer_than_its_lease_keeps_it(postgres: Postgres) -> None:
    release = asyncio.Event()

    async def work(parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        await release.wait()
        return RESULT

    operation = await start(postgres)
    running = asyncio.create_task(runner_of(postgres, work).run_one())
    expires = "SELECT lease_expire_time FROM operations WHERE state = 'running'"
    async with postgres.read() as connection:
        await until(lambda: _answers(connection.fetchval(expires)))
        first = await connection.fetchval(expires)

        async def renewed() -> bool:
            return bool(await connection.fetchval(expires) > first + timedelta(seconds=QUICK.lease_seconds))

        await until(renewed)
    assert not await runner_of(postgres, quick_work).run_one()
    release.set()
    await running
    assert (await standing(postgres, operation)).attempt_count == 1


async def _answers(question: Any) -> bool:
    return await question is not None


async def stuck(postgres: Postgres) -> "tuple[Any, asyncio.Task[bool], list[str]]":
    """Starts an operation whose work never ends, and notes when the work is told to stop."""
    notes: list[str] = []

    async def work(parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        await progress.report("stuck", 10)
        notes.append("at work")
        try:
            await asyncio.Event().wait()
        finally:
            notes.append("cleaned up")
        return RESULT

    operation = await start(postgres)
    running = asyncio.create_task(runner_of(postgres, work).run_one())
    await until(lambda: bool(notes))
    return operation, running, notes


async def test_a_running_operation_that_is_cancelled_stops_and_cleans_up(postgres: Postgres) -> None:
    operation, running, notes = await stuck(postgres)
    asked = await service_of(postgres).cancel(admin(), operation.id)
    assert asked.state is OperationState.RUNNING
    await asyncio.wait_for(running, 5)
    assert notes == ["at work", "cleaned up"]
    assert (await standing(postgres, operation)).state is OperationState.CANCELLED


async def test_a_worker_that_is_stopped_gives_its_operation_back_at_once(postgres: Postgres) -> None:
    operation, running, notes = await stuck(postgres)
    running.cancel()
    await asyncio.wait([running])
    assert notes == ["at work", "cleaned up"]
    assert (await standing(postgres, operation)).state is OperationState.QUEUED
    assert await runner_of(postgres, quick_work).run_one()


async def test_a_worker_that_lost_its_lease_stops_and_writes_nothing_more(postgres: Postgres) -> None:
    operation, running, notes = await stuck(postgres)
    async with postgres.transaction() as tx:
        connection = await tx.driver()
        await connection.execute("UPDATE operations SET lease_owner = gen_random_uuid(), stage = 'other'")
    await asyncio.wait_for(running, 5)
    assert notes == ["at work", "cleaned up"]
    now = await standing(postgres, operation)
    assert (now.state, now.stage) == (OperationState.RUNNING, "other")


async def test_work_that_reports_without_its_lease_is_stopped(postgres: Postgres) -> None:
    after: list[str] = []

    async def work(parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        async with postgres.transaction() as tx:
            connection = await tx.driver()
            await connection.execute("UPDATE operations SET lease_owner = gen_random_uuid()")
        await progress.report("late", 99)
        after.append("went on")
        return RESULT

    operation = await start(postgres)
    await runner_of(postgres, work).run_one()
    assert not after
    assert (await standing(postgres, operation)).state is OperationState.RUNNING


async def test_an_operation_cancelled_while_its_worker_was_dead_is_not_run_again(postgres: Postgres) -> None:
    operation, running, _ = await stuck(postgres)
    running.cancel()
    await asyncio.wait([running])
    async with postgres.transaction() as tx:
        connection = await tx.driver()
        await connection.execute(
            "UPDATE operations SET state = 'running', lease_owner = gen_random_uuid(), cancel_requested = TRUE,"
            " lease_expire_time = clock_timestamp() - interval '1 second'"
        )
    assert await runner_of(postgres, quick_work).run_one()
    assert (await standing(postgres, operation)).state is OperationState.CANCELLED


async def test_progress_within_a_stage_is_written_only_now_and_then(postgres: Postgres) -> None:
    async def work(parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        for percent in range(100):
            await progress.report("rows", percent)
        return RESULT

    operation = await start(postgres)
    await runner_of(postgres, work, RunnerOptions(report_seconds=60)).run_one()
    assert (await standing(postgres, operation)).version == operation.version + 3


def test_a_lease_shorter_than_three_heartbeats_is_refused() -> None:
    with pytest.raises(ValueError, match="heartbeats"):
        RunnerOptions(heartbeat_seconds=1, lease_seconds=2)
