import { base64Decode } from "@bufbuild/protobuf/wire";
import { SvoyKrugError } from "./errors.js";
import type { Tokens } from "./gen/svoykrug/auth/v1/session_pb.js";
import { ErrorReason } from "./gen/svoykrug/common/v1/error_reason_pb.js";
import { newRequestId } from "./request_id.js";
import type { StoredSession, TokenStore } from "./tokens.js";

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
    if (performance.now() < this.#access.renewAtMs) {
      return this.#access.value;
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

  /** Uses another token from now on; undefined: none. */
  protected use(token: string | undefined): void {
    this.#access = token === undefined ? noToken() : readToken(token);
  }

  /** Gets a new token from the server; undefined when there is nobody to get one for. */
  protected abstract renew(): Promise<string | undefined>;

  async #renewed(): Promise<string | undefined> {
    const before = this.#access;
    const token = await this.renew();
    // A sign-in that came meanwhile has brought a later token.
    if (this.#access === before && token !== undefined) {
      this.use(token);
    }
    return this.#access.value || undefined;
  }
}

/**
 * Calls as a signed-in person; renews the access token with the rotating refresh token.
 *
 * Several clients, such as the tabs of a browser, may share a store. They need no lock: those that race present the same
 * refresh token within seconds, which the server answers with the same next one, and nobody overwrites a later token.
 */
export class SessionCredentials extends Credentials {
  readonly #store: TokenStore;
  readonly #refresh: (refreshToken: string, requestId: string) => Promise<Tokens>;
  #lastChange: Promise<unknown> = Promise.resolve();

  constructor(store: TokenStore, refresh: (refreshToken: string, requestId: string) => Promise<Tokens>) {
    super();
    this.#store = store;
    this.#refresh = refresh;
  }

  /** Takes over the tokens of a new session. */
  async signedIn(userId: string, tokens: Tokens): Promise<void> {
    await this.#alone(async () => {
      await this.#store.save({ userId, refreshToken: tokens.refreshToken, requestId: "" });
      this.use(tokens.accessToken);
    });
  }

  /** Forgets the session. */
  async signedOut(): Promise<void> {
    await this.#alone(async () => {
      await this.#store.save(undefined);
      this.use(undefined);
    });
  }

  protected async renew(): Promise<string | undefined> {
    const session = await this.#alone(() => this.#begin());
    if (!session) {
      return undefined;
    }
    try {
      const tokens = await this.#refresh(session.refreshToken, session.requestId);
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

  /** Stores what follows a session, unless the store has moved on already: a sign-in, or another client. */
  async #moveOn(old: StoredSession, next: StoredSession | undefined): Promise<void> {
    await this.#alone(async () => {
      const stored = await this.#store.load();
      if (stored?.refreshToken === old.refreshToken) {
        await this.#store.save(next);
      }
    });
  }

  /** Runs one change of the store at a time: reading and writing are two steps, and another may not come between. */
  #alone<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.#lastChange.then(change);
    // Whoever asked for the change gets its failure; the next one starts all the same.
    this.#lastChange = changed.catch(() => undefined);
    return changed;
  }
}
