/** A signed-in session as a store keeps it. */
export interface StoredSession {
  /** Who is signed in, a UUID. */
  userId: string;
  /** The secret of the next refresh. */
  refreshToken: string;
  /**
   * The id of a refresh that was sent and not yet answered; empty when none is under way. It is stored before the call,
   * so that a refresh whose answer was lost, even by a crash, is repeated and not mistaken for theft.
   */
  requestId: string;
}

/** Keeps the session of one signed-in person, for one client at a time; see {@link SharedTokenStore} for several. */
export interface TokenStore {
  /** Returns the session, or undefined when nobody is signed in. */
  load(): Promise<StoredSession | undefined>;
  /** Keeps the session, durably before it resolves; undefined forgets it. */
  save(session: StoredSession | undefined): Promise<void>;
}

/** A store that several clients, such as the tabs of a browser, may share: it has a lock. */
export interface SharedTokenStore extends TokenStore {
  /**
   * Does something while no other client of the store does, a call of some seconds included. Whoever holds the lock for
   * longer than a call takes has been stopped, and must not keep the others out for ever: then it is done all the same.
   */
  lock<T>(work: () => Promise<T>): Promise<T>;
}

/** Whether a store has a lock. */
export function isShared(store: TokenStore): store is SharedTokenStore {
  return "lock" in store;
}

/** Keeps the session as long as the program runs. */
export class MemoryTokenStore implements TokenStore {
  #session: StoredSession | undefined;

  async load(): Promise<StoredSession | undefined> {
    return this.#session;
  }

  async save(session: StoredSession | undefined): Promise<void> {
    this.#session = session;
  }
}

/** What `localStorage`, React Native's AsyncStorage and secure storages of the same shape can do. */
export interface KeyValueStorage {
  getItem(key: string): string | null | Promise<string | null>;
  setItem(key: string, value: string): unknown;
  removeItem(key: string): unknown;
}

// The longest wait for a lock. A refresh ends at its deadline of 10 s.
const LONGEST_WAIT_MS = 15_000;

/**
 * Keeps the session under one key of a storage: `localStorage`, AsyncStorage, an encrypted one.
 *
 * Where there are Web Locks, as in browsers over https, the tabs of one origin may share it; elsewhere it serves one
 * client at a time.
 */
export class StorageTokenStore implements SharedTokenStore {
  readonly #storage: KeyValueStorage;
  readonly #key: string;

  constructor(storage: KeyValueStorage, key = "svoykrug.session") {
    this.#storage = storage;
    this.#key = key;
  }

  /** @throws Error when the key holds something else. */
  async load(): Promise<StoredSession | undefined> {
    const text = await this.#storage.getItem(this.#key);
    if (text === null) {
      return undefined;
    }
    const session = read(text);
    if (session === undefined) {
      throw new Error(`${this.#key} holds no session of this client`);
    }
    return session;
  }

  async save(session: StoredSession | undefined): Promise<void> {
    if (session) {
      await this.#storage.setItem(this.#key, JSON.stringify(session));
    } else {
      await this.#storage.removeItem(this.#key);
    }
  }

  async lock<T>(work: () => Promise<T>): Promise<T> {
    const locks = globalThis.navigator?.locks;
    if (!locks) {
      return work();
    }
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), LONGEST_WAIT_MS);
    let isHeld = false;
    try {
      return await locks.request(`svoykrug:${this.#key}`, { signal: waiting.signal }, () => {
        isHeld = true;
        clearTimeout(timer);
        return work();
      });
    } catch (failure) {
      if (isHeld || !waiting.signal.aborted) {
        throw failure;
      }
    }
    return work();
  }
}

function read(text: string): StoredSession | undefined {
  let value: Partial<Record<keyof StoredSession, unknown>> | null;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { userId, refreshToken, requestId } = value ?? {};
  const isSession = [userId, refreshToken, requestId].every((part) => typeof part === "string");
  return isSession ? (value as StoredSession) : undefined;
}
