"""Protobuf <-> model for operations."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.operations.v1 import operation_pb2

from svoykrug_server.operations.model import Operation, OperationFailure, OperationKind, OperationState
from svoykrug_server.operations.schedule.model import JobKind, JobStanding
from svoykrug_server.rpc.context import Locale
from svoykrug_server.rpc.status import CATALOGUE
from svoykrug_server.rpc.timestamps import timestamp_from

STATES = {
    OperationState.QUEUED: operation_pb2.OPERATION_STATE_QUEUED,
    OperationState.RUNNING: operation_pb2.OPERATION_STATE_RUNNING,
    OperationState.SUCCEEDED: operation_pb2.OPERATION_STATE_SUCCEEDED,
    OperationState.FAILED: operation_pb2.OPERATION_STATE_FAILED,
    OperationState.CANCELLED: operation_pb2.OPERATION_STATE_CANCELLED,
}
KINDS = {
    OperationKind.CREATE_SNAPSHOT: operation_pb2.OPERATION_KIND_CREATE_SNAPSHOT,
    OperationKind.TRAIN_CHURN_MODEL: operation_pb2.OPERATION_KIND_TRAIN_CHURN_MODEL,
    OperationKind.SCORE_MEMBERS: operation_pb2.OPERATION_KIND_SCORE_MEMBERS,
    OperationKind.IMPORT_CSV: operation_pb2.OPERATION_KIND_IMPORT_CSV,
}

JOBS = {
    JobKind.SNAPSHOTS: operation_pb2.JOB_KIND_SNAPSHOTS,
    JobKind.SCORING: operation_pb2.JOB_KIND_SCORING,
    JobKind.TRAINING: operation_pb2.JOB_KIND_TRAINING,
    JobKind.FIRST_TRAINING: operation_pb2.JOB_KIND_FIRST_TRAINING,
    JobKind.FORECAST_RECEIPTS: operation_pb2.JOB_KIND_FORECAST_RECEIPTS,
    JobKind.TIERS: operation_pb2.JOB_KIND_TIERS,
    JobKind.RETENTION: operation_pb2.JOB_KIND_RETENTION,
}


def operation_to_proto(operation: Operation, locale: Locale) -> operation_pb2.Operation:
    """Returns an operation as its starter sees it.

    Args:
        operation: The operation.
        locale: The language of the error's text.
    """
    failure = operation.failure
    return operation_pb2.Operation(
        id=str(operation.id),
        kind=KINDS[operation.kind],
        state=STATES[operation.state],
        stage=operation.stage,
        percent=operation.percent,
        rows_done_count=operation.rows_done_count,
        error=None if failure is None else _failure_to_proto(failure, locale),
        result=None if operation.result is None else operation_pb2.OperationResult(**operation.result),
        create_time=_time_to_proto(operation.create_time),
        start_time=_time_to_proto(operation.start_time),
        end_time=_time_to_proto(operation.end_time),
        attempt_count=operation.attempt_count,
    )


def job_to_proto(job: JobStanding) -> operation_pb2.Job:
    """Returns how a job of the schedule stands."""
    return operation_pb2.Job(
        kind=JOBS[job.kind],
        last_period=job.last_period,
        last_end_time=_time_to_proto(job.last_end_time),
        next_due_time=_time_to_proto(job.next_due_time),
        running=job.running,
        last_error_reason=job.last_error_reason,
    )


def states_from_proto(states: Sequence[operation_pb2.OperationState.ValueType]) -> list[OperationState]:
    """Returns the states a list is filtered by."""
    model_by_proto = {proto: model for model, proto in STATES.items()}
    return [model_by_proto[state] for state in states]


def _failure_to_proto(failure: OperationFailure, locale: Locale) -> operation_pb2.OperationError:
    return operation_pb2.OperationError(
        reason=failure.reason,
        text=CATALOGUE[failure.reason].text_by_locale[locale],
        metadata=failure.metadata,
    )


def _time_to_proto(instant: datetime | None) -> Timestamp | None:
    return None if instant is None else timestamp_from(instant)
