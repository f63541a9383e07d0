import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  LocalizedMessageSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import { ErrorReason } from "./gen/svoykrug/common/v1/error_reason_pb.js";

/** What is known of a refused call. */
export interface Refusal {
  /** Why, for programs; `UNSPECIFIED` when nobody of ours said why, or when this client does not know the reason yet. */
  reason: ErrorReason;
  /** The reason as the server wrote it, such as `CODE_WRONG`; the name of the status code when it said none. */
  reasonName: string;
  /** Why, for people, in the language of the client. */
  text: string;
  /** The gRPC status code. */
  code: Code;
  /** Facts of the reason, such as `guesses_left`. */
  metadata?: Readonly<Record<string, string>>;
  /** The rule that each bad field breaks, by the field's path. */
  fieldViolations?: Readonly<Record<string, string>>;
  /** How long to wait before another try; undefined where waiting does not help. */
  retryAfterMs?: number | undefined;
  /** Finds the call in the server's log. */
  requestId?: string;
}

/** A call was refused. Branch on `reason`. */
export class SvoyKrugError extends Error implements Refusal {
  override readonly name: string = "SvoyKrugError";
  readonly reason: ErrorReason;
  readonly reasonName: string;
  readonly text: string;
  readonly code: Code;
  readonly metadata: Readonly<Record<string, string>>;
  readonly fieldViolations: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
  readonly requestId: string;

  constructor(refusal: Refusal, options?: ErrorOptions) {
    super(`${refusal.reasonName}: ${refusal.text}`, options);
    this.reason = refusal.reason;
    this.reasonName = refusal.reasonName;
    this.text = refusal.text;
    this.code = refusal.code;
    this.metadata = refusal.metadata ?? {};
    this.fieldViolations = refusal.fieldViolations ?? {};
    this.retryAfterMs = refusal.retryAfterMs;
    this.requestId = refusal.requestId ?? "";
  }
}

/** No answer came from the server itself: the network or a proxy failed. Whether the call was carried out is unknown. */
export class ConnectionLost extends SvoyKrugError {
  override readonly name = "ConnectionLost";
}

/** Returns the error of a call that the caller herself ended. */
export function cancelled(): SvoyKrugError {
  const text = "The caller ended the call.";
  return new SvoyKrugError({ reason: ErrorReason.UNSPECIFIED, reasonName: "Canceled", text, code: Code.Canceled });
}

const DOMAIN = "svoykrug";
// What the transports say, without a status of the server, when a connection broke or could not be made, or when somebody
// else answered, such as the sign-in page of a Wi-Fi.
const BROKEN = new Set([Code.Aborted, Code.Unknown, Code.Internal, Code.InvalidArgument]);
// How they begin to say that a request holds what its type cannot, such as NaN for a number: it was not sent.
const UNSENT = "serialize binary: ";

/**
 * Returns the typed error of a failed call; its cause is the transport's own.
 *
 * @param failure What was thrown.
 * @param isCancelled Whether the caller herself ended the call.
 */
export function typedError(failure: unknown, isCancelled = false): SvoyKrugError {
  if (failure instanceof SvoyKrugError) {
    return failure;
  }
  const status = ConnectError.from(failure);
  const refusal = refusalOf(status);
  return new (isLost(status, refusal, isCancelled) ? ConnectionLost : SvoyKrugError)(refusal, { cause: failure });
}

function refusalOf(status: ConnectError): Refusal {
  const [info] = status.findDetails(ErrorInfoSchema);
  const [localized] = status.findDetails(LocalizedMessageSchema);
  const [badRequest] = status.findDetails(BadRequestSchema);
  const [retry] = status.findDetails(RetryInfoSchema);
  const [request] = status.findDetails(RequestInfoSchema);
  const said = info?.domain === DOMAIN ? info.reason : "";
  const delay = retry?.retryDelay;
  return {
    reason: reasonOf(said),
    reasonName: said || Code[status.code],
    text: localized?.message ?? status.rawMessage,
    code: status.code,
    metadata: info?.metadata ?? {},
    fieldViolations: Object.fromEntries(
      (badRequest?.fieldViolations ?? []).map((bad) => [bad.field, bad.description]),
    ),
    retryAfterMs: delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6,
    requestId: request?.requestId ?? status.metadata.get("x-request-id") ?? "",
  };
}

/** Returns the reason of a name such as `CODE_WRONG`; `UNSPECIFIED` when this client does not know it. */
export function reasonOf(name: string): ErrorReason {
  return name in ErrorReason ? ErrorReason[name as keyof typeof ErrorReason] : ErrorReason.UNSPECIFIED;
}

function isLost(status: ConnectError, refusal: Refusal, isCancelled: boolean): boolean {
  if (isCancelled || status.findDetails(ErrorInfoSchema).length > 0) {
    return false;
  }
  // A server that stops answers CANCELLED to what it has not seen yet, or ends so.
  if (refusal.code === Code.Unavailable || refusal.code === Code.Canceled) {
    return true;
  }
  return BROKEN.has(refusal.code) && !status.metadata.has("grpc-status") && !status.rawMessage.startsWith(UNSENT);
}
