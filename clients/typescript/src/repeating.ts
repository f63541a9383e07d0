import { Code } from "@connectrpc/connect";
import { cancelled, ConnectionLost, SvoyKrugError } from "./errors.js";
import { ErrorReason } from "./gen/svoykrug/common/v1/error_reason_pb.js";

const MOST_ATTEMPTS = 5;
const FIRST_MS = 200;
const LONGEST_MS = 5_000;

/** Whether the server was away: a repeatable call may be sent again. */
export function isAway(error: SvoyKrugError): boolean {
  return error instanceof ConnectionLost || error.code === Code.Unavailable;
}

/** Whether the server refused the call's access token: a fresh one will do. */
export function wantsFreshToken(error: SvoyKrugError): boolean {
  return error.reason === ErrorReason.TOKEN_EXPIRED || error.reason === ErrorReason.ACCESS_TOKEN_REVOKED;
}

/** How long to wait after so many failures, from 1: 0.2 s, doubled up to 5 s, with jitter; no less than the server said. */
export function pauseMs(failed: number, error: SvoyKrugError): number {
  const backoff = Math.min(FIRST_MS * 2 ** (failed - 1), LONGEST_MS);
  return Math.max(backoff, error.retryAfterMs ?? 0) * (1 + 0.2 * Math.random());
}

/**
 * Does something up to five times in a row, with a pause after each failure that passes.
 *
 * @param attempt Does it once; it says by `progressed` that it got on, and the count begins anew.
 * @param signal Ends a pause, and with it the repetition.
 * @throws SvoyKrugError of the last attempt, or of an earlier one for a reason that does not pass.
 */
export async function repeated<T>(
  attempt: (progressed: () => void) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  for (let failed = 1; ; failed++) {
    try {
      return await attempt(() => {
        failed = 1;
      });
    } catch (error) {
      if (!(error instanceof SvoyKrugError) || !passes(error) || failed >= MOST_ATTEMPTS) {
        throw error;
      }
      await pause(pauseMs(failed, error), signal);
    }
  }
}

/**
 * Lets some time pass.
 *
 * @throws SvoyKrugError of the code Canceled when the caller ends the pause.
 */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  let end = () => {};
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    end = () => {
      clearTimeout(timer);
      resolve();
    };
    signal?.addEventListener("abort", end);
    if (signal?.aborted) {
      end();
    }
  });
  signal?.removeEventListener("abort", end);
  if (signal?.aborted) {
    throw cancelled();
  }
}

function passes(error: SvoyKrugError): boolean {
  return isAway(error) || wantsFreshToken(error) || error.reason === ErrorReason.OVERLOADED;
}
