import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Code } from "@connectrpc/connect";
import { ErrorReason, MemoryTokenStore, StorageTokenStore, SvoyKrugError } from "@svoykrug/client";
import type { Tokens } from "@svoykrug/client/svoykrug/auth/v1/session_pb";
import { SessionCredentials } from "../src/credentials.js";
import { PromisedStorage, tokenOf, tokensOf } from "./sessions.js";
import { until } from "./server.js";

/** The longest wait for a lock of a storage, and a little. */
const WAIT_MS = 15_100;

/** The Web Locks of a browser, which Node 20 lacks: one holder of a name at a time, in the order they asked. */
class Locks {
  readonly #held = new Map<string, Promise<unknown>>();
  asked = 0;

  request<T>(name: string, { signal }: { signal: AbortSignal }, work: () => Promise<T>): Promise<T> {
    this.asked += 1;
    const before = this.#held.get(name) ?? Promise.resolve();
    const aborted = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const turn = Promise.race([before, aborted]);
    const worked = turn.then(work);
    this.#held.set(name, Promise.allSettled([before, worked]));
    return worked;
  }
}

/** The server's rule: an old refresh token is theft, but for the request that rotated it, once a minute has passed. */
class Server {
  readonly requests: string[] = [];
  #current = "first";
  #previous = { token: "", requestId: "" };
  #rotations = 0;

  refresh(refreshToken: string, requestId: string): Tokens {
    this.requests.push(requestId);
    if (refreshToken === this.#current) {
      this.#rotations += 1;
      this.#previous = { token: refreshToken, requestId };
      this.#current = tokensOf(`rotation ${this.#rotations}`).refreshToken;
    } else if (refreshToken !== this.#previous.token || requestId !== this.#previous.requestId) {
      const reason = ErrorReason.SESSION_COMPROMISED;
      throw new SvoyKrugError({ reason, reasonName: "SESSION_COMPROMISED", text: "", code: Code.Unauthenticated });
    }
    return tokensOf(`rotation ${this.#rotations}`);
  }
}

let locks: Locks;
let storage: PromisedStorage;
let server: Server;

beforeEach(async () => {
  locks = new Locks();
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
  server = new Server();
  storage = new PromisedStorage();
  await new StorageTokenStore(storage).save({ userId: "anna", refreshToken: "first", requestId: "" });
});

const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");

afterEach(() => {
  Reflect.deleteProperty(globalThis, "navigator");
  if (before) {
    Object.defineProperty(globalThis, "navigator", before);
  }
});

/** Opens the application in another tab: another client and another store, on the same storage. */
function tab(refresh: (refreshToken: string, requestId: string) => Promise<Tokens>): SessionCredentials {
  return new SessionCredentials(new StorageTokenStore(storage), refresh);
}

const reached = async (refreshToken: string, requestId: string) => server.refresh(refreshToken, requestId);
const lost = new Error("the answer was lost");

test("two tabs whose refreshes were lost ask again with one request id, and nobody is signed out", async () => {
  const online = { value: false };
  const anna = tab(async (refreshToken, requestId) => {
    const tokens = server.refresh(refreshToken, requestId);
    await new Promise(setImmediate);
    return online.value ? tokens : Promise.reject(lost);
  });
  const other = tab(async (refreshToken, requestId) =>
    online.value ? server.refresh(refreshToken, requestId) : Promise.reject(lost),
  );
  const failures = await Promise.allSettled([anna.accessToken(), other.accessToken()]);
  assert.deepEqual(failures.map(({ status }) => status), ["rejected", "rejected"]);
  online.value = true;
  assert.equal(await other.accessToken(), tokenOf("rotation 1"));
  assert.equal(server.requests[0], server.requests[1]);
  assert.equal(await anna.accessToken(), tokenOf("rotation 2"));
  const kept = await new StorageTokenStore(storage).load();
  assert.deepEqual(kept, { userId: "anna", refreshToken: "that of rotation 2", requestId: "" });
});

test("a tab refreshes when the other one's refresh is answered, and with the next token", async () => {
  let answer = () => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const sent: string[] = [];
  const slow = tab(async (refreshToken, requestId) => {
    sent.push(refreshToken);
    await answered;
    return server.refresh(refreshToken, requestId);
  });
  const other = tab(async (refreshToken, requestId) => {
    sent.push(refreshToken);
    return server.refresh(refreshToken, requestId);
  });
  const tokens = Promise.all([slow.accessToken(), other.accessToken()]);
  await until(async () => locks.asked === 2 && sent.length === 1);
  for (let turn = 0; turn < 20; turn++) {
    await new Promise(setImmediate);
  }
  assert.deepEqual(sent, ["first"]);
  answer();
  assert.deepEqual((await tokens).sort(), [tokenOf("rotation 1"), tokenOf("rotation 2")]);
  assert.deepEqual(sent, ["first", "that of rotation 1"]);
});

test("a lock that is never let go of delays a refresh, and does not prevent it", async (context) => {
  void locks.request("svoykrug:svoykrug.session", { signal: new AbortController().signal }, () => new Promise(() => {}));
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const token = tab(reached).accessToken();
  while (locks.asked < 2) {
    await new Promise(setImmediate);
  }
  assert.deepEqual(server.requests, []);
  context.mock.timers.tick(WAIT_MS);
  assert.equal(await token, tokenOf("rotation 1"));
});

test("nobody locks a storage in which nobody is signed in", async () => {
  await new StorageTokenStore(storage).save(undefined);
  assert.equal(await tab(reached).accessToken(), undefined);
  assert.equal(locks.asked, 0);
});

test("what a refresh throws under the lock is thrown, and the lock is let go of", async () => {
  await assert.rejects(tab(() => Promise.reject(lost)).accessToken(), lost);
  assert.equal(await tab(reached).accessToken(), tokenOf("rotation 1"));
});

for (const store of [new StorageTokenStore(new PromisedStorage()), new MemoryTokenStore()]) {
  const hanging = async () => {
    await store.save({ userId: "anna", refreshToken: "first", requestId: "" });
    let isSent = false;
    const credentials = new SessionCredentials(store, (_, __, signal) => {
      isSent = true;
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    });
    const asked = Promise.all([credentials.accessToken(), credentials.accessToken()]);
    await until(async () => isSent);
    return { credentials, asked };
  };

  test(`a session is forgotten while its refresh hangs, and calls that waited have no token (${store.constructor.name})`, async () => {
    const { credentials, asked } = await hanging();
    await credentials.signedOut();
    assert.deepEqual(await asked, [undefined, undefined]);
    assert.equal(await store.load(), undefined);
  });

  test(`a sign-in does not wait for a refresh that hangs, and calls that waited get its token (${store.constructor.name})`, async () => {
    const { credentials, asked } = await hanging();
    await credentials.signedIn("olga", tokensOf("olga"));
    assert.deepEqual(await asked, [tokenOf("olga"), tokenOf("olga")]);
    assert.deepEqual(await store.load(), { userId: "olga", refreshToken: "that of olga", requestId: "" });
  });
}
