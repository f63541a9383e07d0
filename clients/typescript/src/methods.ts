import { type DescMethod, getOption } from "@bufbuild/protobuf";
import { durationMs, MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Caller, rule } from "./gen/svoykrug/access/v1/access_pb.js";
import { call } from "./gen/svoykrug/common/v1/method_options_pb.js";

const DEFAULT_DEADLINE_MS = 10_000;

/** Whether a method is called without a token. */
export function isPublic(method: DescMethod): boolean {
  return getOption(method, rule).callers.includes(Caller.PUBLIC);
}

/** The deadline of a call that names none; undefined for a stream that the caller ends. */
export function deadlineMs(method: DescMethod): number | undefined {
  const stated = getOption(method, call);
  if (stated.endless) {
    return undefined;
  }
  return stated.defaultDeadline ? durationMs(stated.defaultDeadline) : DEFAULT_DEADLINE_MS;
}

/** Whether a call may be sent again when the server was unavailable. `importPurchases` repeats streams of requests. */
export function isRepeatable(method: DescMethod): boolean {
  const isOneRequest = method.methodKind === "unary" || method.methodKind === "server_streaming";
  return isOneRequest && method.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN;
}
