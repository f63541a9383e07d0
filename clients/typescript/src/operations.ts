import { Code } from "@connectrpc/connect";
import type { Client } from "./client.js";
import { ConnectionLost, reasonOf, SvoyKrugError } from "./errors.js";
import { ErrorReason } from "./gen/svoykrug/common/v1/error_reason_pb.js";
import { type Operation, OperationState } from "./gen/svoykrug/operations/v1/operation_pb.js";
import { OperationsService } from "./gen/svoykrug/operations/v1/operations_service_pb.js";
import { pause, repeated } from "./repeating.js";

// Where a watch is impossible the operation is asked for this often.
const POLL_MS = 2_000;
const ENDED = new Set([OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED]);

/**
 * Watches an operation until it has ended well; a broken watch is taken up again. Where the transport has no endless
 * streams it asks every two seconds.
 *
 * @param client Whoever may see the operation.
 * @param operation The operation, as the call that started it returned it.
 * @param onProgress Called with each new state.
 * @param options `signal`: ends the watch; the operation goes on.
 * @throws SvoyKrugError of the reason the operation failed for; or it could not be watched five times in a row, and goes
 *   on.
 */
export async function waitFor(
  client: Client,
  operation: Operation,
  onProgress?: (operation: Operation) => void,
  options: { signal?: AbortSignal } = {},
): Promise<Operation> {
  const { signal } = options;
  let state = operation;
  await repeated(async (progressed) => {
    if (ENDED.has(state.state)) {
      return;
    }
    for await (const answer of states(client, operation.id, signal)) {
      progressed();
      state = answer.operation ?? state;
      onProgress?.(state);
    }
    if (!ENDED.has(state.state)) {
      const text = "The watch ended before the operation.";
      const reason = ErrorReason.UNSPECIFIED;
      throw new ConnectionLost({ reason, reasonName: "Unavailable", text, code: Code.Unavailable });
    }
  }, signal);
  return endedWell(state);
}

/** Yields an operation at each change. */
async function* states(client: Client, operationId: string, signal: AbortSignal | undefined) {
  const operations = client.of(OperationsService);
  const options = signal && { signal };
  try {
    yield* operations.watchOperation({ operationId }, options);
    return;
  } catch (error) {
    if (!(error instanceof SvoyKrugError) || error.code !== Code.Unimplemented) {
      throw error;
    }
  }
  for (let isOver = false; !isOver; ) {
    const answer = await operations.getOperation({ operationId }, options);
    yield answer;
    isOver = answer.operation === undefined || ENDED.has(answer.operation.state);
    await (isOver ? undefined : pause(POLL_MS, signal));
  }
}

function endedWell(operation: Operation): Operation {
  if (operation.state === OperationState.SUCCEEDED) {
    return operation;
  }
  const reasonName = operation.error?.reason || "OPERATION_CANCELLED";
  throw new SvoyKrugError({
    reason: reasonOf(reasonName),
    reasonName,
    text: operation.error?.text ?? "",
    code: operation.state === OperationState.CANCELLED ? Code.Canceled : Code.Unknown,
    metadata: operation.error?.metadata ?? {},
  });
}
