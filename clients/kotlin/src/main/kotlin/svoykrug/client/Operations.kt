package svoykrug.client

import io.grpc.Status
import kotlinx.coroutines.delay
import svoykrug.common.v1.ErrorReason
import svoykrug.operations.v1.Operation
import svoykrug.operations.v1.OperationState
import svoykrug.operations.v1.WatchOperationRequest

private val ENDED = setOf(
    OperationState.OPERATION_STATE_SUCCEEDED,
    OperationState.OPERATION_STATE_FAILED,
    OperationState.OPERATION_STATE_CANCELLED,
)

/**
 * Watches an operation until it has ended well and returns it. A broken watch is taken up again, over restarts of the server too; after
 * five in a row it is given up, and the operation goes on.
 *
 * @param operation The operation, as the call that started it returned it.
 * @param onProgress Called with each new state.
 * @throws SvoyKrugException The operation failed or was cancelled, with its reason; or it could not be watched.
 */
public suspend fun SvoyKrugClient.waitFor(operation: Operation, onProgress: suspend (Operation) -> Unit = {}): Operation {
    val request = WatchOperationRequest.newBuilder().setOperationId(operation.id).build()
    var last = operation
    var failed = 0
    while (last.state !in ENDED) {
        val failure = try {
            operations.watchOperation(request).collect {
                last = it.operation
                failed = 0
                onProgress(last)
            }
            SvoyKrugException(Status.UNAVAILABLE.withDescription("the watch ended before the operation"))
        } catch (broken: SvoyKrugException) {
            broken
        }
        if (last.state in ENDED) break
        if (++failed == MOST_ATTEMPTS || !failure.passes) throw failure
        delay(pause(failed, failure))
    }
    if (last.state != OperationState.OPERATION_STATE_SUCCEEDED) throw errorOf(last)
    return last
}

/** Returns why an operation did not end well; the code is the one of its reason. */
private fun errorOf(operation: Operation): SvoyKrugException {
    val name = operation.error.reason.ifEmpty { "OPERATION_CANCELLED" }
    val code = ErrorReason.entries.find { it.name == "ERROR_REASON_$name" }?.let { CODES[it] } ?: Status.Code.UNKNOWN
    return SvoyKrugException(
        code.toStatus().withDescription(operation.error.text),
        reasonName = name,
        metadata = operation.error.metadataMap,
    )
}
