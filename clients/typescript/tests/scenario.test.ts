import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { Client, ConnectionLost, ErrorReason, importPurchases, items, type SvoyKrugError } from "@svoykrug/client";
import { readServiceKey, serviceCredentials } from "@svoykrug/client/node";
import { AnalyticsService } from "@svoykrug/client/svoykrug/analytics/v1/analytics_service_pb";
import { Category } from "@svoykrug/client/svoykrug/businesses/v1/business_pb";
import { BusinessesService } from "@svoykrug/client/svoykrug/businesses/v1/businesses_service_pb";
import { PurchasesService } from "@svoykrug/client/svoykrug/purchases/v1/purchases_service_pb";
import { StaffRole } from "@svoykrug/client/svoykrug/users/v1/user_pb";
import { UsersService } from "@svoykrug/client/svoykrug/users/v1/users_service_pb";
import { aeroplaneMode, type Circle, expiredCertificate, GRACE_MS, gatewayRestart, wrongClock } from "./bad_days.js";
import { type Device, device, isLost, refusal, signIn, WAYS, type Way, whenBack } from "./people.js";
import { Proxy } from "./proxy.js";
import { RunningServer, until } from "./server.js";

const TABLE = join(import.meta.dirname, "../../../scenario.json");
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

function scenario(way: Way, phone: string): void {
  const steps: string[] = [];
  let anna: Device;
  let admin: Client;
  let service: Client;
  let annaId: string;
  let businessId: string;
  const connected = (store?: Device["store"]) => device(way, way.address(server), store);
  /** Declares a step of the scenario that all clients share; when it went well a line says so. */
  const step = (name: string, run: () => Promise<string | void>): void => {
    steps.push(name);
    test(name, { timeout: 240_000 }, async () => {
      const result = (await run()) ?? "ok";
      console.log(`scenario ${name} ${result} (typescript ${way.name})`);
    });
  };

  test("the steps are those of the table of all clients, in its order", async () => {
    const table: { steps: { id: string }[] } = JSON.parse(await readFile(TABLE, "utf8"));
    assert.deepEqual(steps, table.steps.map(({ id }) => id));
  });

  before(async () => {
    admin = connected().client;
    await signIn(server, admin, ADMIN_PHONE);
    businessId = await newBusiness(admin, `Salon ${way.name}`);
    const credentials = serviceCredentials(await readServiceKey(serviceKeyFile));
    service = new Client({ transport: way.transport(way.address(server), []), credentials });
    anna = connected();
  });

  step("sign_in", async () => {
    annaId = await signIn(server, anna.client, phone);
    const { user } = await anna.client.of(UsersService).getMe({});
    assert.equal(user?.id, annaId);
    assert.equal((await anna.store.load())?.userId, annaId);
  });

  step("refresh_under_way", async () => {
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

  step("profile_mask", async () => {
    const users = anna.client.of(UsersService);
    const before = (await users.getMe({})).user;
    const user = { displayName: "Анна", email: "left@out.example", locale: "en", birthDate: { year: 1990, month: 1, day: 1 } };
    const changed = (await users.updateMe({ user, updateMask: { paths: ["display_name"] } })).user;
    assert.equal(changed?.displayName, "Анна");
    const moved = { displayName: "", etag: "", updateTime: undefined };
    assert.deepEqual({ ...changed, ...moved }, { ...before, ...moved });
  });

  step("stale_etag", async () => {
    const users = anna.client.of(UsersService);
    const { user } = await users.getMe({});
    const etag = user?.etag ?? "";
    const updateMask = { paths: ["display_name"] };
    await users.updateMe({ user: { displayName: "Аня", etag }, updateMask });
    const error = await refusal(users.updateMe({ user: { displayName: "Нюра", etag }, updateMask }));
    assert.equal(error.reason, ErrorReason.STALE_ETAG);
    assert.equal(error.code, Code.Aborted);
    assert.equal((await users.getMe({})).user?.displayName, "Аня");
  });

  step("record_purchase", async () => {
    const request = { businessId, purchase: purchaseOf(phone, "receipt-1") };
    const purchases = anna.client.of(PurchasesService);
    const first = await purchases.recordPurchase(request);
    assert.equal(first.duplicate, false);
    const again = await purchases.recordPurchase(request);
    assert.equal(again.duplicate, true);
    assert.deepEqual(again.purchase, first.purchase);
    assert.equal(again.purchase?.amountMinor, 10_000n);
  });

  step("refund_purchase", async () => {
    const purchases = anna.client.of(PurchasesService);
    const purchase = { case: "purchaseExternalId", value: "receipt-1" } as const;
    const refund = { businessId, purchase, externalId: "refund-1", refundTime: timestampFromDate(new Date()) };
    assert.equal((await purchases.refundPurchase({ ...refund, amountMinor: 4_000n })).refund?.amountMinor, 4_000n);
    const error = await refusal(purchases.refundPurchase({ ...refund, externalId: "refund-2", amountMinor: 9_000n }));
    assert.equal(error.reason, ErrorReason.REFUND_EXCEEDS_PURCHASE);
    assert.equal(error.metadata["refundable_minor"], "6000");
  });

  step("import_stream", async () => {
    const rows = Array.from({ length: 30 }, (_, row) => purchaseOf(row === 7 ? "1" : phone, `import-${row}`));
    if (!way.hasUploads) {
      const answer = await service.of(PurchasesService).batchRecordPurchases({ businessId, purchases: rows });
      assert.equal(answer.recordedCount, 29n);
      assert.deepEqual(answer.rejectedRows.map((row) => row.rowNumber), [7n]);
      const again = await service.of(PurchasesService).batchRecordPurchases({ businessId, purchases: rows });
      assert.equal(again.duplicateCount, 29n);
      return "unary";
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

  step("list_pages", async () => {
    const { listMyPurchases } = anna.client.of(PurchasesService);
    const ids: string[] = [];
    for await (const purchase of items(listMyPurchases, { pageSize: 7 }, (page) => page.purchases)) {
      ids.push(purchase.externalId);
    }
    const good = Array.from({ length: 30 }, (_, row) => `import-${row}`).filter((id) => id !== "import-7");
    assert.deepEqual(ids.sort(), ["receipt-1", ...good].sort());
  });

  step("watch_and_cancel", async () => {
    if (!way.hasWatches) {
      const error = await refusal(drained(admin.of(AnalyticsService).watchDashboard({ businessId }), () => {}));
      assert.equal(error.code, Code.Unimplemented);
      assert.ok((await admin.of(AnalyticsService).getDashboard({ businessId })).dashboard);
      return "polling";
    }
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

  step("typed_errors", async () => {
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

  step("deadline", () =>
    throughProxy(way, async (proxy) => {
      const before = await anna.store.load();
      proxy.isStalled = true;
      const far = device(way, proxy.url, anna.store).client;
      const start = performance.now();
      const error = await refusal(far.of(UsersService).getMe({}, { timeoutMs: 300 }));
      assert.equal(error.code, Code.DeadlineExceeded);
      assert.ok(performance.now() - start < 300 + GRACE_MS, "the call outlived its deadline");
      assert.equal((await anna.store.load())?.refreshToken, before?.refreshToken);
      const cancelled = far.of(UsersService).getMe({}, { signal: AbortSignal.abort() });
      assert.equal((await refusal(cancelled)).code, Code.Canceled);
    }),
  );

  step("server_restart_in_mid_call", async () => {
    const watched = way.hasWatches ? await watch(admin, businessId) : undefined;
    const before = await anna.store.load();
    const restart = async (): Promise<void> => {
      await server.stop();
      const lost = await refusal(anna.client.of(UsersService).getMe({}));
      assert.ok(lost instanceof ConnectionLost, String(lost));
      const [back] = await Promise.all([whenBack(anna), server.run()]);
      assert.equal(back, annaId);
    };
    await (way.hasUploads ? importOver(restart, service, businessId, phone) : restart());
    // A server that stops tells those who watch to come again, or does not get to it.
    const ended = await watched?.ended;
    assert.ok(!ended || ended instanceof ConnectionLost || ended.reason === ErrorReason.OVERLOADED, String(ended));
    assert.equal((await anna.store.load())?.refreshToken, before?.refreshToken);
    return way.hasWatches ? "ok" : "polling";
  });

  step("lost_refresh_answer", () =>
    throughProxy(way, async (proxy) => {
      proxy.lostAnswers = 1;
      const far = device(way, proxy.url, anna.store);
      await far.client.of(UsersService).getMe({});
      assert.deepEqual(far.calls, ["RefreshTokens", "RefreshTokens", "GetMe"]);
      proxy.lostAnswers = Number.POSITIVE_INFINITY;
      const before = await anna.store.load();
      const dying = device(way, proxy.url, anna.store).client;
      assert.ok(isLost(await refusal(dying.of(UsersService).getMe({}))));
      const kept = await anna.store.load();
      assert.equal(kept?.refreshToken, before?.refreshToken);
      assert.notEqual(kept?.requestId, "");
      assert.equal((await connected(anna.store).client.of(UsersService).getMe({})).user?.id, annaId);
      const moved = await anna.store.load();
      assert.notEqual(moved?.refreshToken, kept?.refreshToken);
      assert.equal(moved?.requestId, "");
    }),
  );

  step("two_sign_ins", async () => {
    const tablet = connected();
    assert.equal(await signIn(server, tablet.client, phone), annaId);
    const { sessions } = await anna.client.auth.listSessions({});
    assert.equal(sessions.length, 2);
    await tablet.client.signOut();
    assert.equal(await tablet.store.load(), undefined);
    assert.equal((await refusal(tablet.client.of(UsersService).getMe({}))).reason, ErrorReason.TOKEN_MISSING);
    assert.equal((await anna.client.of(UsersService).getMe({})).user?.id, annaId);
  });

  const circle = (): Circle => ({ way, server, anna, annaId, businessId, phone, serviceKeyFile });

  step("aeroplane_mode", () => aeroplaneMode(circle()));

  step("expired_certificate", () => expiredCertificate(circle()));

  step("wrong_clock", () => wrongClock(circle()));

  if (way.name === "grpc-web") {
    test("a gateway that restarts signs nobody out and doubles nothing", { timeout: 240_000 }, () => gatewayRestart(circle()));
  }
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

/** Imports rows among which the server restarts: the import is whole, and nothing of it doubled. */
async function importOver(restart: () => Promise<void>, service: Client, businessId: string, phone: string) {
  let attempts = 0;
  async function* rows() {
    attempts += 1;
    for (let row = 0; row < 30; row++) {
      if (row === 20 && attempts === 1) {
        await restart();
      }
      yield purchaseOf(phone, `restart-${row}`);
    }
  }
  const answer = await importPurchases(service, businessId, rows, { batchRows: 10 });
  assert.equal(answer.recordedCount + answer.duplicateCount, 30n);
  assert.ok(attempts > 1, "the import was not sent again");
  assert.equal((await importPurchases(service, businessId, rows)).duplicateCount, 30n);
}

async function throughProxy(way: Way, run: (proxy: Proxy) => Promise<void>): Promise<void> {
  const proxy = await Proxy.before(way.address(server));
  try {
    await run(proxy);
  } finally {
    proxy.close();
  }
}

/** Watches a business until the watch fails; it returns when the first answer is there. */
async function watch(admin: Client, businessId: string): Promise<{ ended: Promise<SvoyKrugError> }> {
  let isWatching = false;
  const dashboards = admin.of(AnalyticsService).watchDashboard({ businessId });
  const ended = refusal(
    drained(dashboards, () => {
      isWatching = true;
    }),
  );
  await until(async () => isWatching);
  return { ended };
}

async function drained(stream: AsyncIterable<unknown>, onAnswer: () => void): Promise<void> {
  for await (const _ of stream) {
    onAnswer();
  }
}
