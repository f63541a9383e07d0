import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { mock } from "node:test";
import { promisify } from "node:util";
import { Client } from "@svoykrug/client";
import { readServiceKey, serviceCredentials } from "@svoykrug/client/node";
import { PurchasesService } from "@svoykrug/client/svoykrug/purchases/v1/purchases_service_pb";
import { UsersService } from "@svoykrug/client/svoykrug/users/v1/users_service_pb";
import { type Device, device, isLost, refusal, whenBack, type Way } from "./people.js";
import { type Identity, throughProxy } from "./proxy.js";
import { countOf, purchaseOf } from "./purchases.js";
import { PYTHON, type RunningServer } from "./server.js";
import type { Met } from "./table.js";

const CERTIFICATES = resolve(import.meta.dirname, "../../../../tests/clients/certificates.py");
const DEADLINE_MS = 1_000;
/** When a client must have given a dead connection up. */
const GIVEN_UP_MS = 60_000;
/** What a call may take beyond its deadline on a slow machine. */
export const GRACE_MS = 5_000;

/** What the bad days of a scenario need: who is signed in, who sells, and where. */
export interface Circle {
  way: Way;
  server: RunningServer;
  anna: Device;
  annaId: string;
  businessId: string;
  phone: string;
  serviceKeyFile: string;
}

/** The link goes while a purchase is under way, and is back seconds later. */
export async function aeroplaneMode(circle: Circle, met: Met): Promise<void> {
  const { way, server, anna, annaId } = circle;
  await throughProxy(way.address(server), async (proxy) => {
    const far = device(way, proxy.url, anna.store);
    const users = far.client.of(UsersService);
    await users.getMe({});
    const before = await anna.store.load();
    proxy.isStalled = true;
    await lostInTime((timeoutMs) => record(circle, far.client, "in-the-air", timeoutMs));
    proxy.isAway = true;
    await lostInTime((timeoutMs) => users.getMe({}, { timeoutMs }));
    // An application that is started in the air has no token yet.
    const cold = device(way, proxy.url, anna.store);
    await lostInTime((timeoutMs) => cold.client.of(UsersService).getMe({}, { timeoutMs }));
    met("calls_end");
    assert.equal((await anna.store.load())?.refreshToken, before?.refreshToken);
    proxy.isStalled = proxy.isAway = false;
    proxy.endConnections();
    assert.equal(await whenBack(far), annaId);
    assert.equal(await whenBack(cold), annaId);
    met("session_stays");
    await record(circle, far.client, "in-the-air");
    assert.equal((await record(circle, far.client, "in-the-air")).duplicate, true);
    assert.equal(await countOf(anna, "in-the-air"), 1);
    met("purchase_counts_once");
  });
}

/** The server's certificate has expired; then it gets another. */
export async function expiredCertificate({ way, server, anna, annaId }: Circle, met: Met): Promise<void> {
  const { authority, expired, valid } = await certificates();
  await throughProxy(way.address(server), async (proxy) => {
    const transport = way.transport(`https://${proxy.address}`, [], authority);
    const client = new Client({ transport, tokenStore: anna.store });
    const before = await anna.store.load();
    await lostInTime((timeoutMs) => client.of(UsersService).getMe({}, { timeoutMs }));
    assert.equal((await anna.store.load())?.refreshToken, before?.refreshToken);
    met("call_ends");
    proxy.show(valid);
    assert.equal(await whenBack({ client }), annaId);
    met("goes_on_when_valid");
    // Whom nobody vouches for is not talked to either.
    const stranger = new Client({ transport: way.transport(`https://${proxy.address}`, []), tokenStore: anna.store });
    await lostInTime((timeoutMs) => stranger.of(UsersService).getMe({}, { timeoutMs }));
  }, expired);
}

/** The clock of the device, or of the service, is five minutes slow, and then as much fast. */
export async function wrongClock(circle: Circle, met: Met): Promise<void> {
  const { way, server, anna, annaId, businessId, phone } = circle;
  await underWrongClocks(async () => {
    const started = device(way, way.address(server), anna.store);
    for (let call = 0; call < 3; call++) {
      assert.equal((await started.client.of(UsersService).getMe({})).user?.id, annaId);
    }
    assert.deepEqual(started.calls, ["RefreshTokens", "GetMe", "GetMe", "GetMe"]);
  });
  met("person_stays_signed_in");
  const credentials = serviceCredentials(await readServiceKey(circle.serviceKeyFile));
  const purchases = [purchaseOf(phone, "wrong-clock")];
  await underWrongClocks(async () => {
    const service = new Client({ transport: way.transport(way.address(server), []), credentials });
    const answer = await service.of(PurchasesService).batchRecordPurchases({ businessId, purchases });
    assert.equal(answer.recordedCount + answer.duplicateCount, 1n);
  });
  met("service_signs_in");
}

async function underWrongClocks(run: () => Promise<void>): Promise<void> {
  for (const minutes of [-5, 5]) {
    mock.timers.enable({ apis: ["Date"], now: Date.now() + minutes * 60_000 });
    try {
      await run();
    } finally {
      mock.timers.reset();
    }
  }
}

/** The network forgets the connections of the client, and tells neither side: new ones go through. */
export async function halfOpenConnection(circle: Circle, met: Met): Promise<void> {
  const { way, server, anna, annaId } = circle;
  await throughProxy(way.address(server), async (proxy) => {
    const far = device(way, proxy.url, anna.store);
    await far.client.of(UsersService).getMe({});
    const before = await anna.store.load();
    proxy.forgetConnections();
    const start = performance.now();
    const recorded = (timeoutMs: number) => record(circle, far.client, "into-the-hole", timeoutMs);
    await lostInTime(recorded);
    while (!(await answeredInTime(recorded))) {
      assert.ok(performance.now() - start < GIVEN_UP_MS, "the client keeps to a connection that is dead");
    }
    met("calls_end");
    assert.equal((await far.client.of(UsersService).getMe({})).user?.id, annaId);
    assert.deepEqual(await anna.store.load(), before);
    met("same_session");
    assert.equal((await record(circle, far.client, "into-the-hole")).duplicate, true);
    assert.equal(await countOf(anna, "into-the-hole"), 1);
    met("purchase_counts_once");
  });
}

/** The gateway stops, a purchase is recorded meanwhile in vain, and it starts again. */
export async function gatewayRestart(circle: Circle): Promise<void> {
  const { way, server, anna, annaId } = circle;
  const gateway = await server.anotherGateway();
  try {
    const far = device(way, gateway.url, anna.store);
    await far.client.of(UsersService).getMe({});
    const before = await anna.store.load();
    await gateway.stop();
    assert.ok(isLost(await refusal(record(circle, far.client, "no-gateway"))));
    await gateway.run();
    assert.equal(await whenBack(far), annaId);
    await record(circle, far.client, "no-gateway");
    assert.equal((await record(circle, far.client, "no-gateway")).duplicate, true);
    assert.equal(await countOf(anna, "no-gateway"), 1);
    assert.equal((await anna.store.load())?.refreshToken, before?.refreshToken);
  } finally {
    await gateway.stop();
  }
}

/** Makes a call with a deadline, and returns whether it was answered; it may be lost, but not outlive its deadline. */
async function answeredInTime(call: (timeoutMs: number) => Promise<unknown>): Promise<boolean> {
  const start = performance.now();
  try {
    await call(DEADLINE_MS);
    return true;
  } catch (error) {
    assert.ok(isLost(error), String(error));
    return false;
  } finally {
    assert.ok(performance.now() - start < DEADLINE_MS + GRACE_MS, "a call outlived its deadline");
  }
}

/** Makes a call with a deadline, which must be lost. */
async function lostInTime(call: (timeoutMs: number) => Promise<unknown>): Promise<void> {
  assert.equal(await answeredInTime(call), false);
}

function record({ businessId, phone }: Circle, client: Client, externalId: string, timeoutMs?: number) {
  const request = { businessId, purchase: purchaseOf(phone, externalId) };
  return client.of(PurchasesService).recordPurchase(request, timeoutMs === undefined ? {} : { timeoutMs });
}

async function certificates(): Promise<{ authority: string; expired: Identity; valid: Identity }> {
  const folder = await mkdtemp(join(tmpdir(), "svoykrug-certificates-"));
  try {
    await promisify(execFile)(PYTHON, [CERTIFICATES, folder]);
    const read = (name: string) => readFile(join(folder, `${name}.pem`), "utf8");
    const key = await read("key");
    const identity = async (name: string) => ({ key, cert: await read(name) });
    return { authority: await read("authority"), expired: await identity("expired"), valid: await identity("valid") };
  } finally {
    await rm(folder, { recursive: true });
  }
}
