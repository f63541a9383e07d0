import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { ErrorReason, MemoryTokenStore, StorageTokenStore, SvoyKrugError } from "@svoykrug/client";
import type { Tokens } from "@svoykrug/client/svoykrug/auth/v1/session_pb";
import { SessionCredentials } from "../src/credentials.js";
import { PromisedStorage, tokenOf, tokensOf } from "./sessions.js";

const SIGNED_IN = { userId: "anna", refreshToken: "the first refresh token", requestId: "" };

async function signedIn(): Promise<MemoryTokenStore> {
  const store = new MemoryTokenStore();
  await store.save(SIGNED_IN);
  return store;
}

test("a session in AsyncStorage is read back as it was saved, and is gone once it is forgotten", async () => {
  const storage = new PromisedStorage();
  const store = new StorageTokenStore(storage);
  assert.equal(await store.load(), undefined);
  const session = { ...SIGNED_IN, requestId: "a refresh under way" };
  await store.save(session);
  assert.deepEqual(await new StorageTokenStore(storage).load(), session);
  assert.equal(await new StorageTokenStore(storage, "another key").load(), undefined);
  await store.save(undefined);
  assert.equal(storage.kept.size, 0);
});

for (const text of ["", "null", "[]", "{", '{"userId": "anna"}', '{"userId": 1, "refreshToken": "", "requestId": ""}']) {
  test(`a storage that holds ${JSON.stringify(text)} is said to hold no session`, async () => {
    const store = new StorageTokenStore({ getItem: () => text, setItem: () => {}, removeItem: () => {} });
    await assert.rejects(store.load(), /svoykrug.session holds no session of this client/);
  });
}

test("the request id lies in AsyncStorage before a refresh is sent, and is sent again until it is answered", async () => {
  const storage = new PromisedStorage();
  await new StorageTokenStore(storage).save(SIGNED_IN);
  const sent: string[] = [];
  const started = (answer: () => Promise<Tokens>) =>
    new SessionCredentials(new StorageTokenStore(storage), async (refreshToken, requestId) => {
      sent.push(requestId);
      assert.deepEqual(JSON.parse(storage.kept.get("svoykrug.session") ?? ""), { userId: "anna", refreshToken, requestId });
      return answer();
    });
  await assert.rejects(started(() => Promise.reject(new Error("the application was killed"))).accessToken());
  assert.equal(await started(async () => tokensOf("anna")).accessToken(), tokenOf("anna"));
  assert.equal(new Set(sent).size, 1);
  assert.notEqual(sent[0], "");
  assert.deepEqual(await new StorageTokenStore(storage).load(), { ...SIGNED_IN, refreshToken: "that of anna" });
});

for (const minutes of [-5, 0, 5]) {
  test(`a token of a clock that differs by ${minutes} minutes is kept`, async () => {
    let refreshes = 0;
    const credentials = new SessionCredentials(await signedIn(), async () => tokensOf(`refresh ${++refreshes}`, minutes));
    const tokens = new Set<string | undefined>();
    for (let call = 0; call < 3; call++) {
      tokens.add(await credentials.accessToken());
    }
    assert.equal(tokens.size, 1);
    assert.equal(refreshes, 1);
  });
}

test("a token is renewed a minute before it dies by a clock that only counts", async (context) => {
  let nowMs = 0;
  context.mock.method(performance, "now", () => nowMs);
  let refreshes = 0;
  const credentials = new SessionCredentials(await signedIn(), async () => tokensOf(`refresh ${++refreshes}`, 5));
  await credentials.signedIn("anna", tokensOf("the sign-in", 5));
  nowMs = 14 * 60_000 - 1;
  await credentials.accessToken();
  assert.equal(refreshes, 0);
  nowMs += 1;
  await credentials.accessToken();
  assert.equal(refreshes, 1);
});

test("fifty calls share one refresh", async () => {
  let refreshes = 0;
  const credentials = new SessionCredentials(await signedIn(), async () => {
    refreshes += 1;
    await new Promise(setImmediate);
    return tokensOf("anna");
  });
  const tokens = await Promise.all(Array.from({ length: 50 }, () => credentials.accessToken()));
  assert.equal(new Set(tokens).size, 1);
  assert.equal(refreshes, 1);
});

const ENDS = [ErrorReason.REFRESH_TOKEN_INVALID, ErrorReason.SESSION_REVOKED, ErrorReason.SESSION_COMPROMISED];
const OTHERS = [ErrorReason.UNSPECIFIED, ErrorReason.TOKEN_INVALID, ErrorReason.INTERNAL, ErrorReason.STORE_UNAVAILABLE];

for (const reason of [...ENDS, ...OTHERS]) {
  const ends = ENDS.includes(reason);
  test(`${ErrorReason[reason]} ${ends ? "ends the session" : "signs nobody out"}`, async () => {
    const store = await signedIn();
    const refused = new SvoyKrugError({ reason, reasonName: "", text: "", code: Code.Unauthenticated });
    await assert.rejects(new SessionCredentials(store, () => Promise.reject(refused)).accessToken(), refused);
    assert.equal((await store.load()) === undefined, ends);
  });
}

test("a later session in the store is not overwritten", async () => {
  const store = await signedIn();
  const later = { ...SIGNED_IN, refreshToken: "from another tab" };
  const credentials = new SessionCredentials(store, async () => {
    await store.save(later);
    throw new SvoyKrugError({ reason: ErrorReason.SESSION_REVOKED, reasonName: "", text: "", code: Code.Unauthenticated });
  });
  await assert.rejects(credentials.accessToken());
  assert.deepEqual(await store.load(), later);
});
