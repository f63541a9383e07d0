import type { DescMessage, DescMethod, DescMethodStreaming, DescMethodUnary, MessageInitShape } from "@bufbuild/protobuf";
import { Code, type ContextValues, type StreamResponse, type Transport, type UnaryResponse } from "@connectrpc/connect";
import type { Credentials } from "./credentials.js";
import { cancelled, SvoyKrugError, typedError } from "./errors.js";
import { ErrorReason } from "./gen/svoykrug/common/v1/error_reason_pb.js";
import { deadlineMs, isPublic, isRepeatable } from "./methods.js";
import { isAway, pauseMs, wantsFreshToken } from "./repeating.js";

const MOST_ATTEMPTS = 4;

/**
 * What every call gets, around any transport: a deadline, a token, the language, repetition and typed errors.
 *
 * This is a transport and no interceptor of one: an interceptor runs inside one call of the transport, so it could
 * neither give a method its own deadline nor send a stream's request again.
 */
export class Calls implements Transport {
  /** Who calls; nobody until it is set. */
  credentials: Credentials | undefined;
  readonly #transport: Transport;
  readonly #common: Readonly<Record<string, string>>;

  constructor(transport: Transport, common: Readonly<Record<string, string>>) {
    this.#transport = transport;
    this.#common = common;
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: MessageInitShape<I>,
    contextValues?: ContextValues,
  ): Promise<UnaryResponse<I, O>> {
    const call = new Call(method, signal, timeoutMs, header);
    return this.#run(call, async (headers) =>
      this.#transport.unary(method, signal, call.leftMs(), headers, input, contextValues),
    );
  }

  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: AsyncIterable<MessageInitShape<I>>,
    contextValues?: ContextValues,
  ): Promise<StreamResponse<I, O>> {
    const call = new Call(method, signal, timeoutMs, header);
    // One request can be sent again; a stream of them is read only once.
    const requests = method.methodKind === "server_streaming" ? await readable(input) : input;
    return this.#run(call, async (headers) => {
      const sent = this.#transport.stream(method, signal, call.leftMs(), headers, requests, contextValues);
      const response = await sent;
      const answers = response.message[Symbol.asyncIterator]();
      // The first answer decides whether the call has to be sent again.
      const first = await answers.next();
      const forget = call.whenCancelled(() => void readToEnd(answers));
      return { ...response, message: rest(first, answers, call, forget) };
    });
  }

  /** Runs a call, again while the server is away and the contract allows it, and once with a fresh token. */
  async #run<T>(call: Call, attempt: (headers: Headers) => Promise<T>): Promise<T> {
    let isRenewed = false;
    for (let failed = 1; ; ) {
      const headers = call.headers(this.#common);
      // A renewal of the token has its own repetition: with that of the call around it there would be 16 attempts.
      const token = await this.#authorize(call, headers);
      try {
        return await attempt(headers).catch((failure) => {
          throw typedError(failure, call.isCancelled);
        });
      } catch (error) {
        // What is wrong on this device, such as a storage that is full, is no answer of a server.
        if (!(error instanceof SvoyKrugError)) {
          throw error;
        }
        if (token !== undefined && wantsFreshToken(error)) {
          this.credentials?.refused(token);
          if (!isRenewed && call.isOneRequest) {
            isRenewed = true;
            continue;
          }
        }
        const pause = pauseMs(failed, error);
        if (!isAway(error) || !call.isRepeatable || failed++ >= MOST_ATTEMPTS || !call.hasTimeFor(pause)) {
          throw error;
        }
        await call.within(() => new Promise((resolve) => setTimeout(resolve, pause)));
      }
    }
  }

  /** Adds our token to the headers and returns it; undefined when the call needs none, has its own or nobody is signed in. */
  async #authorize(call: Call, headers: Headers): Promise<string | undefined> {
    if (!this.credentials || call.isPublic || headers.has("authorization")) {
      return undefined;
    }
    const { credentials } = this;
    const token = await call.within(() => credentials.accessToken());
    if (token !== undefined) {
      headers.set("authorization", `Bearer ${token}`);
    }
    return token;
  }
}

/** One call: what the contract says of its method, and what the caller asked for. */
class Call {
  readonly isPublic: boolean;
  readonly isRepeatable: boolean;
  readonly isOneRequest: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #header: HeadersInit | undefined;
  readonly #endMs: number | undefined;

  constructor(
    method: DescMethod,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
  ) {
    this.isPublic = isPublic(method);
    this.isRepeatable = isRepeatable(method);
    this.isOneRequest = method.methodKind === "unary" || method.methodKind === "server_streaming";
    this.#signal = signal;
    this.#header = header;
    const deadline = timeoutMs ?? deadlineMs(method);
    this.#endMs = deadline === undefined ? undefined : performance.now() + deadline;
  }

  /** Whether the caller has ended it. */
  get isCancelled(): boolean {
    return this.#signal?.aborted ?? false;
  }

  /** The headers of one attempt; what the caller brings herself is left alone. */
  headers(common: Readonly<Record<string, string>>): Headers {
    const headers = new Headers(this.#header);
    for (const [name, value] of Object.entries(common)) {
      if (!headers.has(name)) {
        headers.set(name, value);
      }
    }
    return headers;
  }

  /**
   * How long is left; undefined without a deadline.
   *
   * @throws SvoyKrugError when nothing is left.
   */
  leftMs(): number | undefined {
    if (this.#endMs === undefined) {
      return undefined;
    }
    const left = Math.ceil(this.#endMs - performance.now());
    if (left <= 0) {
      throw deadlinePassed();
    }
    return left;
  }

  /** Whether a pause leaves time for another attempt. */
  hasTimeFor(pause: number): boolean {
    return this.#endMs === undefined || performance.now() + pause < this.#endMs;
  }

  /** Has something done when the caller ends the call; returns what takes that back. */
  whenCancelled(cancel: () => void): () => void {
    this.#signal?.addEventListener("abort", cancel);
    return () => this.#signal?.removeEventListener("abort", cancel);
  }

  /** Waits for something no longer than the call may last; what is waited for goes on for others. */
  async within<T>(wait: () => Promise<T>): Promise<T> {
    const left = this.leftMs();
    if (this.isCancelled) {
      throw cancelled();
    }
    let timer: ReturnType<typeof setTimeout> | undefined;
    let forget = () => {};
    const ended = new Promise<never>((_, reject) => {
      forget = this.whenCancelled(() => reject(cancelled()));
      timer = left === undefined ? undefined : setTimeout(() => reject(deadlinePassed()), left);
    });
    try {
      return await Promise.race([wait(), ended]);
    } finally {
      clearTimeout(timer);
      forget();
    }
  }
}

function deadlinePassed(): SvoyKrugError {
  return new SvoyKrugError({
    reason: ErrorReason.DEADLINE_EXCEEDED,
    reasonName: "DEADLINE_EXCEEDED",
    text: "The deadline passed before the call could be sent.",
    code: Code.DeadlineExceeded,
  });
}

/** Returns what can be read again and again, of an input that holds one request. */
async function readable<T>(input: AsyncIterable<T>): Promise<AsyncIterable<T>> {
  const requests: T[] = [];
  for await (const request of input) {
    requests.push(request);
  }
  return {
    async *[Symbol.asyncIterator]() {
      yield* requests;
    },
  };
}

/** Frees the timer of a stream that was cancelled and that nobody reads on; the cancellation brings its end about. */
async function readToEnd(answers: AsyncIterator<unknown>): Promise<void> {
  let isOver = false;
  while (!isOver) {
    isOver = await answers.next().then(
      (answer) => answer.done === true,
      () => true,
    );
  }
}

async function* rest<T>(
  first: IteratorResult<T>,
  answers: AsyncIterator<T>,
  call: Call,
  finished: () => void,
): AsyncGenerator<T> {
  try {
    for (let answer = first; !answer.done; answer = await answers.next()) {
      yield answer.value;
    }
    if (call.isCancelled) {
      throw cancelled();
    }
  } catch (failure) {
    throw typedError(failure, call.isCancelled);
  } finally {
    finished();
  }
}
