import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { Client, ConnectionLost, ErrorReason, importPurchases, items } from "@svoykrug/client";
import { readServiceKey, serviceCredentials } from "@svoykrug/client/node";
import { AnalyticsService } from "@svoykrug/client/svoykrug/analytics/v1/analytics_service_pb";
import { Category } from "@svoykrug/client/svoykrug/businesses/v1/business_pb";
import { BusinessesService } from "@svoykrug/client/svoykrug/businesses/v1/businesses_service_pb";
import { PurchasesService } from "@svoykrug/client/svoykrug/purchases/v1/purchases_service_pb";
import { StaffRole } from "@svoykrug/client/svoykrug/users/v1/user_pb";
import { UsersService } from "@svoykrug/client/svoykrug/users/v1/users_service_pb";
import { type Device, device, refusal, signIn, WAYS, type Way } from "./people.js";
import { Proxy } from "./proxy.js";
import { RunningServer, until } from "./server.js";

const ADMIN_PHONE = "+79990000001";
const purchaseTime = timestampFromDate(new Date(Date.now() - 3_600_000));
let server: RunningServer;
let serviceKeyFile: string;

before(async () => {
  server = await RunningServer.start();
  const [grpc] = WAYS;
  assert.ok(grpc);
  await signIn(server, device(grpc, server.grpc).client, ADMIN_PHONE);
  await server.grantSuperadmin(ADMIN_PHONE);
  serviceKeyFile = await server.createServiceAccount("crm", "purchases.write");
});

after(() => server?.close());

for (const [number, way] of WAYS.entries()) {
  describe(way.name, () => scenario(way, `+7999000001${number}`));
}

/** Declares a step of the scenario that all clients share; when it went well a line says so. */
function step(way: Way, name: string, run: () => Promise<string | void>): void {
  test(name, { timeout: 240_000 }, async () => {
    const result = (await run()) ?? "ok";
    console.log(`scenario ${name} ${result} (${way.name})`);
  });
}

function scenario(way: Way, phone: string): void {
  let anna: Device;
  let admin: Client;
  let annaId: string;
  let businessId: string;
  const connected = (store?: Device["store"]) => device(way, way.address(server), store);

  before(async () => {
    admin = connected().client;
    await signIn(server, admin, ADMIN_PHONE);
    businessId = await newBusiness(admin, `Salon ${way.name}`);
    anna = connected();
  });

  step(way, "sign_in", async () => {
    annaId = await signIn(server, anna.client, phone);
    const { user } = await anna.client.of(UsersService).getMe({});
    assert.equal(user?.id, annaId);
    assert.equal((await anna.store.load())?.userId, annaId);
  });

  step(way, "refresh_under_way", async () => {
    const users = anna.client.of(UsersService);
    // A new role ends her access tokens.
    await admin.of(BusinessesService).addStaff({ businessId, userId: annaId, role: StaffRole.STAFF });
    anna.calls.length = 0;
    await until(async () => {
      await Promise.all([users.getMe({}), users.getMe({})]);
      return anna.calls.includes("RefreshTokens");
    });
    const again = connected(anna.store);
    await Promise.all([again.client.of(UsersService).getMe({}), again.client.of(UsersService).getMe({})]);
    assert.equal(anna.calls.filter((name) => name === "RefreshTokens").length, 1);
    assert.deepEqual(again.calls, ["RefreshTokens", "GetMe", "GetMe"]);
  });

  step(way, "profile_mask", async () => {
    const users = anna.client.of(UsersService);
    const user = { displayName: "Анна", email: "left@out.example" };
    const changed = await users.updateMe({ user, updateMask: { paths: ["display_name"] } });
    assert.equal(changed.user?.displayName, "Анна");
    assert.equal(changed.user?.email, "");
  });

  step(way, "stale_etag", async () => {
    const users = anna.client.of(UsersService);
    const { user } = await users.getMe({});
    const etag = user?.etag ?? "";
    const updateMask = { paths: ["display_name"] };
    await users.updateMe({ user: { displayName: "Аня", etag }, updateMask });
    const error = await refusal(users.updateMe({ user: { displayName: "Нюра", etag }, updateMask }));
    assert.equal(error.reason, ErrorReason.STALE_ETAG);
    assert.equal(error.code, Code.Aborted);
  });

  step(way, "list_pages", async () => {
    const ids = new Set<string>();
    for (const name of ["A", "B", "C"]) {
      ids.add(await newBusiness(admin, `${name} ${way.name}`));
    }
    const { listBusinesses } = admin.of(BusinessesService);
    for await (const business of items(listBusinesses, { pageSize: 2 }, (page) => page.businesses)) {
      ids.delete(business.id);
    }
    assert.equal(ids.size, 0);
  });

  step(way, "record_purchase", async () => {
    const request = { businessId, purchase: purchaseOf(phone, "receipt-1") };
    const purchases = anna.client.of(PurchasesService);
    assert.equal((await purchases.recordPurchase(request)).duplicate, false);
    const again = await purchases.recordPurchase(request);
    assert.equal(again.duplicate, true);
    assert.equal(again.purchase?.amountMinor, 10_000n);
  });

  step(way, "refund_purchase", async () => {
    const purchases = anna.client.of(PurchasesService);
    const purchase = { case: "purchaseExternalId", value: "receipt-1" } as const;
    const refund = { businessId, purchase, externalId: "refund-1", refundTime: timestampFromDate(new Date()) };
    assert.equal((await purchases.refundPurchase({ ...refund, amountMinor: 4_000n })).refund?.amountMinor, 4_000n);
    const error = await refusal(purchases.refundPurchase({ ...refund, externalId: "refund-2", amountMinor: 9_000n }));
    assert.equal(error.reason, ErrorReason.REFUND_EXCEEDS_PURCHASE);
    assert.equal(error.metadata["refundable_minor"], "6000");
  });

  step(way, "import_stream", async () => {
    const credentials = serviceCredentials(await readServiceKey(serviceKeyFile));
    const service = new Client({ transport: way.transport(way.address(server), []), credentials });
    const rows = Array.from({ length: 30 }, (_, row) => purchaseOf(row === 7 ? "1" : phone, `import-${row}`));
    if (!way.hasUploads) {
      const answer = await service.of(PurchasesService).batchRecordPurchases({ businessId, purchases: rows });
      assert.equal(answer.recordedCount, 29n);
      return "n/a client streaming over gRPC-Web";
    }
    const sent: number[] = [];
    const options = { batchRows: 10, onSent: (rowCount: number) => sent.push(rowCount) };
    const answer = await importPurchases(service, businessId, () => rows, options);
    assert.equal(answer.recordedCount, 29n);
    assert.deepEqual(answer.rejectedRows.map((row) => row.rowNumber), [7n]);
    assert.deepEqual(sent, [10, 20, 30, 30]);
    assert.equal((await importPurchases(service, businessId, () => rows)).duplicateCount, 29n);
    const unknown = await refusal(importPurchases(service, randomUUID(), () => rows, { batchRows: 1 }));
    assert.equal(unknown.reason, ErrorReason.NOT_FOUND);
    await assert.rejects(importPurchases(service, businessId, brokenRows), /the file ends in mid-row/);
  });

  step(way, "watch_and_cancel", async () => {
    const ending = new AbortController();
    let dashboards = 0;
    const watched = (async () => {
      const options = { signal: ending.signal };
      for await (const answer of admin.of(AnalyticsService).watchDashboard({ businessId }, options)) {
        assert.ok(answer.dashboard);
        dashboards += 1;
        ending.abort();
      }
    })();
    assert.equal((await refusal(watched)).code, Code.Canceled);
    assert.equal(dashboards, 1);
  });

  step(way, "typed_errors", async () => {
    const stranger = connected().client;
    const bad = await refusal(stranger.startSignIn("1"));
    assert.equal(bad.reason, ErrorReason.INVALID_FIELDS);
    assert.deepEqual(Object.keys(bad.fieldViolations), ["phone"]);
    const missing = await refusal(stranger.of(UsersService).getMe({}));
    assert.equal(missing.reason, ErrorReason.TOKEN_MISSING);
    assert.equal(missing.text, "Пожалуйста, войдите.");
    assert.notEqual(missing.requestId, "");
    const other = `${phone.slice(0, -2)}9${phone.slice(-1)}`;
    const challenge = await stranger.startSignIn(other);
    const soon = await refusal(stranger.startSignIn(other));
    assert.equal(soon.reason, ErrorReason.RESEND_TOO_SOON);
    assert.ok((soon.retryAfterMs ?? 0) > 0);
    const code = await server.codeFor(other);
    const wrong = await refusal(stranger.completeSignIn(challenge, code === "000000" ? "000001" : "000000"));
    assert.equal(wrong.reason, ErrorReason.CODE_WRONG);
    assert.equal(wrong.metadata["guesses_left"], "4");
    const denied = await refusal(anna.client.of(UsersService).getUser({ userId: randomUUID() }));
    assert.equal(denied.reason, ErrorReason.PERMISSION_DENIED);
  });

  step(way, "deadline", () =>
    throughProxy(way, async (proxy) => {
      proxy.isStalled = true;
      const far = device(way, proxy.url, anna.store).client;
      const start = performance.now();
      const error = await refusal(far.of(UsersService).getMe({}, { timeoutMs: 300 }));
      assert.equal(error.code, Code.DeadlineExceeded);
      assert.ok(performance.now() - start < 2_000);
      const cancelled = far.of(UsersService).getMe({}, { signal: AbortSignal.abort() });
      assert.equal((await refusal(cancelled)).code, Code.Canceled);
    }),
  );

  step(way, "server_restart_in_mid_call", async () => {
    let isWatching = false;
    const dashboards = admin.of(AnalyticsService).watchDashboard({ businessId });
    const watched = refusal(
      drained(dashboards, () => {
        isWatching = true;
      }),
    );
    await until(async () => isWatching);
    await server.stop();
    // A server that stops tells those who watch to come again, or does not get to it.
    const ended = await watched;
    assert.ok(ended instanceof ConnectionLost || ended.reason === ErrorReason.OVERLOADED, String(ended));
    const lost = await refusal(anna.client.of(UsersService).getMe({}));
    assert.ok(lost instanceof ConnectionLost, String(lost));
    const [back] = await Promise.all([whenBack(anna), server.run()]);
    assert.equal(back, annaId);
  });

  step(way, "lost_refresh_answer", () =>
    throughProxy(way, async (proxy) => {
      proxy.lostAnswers = 1;
      const far = device(way, proxy.url, anna.store);
      await far.client.of(UsersService).getMe({});
      assert.deepEqual(far.calls, ["RefreshTokens", "RefreshTokens", "GetMe"]);
      proxy.lostAnswers = Number.POSITIVE_INFINITY;
      const dying = device(way, proxy.url, anna.store).client;
      assert.ok((await refusal(dying.of(UsersService).getMe({}))) instanceof ConnectionLost);
      assert.notEqual((await anna.store.load())?.requestId, "");
      assert.equal((await connected(anna.store).client.of(UsersService).getMe({})).user?.id, annaId);
    }),
  );

  step(way, "two_sign_ins", async () => {
    const tablet = connected();
    assert.equal(await signIn(server, tablet.client, phone), annaId);
    const { sessions } = await anna.client.auth.listSessions({});
    assert.equal(sessions.length, 2);
    await tablet.client.signOut();
    assert.equal(await tablet.store.load(), undefined);
    assert.equal((await refusal(tablet.client.of(UsersService).getMe({}))).reason, ErrorReason.TOKEN_MISSING);
    assert.equal((await anna.client.of(UsersService).getMe({})).user?.id, annaId);
  });
}

async function newBusiness(admin: Client, name: string): Promise<string> {
  const request = { name, category: Category.BEAUTY, requestId: randomUUID() };
  return (await admin.of(BusinessesService).createBusiness(request)).business?.id ?? "";
}

function purchaseOf(phone: string, externalId: string) {
  return { buyer: { case: "phone", value: phone } as const, externalId, amountMinor: 10_000n, purchaseTime };
}

function* brokenRows() {
  yield purchaseOf("+79990000001", "import-0");
  throw new Error("the file ends in mid-row");
}

async function throughProxy(way: Way, run: (proxy: Proxy) => Promise<void>): Promise<void> {
  const proxy = await Proxy.before(way.address(server));
  try {
    await run(proxy);
  } finally {
    proxy.close();
  }
}

async function drained(stream: AsyncIterable<unknown>, onAnswer: () => void): Promise<void> {
  for await (const _ of stream) {
    onAnswer();
  }
}

/** Calls until the server is back: she has to do nothing for it, and no failure on the way may be of another kind. */
async function whenBack(person: Device): Promise<string | undefined> {
  let id: string | undefined;
  await until(async () => {
    try {
      id = (await person.client.of(UsersService).getMe({})).user?.id;
      return true;
    } catch (error) {
      assert.ok(error instanceof ConnectionLost, String(error));
      return false;
    }
  }, 200_000);
  return id;
}
