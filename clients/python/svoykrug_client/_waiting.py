"""Waiting for operations, over broken watches."""

from collections.abc import Callable
from functools import partial

from svoykrug import errors
from svoykrug.operations.v1.operation_pb2 import (
    OPERATION_STATE_CANCELLED,
    OPERATION_STATE_FAILED,
    OPERATION_STATE_SUCCEEDED,
    Operation,
)
from svoykrug.operations.v1.operations_service_pb2 import WatchOperationRequest
from svoykrug.operations.v1.operations_service_pb2_grpc import OperationsServiceStub

from svoykrug_client._caller import in_caller
from svoykrug_client._repeating import MOST_ATTEMPTS, PASSING, wait_after

_ENDED = (OPERATION_STATE_SUCCEEDED, OPERATION_STATE_FAILED, OPERATION_STATE_CANCELLED)


async def wait_for(
    stub: OperationsServiceStub, operation: Operation, on_progress: Callable[[Operation], None] | None
) -> Operation:
    """Watches an operation to its end; see `Client.wait_for`."""
    failed = 0
    while operation.state not in _ENDED:
        watch = stub.WatchOperation(WatchOperationRequest(operation_id=operation.id))
        try:
            async for answer in watch:
                operation, failed = answer.operation, 0
                if on_progress:
                    await in_caller(partial(on_progress, operation))
            if operation.state not in _ENDED:
                raise errors.ConnectionLost("UNAVAILABLE", "The watch ended before the operation.")
        except PASSING as error:
            failed += 1
            if failed == MOST_ATTEMPTS:
                raise
            await wait_after(failed, error)
        finally:
            watch.cancel()
    return _ended_well(operation)


def _ended_well(operation: Operation) -> Operation:
    if operation.state == OPERATION_STATE_SUCCEEDED:
        return operation
    reason = operation.error.reason or "OPERATION_CANCELLED"
    kind = errors.BY_REASON.get(reason, errors.SvoyKrugError)
    code = next((name for name, base in errors.BY_CODE.items() if issubclass(kind, base)), "UNKNOWN")
    raise kind(reason=reason, text=operation.error.text, metadata=dict(operation.error.metadata), code=code)
