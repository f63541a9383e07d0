import { base64Decode } from "@bufbuild/protobuf/wire";
import { SvoyKrugError } from "./errors.js";
import type { Tokens } from "./gen/svoykrug/auth/v1/session_pb.js";
import { ErrorReason } from "./gen/svoykrug/common/v1/error_reason_pb.js";
import { newRequestId } from "./request_id.js";
import { isShared, type StoredSession, type TokenStore } from "./tokens.js";

// A token is renewed this long before it dies, so that no call carries one that dies on the way.
const EARLY_MS = 60_000;
// The answers that mean: this session is over for good. No other failure may sign her out, a proxy's 401 least of all.
const SESSION_OVER = new Set([
  ErrorReason.REFRESH_TOKEN_INVALID,
  ErrorReason.SESSION_REVOKED,
  ErrorReason.SESSION_COMPROMISED,
]);

/** Whether a failure means that the session is over for good. */
export function isSessionOver(error: unknown): boolean {
  return error instanceof SvoyKrugError && SESSION_OVER.has(error.reason);
}

/** A token and when to renew it, on the monotonic clock: a wrong wall clock here changes nothing. */
interface AccessToken {
  readonly value: string;
  renewAtMs: number;
}

function noToken(): AccessToken {
  return { value: "", renewAtMs: 0 };
}

/** Reads a token's life from its own claims: only the server's clock counts. The server verifies it, not we. */
function readToken(value: string): AccessToken {
  const payload = String.fromCharCode(...base64Decode(value.split(".")[1] ?? ""));
  const claims: { exp: number; iat: number } = JSON.parse(payload);
  const lifeMs = (claims.exp - claims.iat) * 1000;
  return { value, renewAtMs: performance.now() + Math.max(lifeMs - EARLY_MS, lifeMs / 2) };
}

/**
 * Gives each call its access token and renews it before it dies. However many calls wait for a fresh token, one renewal
 * is under way; a call that is cancelled or whose deadline passes stops waiting, and the renewal goes on for the others.
 */
export abstract class Credentials {
  #access: AccessToken = noToken();
  #renewal: Promise<string | undefined> | undefined;

  /**
   * Returns a token that is good now, or undefined to call without one.
   *
   * @throws SvoyKrugError when there is no good token and the server gives no new one.
   */
  async accessToken(): Promise<string | undefined> {
    const { good } = this;
    if (good !== undefined) {
      return good;
    }
    this.#renewal ??= this.#renewed().finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  /** Takes note that the server refused a token: it is not used again. */
  refused(token: string): void {
    if (token === this.#access.value) {
      this.#access.renewAtMs = 0;
    }
  }

  /** The token that needs no renewal yet. */
  protected get good(): string | undefined {
    return performance.now() < this.#access.renewAtMs ? this.#access.value : undefined;
  }

  /** Uses another token from now on; undefined: none. */
  protected use(token: string | undefined): void {
    this.#access = token === undefined ? noToken() : readToken(token);
  }

  /** Gets a new token from the server; undefined when there is nobody to get one for. */
  protected abstract renew(): Promise<string | undefined>;

  async #renewed(): Promise<string | undefined> {
    const before = this.#access;
    const token = await this.renew();
    // A sign-in or a sign-out that came meanwhile knows better.
    if (this.#access === before) {
      this.use(token);
    }
    return this.#access.value || undefined;
  }
}

/** Exchanges a refresh token for the next ones; the signal says that nobody wants them any more. */
type Refresh = (refreshToken: string, requestId: string, signal: AbortSignal) => Promise<Tokens>;

/**
 * Calls as a signed-in person; renews the access token with the rotating refresh token.
 *
 * Several clients, such as the tabs of a browser, may share a store that has a lock: it is held from reading the session
 * to storing what follows it, the call between included. Any other store serves one client at a time.
 */
export class SessionCredentials extends Credentials {
  readonly #store: TokenStore;
  readonly #refresh: Refresh;
  #lastChange: Promise<unknown> = Promise.resolve();
  #refreshing: AbortController | undefined;

  constructor(store: TokenStore, refresh: Refresh) {
    super();
    this.#store = store;
    this.#refresh = refresh;
  }

  /** Takes over the tokens of a new session. */
  async signedIn(userId: string, tokens: Tokens): Promise<void> {
    await this.#replace({ userId, refreshToken: tokens.refreshToken, requestId: "" }, tokens.accessToken);
  }

  /** Forgets the session. */
  async signedOut(): Promise<void> {
    await this.#replace(undefined, undefined);
  }

  protected async renew(): Promise<string | undefined> {
    // Where nobody is signed in there is nothing to lock.
    while (await this.#store.load()) {
      const refreshing = new AbortController();
      this.#refreshing = refreshing;
      try {
        return await this.#alone(async () => this.good ?? (await this.#refreshed(refreshing.signal)));
      } catch (error) {
        // A sign-in or a sign-out has ended it: what that brings is waited for.
        if (!refreshing.signal.aborted) {
          throw error;
        }
      }
    }
    return undefined;
  }

  /** Puts a session, or none, in the place of the old one; the answer of a refresh under way is of no use then. */
  async #replace(session: StoredSession | undefined, accessToken: string | undefined): Promise<void> {
    this.#refreshing?.abort();
    await this.#alone(async () => {
      await this.#store.save(session);
      this.use(accessToken);
    });
  }

  async #refreshed(signal: AbortSignal): Promise<string | undefined> {
    const session = await this.#begin();
    if (!session) {
      return undefined;
    }
    try {
      const tokens = await this.#refresh(session.refreshToken, session.requestId, signal);
      await this.#moveOn(session, { ...session, refreshToken: tokens.refreshToken, requestId: "" });
      return tokens.accessToken;
    } catch (error) {
      if (isSessionOver(error)) {
        await this.#moveOn(session, undefined);
      }
      throw error;
    }
  }

  async #begin(): Promise<StoredSession | undefined> {
    const session = await this.#store.load();
    if (!session || session.requestId) {
      return session;
    }
    const begun = { ...session, requestId: newRequestId() };
    await this.#store.save(begun);
    return begun;
  }

  /** Stores what follows a session, unless the store has moved on already: by a client that did not wait for the lock. */
  async #moveOn(old: StoredSession, next: StoredSession | undefined): Promise<void> {
    const stored = await this.#store.load();
    if (stored?.refreshToken === old.refreshToken) {
      await this.#store.save(next);
    }
  }

  /** Runs one change of the store at a time, in the order they were asked for, and under the store's lock if it has one. */
  #alone<T>(change: () => Promise<T>): Promise<T> {
    const store = this.#store;
    const changed = this.#lastChange.then(() => (isShared(store) ? store.lock(change) : change()));
    // Whoever asked for the change gets its failure; the next one starts all the same.
    this.#lastChange = changed.catch(() => undefined);
    return changed;
  }
}
