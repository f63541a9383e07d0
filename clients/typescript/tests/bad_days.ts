import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { mock } from "node:test";
import { promisify } from "node:util";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Client, items } from "@svoykrug/client";
import { readServiceKey, serviceCredentials } from "@svoykrug/client/node";
import { PurchasesService } from "@svoykrug/client/svoykrug/purchases/v1/purchases_service_pb";
import { UsersService } from "@svoykrug/client/svoykrug/users/v1/users_service_pb";
import { type Device, device, isLost, refusal, whenBack, type Way } from "./people.js";
import { type Identity, Proxy } from "./proxy.js";
import { PYTHON, type RunningServer } from "./server.js";

const purchaseTime = timestampFromDate(new Date(Date.now() - 86_400_000));
const CERTIFICATES = resolve(import.meta.dirname, "../../../../tests/clients/certificates.py");
const DEADLINE_MS = 1_000;
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
export async function aeroplaneMode(circle: Circle): Promise<void> {
  const { way, server, anna, annaId } = circle;
  const proxy = await Proxy.before(way.address(server));
  try {
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
    assert.equal((await anna.store.load())?.refreshToken, before?.refreshToken);
    proxy.isStalled = proxy.isAway = false;
    proxy.endConnections();
    assert.equal(await whenBack(far), annaId);
    assert.equal(await whenBack(cold), annaId);
    await record(circle, far.client, "in-the-air");
    assert.equal((await record(circle, far.client, "in-the-air")).duplicate, true);
    assert.equal(await countOf(anna, "in-the-air"), 1);
  } finally {
    proxy.close();
  }
}

/** The server's certificate has expired; then it gets another. */
export async function expiredCertificate({ way, server, anna, annaId }: Circle): Promise<void> {
  const { authority, expired, valid } = await certificates();
  const proxy = await Proxy.before(way.address(server), expired);
  try {
    const transport = way.transport(`https://${proxy.address}`, [], authority);
    const client = new Client({ transport, tokenStore: anna.store });
    const before = await anna.store.load();
    await lostInTime((timeoutMs) => client.of(UsersService).getMe({}, { timeoutMs }));
    assert.equal((await anna.store.load())?.refreshToken, before?.refreshToken);
    proxy.show(valid);
    assert.equal(await whenBack({ client }), annaId);
    // Whom nobody vouches for is not talked to either.
    const stranger = new Client({ transport: way.transport(`https://${proxy.address}`, []), tokenStore: anna.store });
    await lostInTime((timeoutMs) => stranger.of(UsersService).getMe({}, { timeoutMs }));
  } finally {
    proxy.close();
  }
}

/** The clock of the device, or of the service, is five minutes slow, and then as much fast. */
export async function wrongClock(circle: Circle): Promise<void> {
  const { way, server, anna, annaId, businessId, phone } = circle;
  const key = await readServiceKey(circle.serviceKeyFile);
  const purchases = [purchaseOf(phone, "wrong-clock")];
  for (const minutes of [-5, 5]) {
    mock.timers.enable({ apis: ["Date"], now: Date.now() + minutes * 60_000 });
    try {
      const started = device(way, way.address(server), anna.store);
      const users = started.client.of(UsersService);
      for (let call = 0; call < 3; call++) {
        assert.equal((await users.getMe({})).user?.id, annaId);
      }
      assert.deepEqual(started.calls, ["RefreshTokens", "GetMe", "GetMe", "GetMe"]);
      const transport = way.transport(way.address(server), []);
      const service = new Client({ transport, credentials: serviceCredentials(key) });
      const answer = await service.of(PurchasesService).batchRecordPurchases({ businessId, purchases });
      assert.equal(answer.recordedCount + answer.duplicateCount, 1n);
    } finally {
      mock.timers.reset();
    }
  }
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
    await lost(record(circle, far.client, "no-gateway"));
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

async function lost(call: Promise<unknown>): Promise<void> {
  const error = await refusal(call);
  assert.ok(isLost(error), String(error));
}

/** Makes a call with a deadline, which is lost and does not outlive it. */
async function lostInTime(call: (timeoutMs: number) => Promise<unknown>): Promise<void> {
  const start = performance.now();
  await lost(call(DEADLINE_MS));
  assert.ok(performance.now() - start < DEADLINE_MS + GRACE_MS, "a call outlived its deadline");
}

function purchaseOf(phone: string, externalId: string) {
  return { buyer: { case: "phone", value: phone } as const, externalId, amountMinor: 10_000n, purchaseTime };
}

function record({ businessId, phone }: Circle, client: Client, externalId: string, timeoutMs?: number) {
  const request = { businessId, purchase: purchaseOf(phone, externalId) };
  return client.of(PurchasesService).recordPurchase(request, timeoutMs === undefined ? {} : { timeoutMs });
}

async function countOf(person: Device, externalId: string): Promise<number> {
  let count = 0;
  for await (const purchase of items(person.client.of(PurchasesService).listMyPurchases, {}, (page) => page.purchases)) {
    count += purchase.externalId === externalId ? 1 : 0;
  }
  return count;
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
