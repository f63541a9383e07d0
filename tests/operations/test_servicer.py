"""OperationsService over a real server: who sees what, pages, cancellation, the watch stream."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import grpc
import pytest
from svoykrug.operations.v1 import operation_pb2
from svoykrug.operations.v1 import operations_service_pb2 as pb
from svoykrug.operations.v1.operations_service_pb2_grpc import (
    OperationsServiceStub,
    add_OperationsServiceServicer_to_server,
)

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import FailedPrecondition
from svoykrug_server.operations.model import Operation
from svoykrug_server.operations.runner import Progress
from svoykrug_server.operations.servicer import OperationsServicer
from svoykrug_server.storage.postgres import Postgres
from tests.callers import admin, person, service
from tests.operations.work import jobs_of, runner_of, service_of, start
from tests.serving import Refusal, Served, refusal_of, serving

DENIED = Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


@pytest.fixture
async def served(postgres: Postgres) -> AsyncIterator[Served]:
    servicer = OperationsServicer(service_of(postgres), jobs_of(postgres))
    async with serving(lambda server: add_OperationsServiceServicer_to_server(servicer, server)) as running:
        yield running


def stub(served: Served) -> OperationsServiceStub:
    return OperationsServiceStub(served.channel)


async def get(served: Served, caller: Caller, operation: Operation) -> operation_pb2.Operation:
    request = pb.GetOperationRequest(operation_id=str(operation.id))
    response = await stub(served).GetOperation(request, metadata=served.tokens.sign_in(caller))
    return response.operation


async def test_the_starter_sees_her_operation_and_so_does_an_admin(postgres: Postgres, served: Served) -> None:
    starter = person()
    operation = await start(postgres, starter.subject_id)
    for caller in (starter, admin()):
        seen = await get(served, caller, operation)
        assert seen.id == str(operation.id)
        assert seen.state == operation_pb2.OPERATION_STATE_QUEUED
        assert seen.kind == operation_pb2.OPERATION_KIND_CREATE_SNAPSHOT


async def test_a_service_sees_the_operations_it_started(postgres: Postgres, served: Served) -> None:
    caller = service("operations.read")
    assert (await get(served, caller, await start(postgres, caller.subject_id))).id


async def test_anothers_operation_and_an_unknown_one_look_the_same(postgres: Postgres, served: Served) -> None:
    await start(postgres)
    stranger = served.tokens.sign_in(person())
    for operation_id in (str((await start(postgres)).id), str(uuid4())):
        request = pb.GetOperationRequest(operation_id=operation_id)
        assert await refusal_of(stub(served).GetOperation(request, metadata=stranger)) == DENIED
        cancel = pb.CancelOperationRequest(operation_id=operation_id)
        assert await refusal_of(stub(served).CancelOperation(cancel, metadata=stranger)) == DENIED


async def test_an_admin_is_told_that_an_operation_does_not_exist(postgres: Postgres, served: Served) -> None:
    request = pb.GetOperationRequest(operation_id=str(uuid4()))
    refusal = await refusal_of(stub(served).GetOperation(request, metadata=served.tokens.sign_in(admin())))
    assert refusal.reason == "NOT_FOUND"


async def test_a_list_is_paged_newest_first_and_holds_only_ones_own(postgres: Postgres, served: Served) -> None:
    starter = person()
    mine = [str((await start(postgres, starter.subject_id)).id) for _ in range(5)]
    await start(postgres)
    metadata = served.tokens.sign_in(starter)
    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListOperationsRequest(page_size=2, page_token=token)
        page = await stub(served).ListOperations(request, metadata=metadata)
        seen += [operation.id for operation in page.operations]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(mine, reverse=True)
    everyones = await stub(served).ListOperations(pb.ListOperationsRequest(), metadata=served.tokens.sign_in(admin()))
    assert len(everyones.operations) == 6


async def test_a_list_is_filtered_by_state(postgres: Postgres, served: Served) -> None:
    starter = person()
    kept = await start(postgres, starter.subject_id)
    gone = await start(postgres, starter.subject_id)
    metadata = served.tokens.sign_in(starter)
    await stub(served).CancelOperation(pb.CancelOperationRequest(operation_id=str(gone.id)), metadata=metadata)
    request = pb.ListOperationsRequest(states=[operation_pb2.OPERATION_STATE_QUEUED])
    page = await stub(served).ListOperations(request, metadata=metadata)
    assert [operation.id for operation in page.operations] == [str(kept.id)]


async def test_a_page_token_of_another_list_is_refused(postgres: Postgres, served: Served) -> None:
    one, other = person(), person()
    for _ in range(2):
        await start(postgres, one.subject_id)
    first = await stub(served).ListOperations(
        pb.ListOperationsRequest(page_size=1), metadata=served.tokens.sign_in(one)
    )
    request = pb.ListOperationsRequest(page_token=first.next_page_token)
    refusal = await refusal_of(stub(served).ListOperations(request, metadata=served.tokens.sign_in(other)))
    assert refusal.reason == "INVALID_PAGE_TOKEN"


async def test_cancelling_twice_is_the_same_as_once(postgres: Postgres, served: Served) -> None:
    starter = person()
    operation = await start(postgres, starter.subject_id)
    metadata = served.tokens.sign_in(starter)
    request = pb.CancelOperationRequest(operation_id=str(operation.id))
    once = await stub(served).CancelOperation(request, metadata=metadata)
    twice = await stub(served).CancelOperation(request, metadata=metadata)
    assert once.operation.state == operation_pb2.OPERATION_STATE_CANCELLED
    assert once == twice


async def test_an_operation_that_succeeded_cannot_be_cancelled(postgres: Postgres, served: Served) -> None:
    operation = await start(postgres)
    await runner_of(postgres, make_snapshot).run_one()
    request = pb.CancelOperationRequest(operation_id=str(operation.id))
    refusal = await refusal_of(stub(served).CancelOperation(request, metadata=served.tokens.sign_in(admin())))
    assert refusal == Refusal(grpc.StatusCode.FAILED_PRECONDITION, "OPERATION_ENDED")


async def make_snapshot(parameters: object, progress: Progress) -> dict[str, str]:
    await progress.report("score", 50, 10)
    return {"snapshot_id": "11111111-1111-7111-8111-111111111111"}


async def test_a_watcher_sees_every_state_and_the_stream_ends_with_the_work(postgres: Postgres, served: Served) -> None:
    starter = person()
    operation = await start(postgres, starter.subject_id)
    released = asyncio.Event()

    async def work(parameters: object, progress: Progress) -> dict[str, str]:
        await progress.report("score", 50, 10)
        await released.wait()
        return await make_snapshot(parameters, progress)

    request = pb.WatchOperationRequest(operation_id=str(operation.id))
    seen: list[operation_pb2.Operation] = []
    running = None
    async for message in stub(served).WatchOperation(request, metadata=served.tokens.sign_in(starter)):
        seen.append(message.operation)
        running = running or asyncio.create_task(runner_of(postgres, work).run_one())
        if message.operation.stage == "score":
            released.set()
    assert running is not None
    await running
    states = [operation.state for operation in seen]
    assert states[0] == operation_pb2.OPERATION_STATE_QUEUED
    assert operation_pb2.OPERATION_STATE_RUNNING in states
    assert states[-1] == operation_pb2.OPERATION_STATE_SUCCEEDED
    assert seen[-1].result.snapshot_id == "11111111-1111-7111-8111-111111111111"
    assert seen[-1].HasField("end_time")


@pytest.mark.parametrize(("language", "text"), [("en", "enough data"), ("ru", "данных")])
async def test_a_failure_is_told_in_the_language_of_who_reads_it(
    postgres: Postgres, served: Served, language: str, text: str
) -> None:
    async def work(parameters: object, progress: Progress) -> dict[str, str]:
        raise FailedPrecondition("TOO_LITTLE_DATA", metadata={"member_count": "7"})

    operation = await start(postgres)
    await runner_of(postgres, work).run_one()
    metadata = (*served.tokens.sign_in(admin()), ("accept-language", language))
    request = pb.GetOperationRequest(operation_id=str(operation.id))
    failed = (await stub(served).GetOperation(request, metadata=metadata)).operation
    assert failed.error.reason == "TOO_LITTLE_DATA"
    assert text in failed.error.text
    assert dict(failed.error.metadata) == {"member_count": "7"}


async def test_admins_and_services_that_may_read_see_the_jobs_of_the_schedule(
    postgres: Postgres, served: Served
) -> None:
    for caller in (admin(), service("operations.read")):
        response = await stub(served).ListJobs(pb.ListJobsRequest(), metadata=served.tokens.sign_in(caller))
        assert [job.kind for job in response.jobs] == [
            operation_pb2.JOB_KIND_SNAPSHOTS,
            operation_pb2.JOB_KIND_FIRST_TRAINING,
            operation_pb2.JOB_KIND_SCORING,
            operation_pb2.JOB_KIND_TRAINING,
            operation_pb2.JOB_KIND_FORECAST_RECEIPTS,
            operation_pb2.JOB_KIND_RETENTION,
            operation_pb2.JOB_KIND_TIERS,
        ]
        assert all(job.HasField("next_due_time") and not job.last_period for job in response.jobs)


async def test_a_member_does_not_see_the_jobs_of_the_schedule(served: Served) -> None:
    call = stub(served).ListJobs(pb.ListJobsRequest(), metadata=served.tokens.sign_in(person()))
    assert await refusal_of(call) == DENIED
