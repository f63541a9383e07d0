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
import {
  aeroplaneMode,
  type Circle,
  expiredCertificate,
  GRACE_MS,
  gatewayRestart,
  halfOpenConnection,
  wrongClock,
} from "./bad_days.js";
import { type Device, device, refusal, signIn, WAYS, type Way, whenBack } from "./people.js";
import { throughProxy } from "./proxy.js";
import { brokenRows, importOver, purchaseOf } from "./purchases.js";
import { RunningServer, until } from "./server.js";
import { type Met, runStep, STEPS } from "./table.js";
import { drained, watch } from "./watches.js";

const ADMIN_PHONE = "+79990000001";
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
  /** Declares a step of the scenario that all clients share. */
  const step = (name: string, run: (met: Met) => Promise<string | void>): void => {
    steps.push(name);
    test(name, { timeout: 240_000 }, () => runStep(name, `typescript ${way.name}`, run));
  };

  test("the steps are those of the table of all clients, in its order", () => assert.deepEqual(steps, STEPS));

  before(async () => {
    admin = connected().client;
    await signIn(server, admin, ADMIN_PHONE);
    const business = { name: `Salon ${way.name}`, category: Category.BEAUTY, requestId: randomUUID() };
    businessId = (await admin.of(BusinessesService).createBusiness(business)).business?.id ?? "";
    const credentials = serviceCredentials(await readServiceKey(serviceKeyFile));
    service = new Client({ transport: way.transport(way.address(server), []), credentials });
    anna = connected();
  });

  step("sign_in", async (met) => {
    annaId = await signIn(server, anna.client, phone);
    const { user } = await anna.client.of(UsersService).getMe({});
    assert.equal(user?.id, annaId);
    met("is_herself");
    const kept = await anna.store.load();
    assert.equal(kept?.userId, annaId);
    assert.ok(kept.refreshToken);
    met("session_stored");
  });

  step("refresh_under_way", async (met) => {
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
    met("every_call_answered");
    assert.equal(anna.calls.filter((name) => name === "RefreshTokens").length, 1);
    assert.deepEqual(again.calls, ["RefreshTokens", "GetMe", "GetMe"]);
    met("one_refresh");
  });

  step("profile_mask", async (met) => {
    const users = anna.client.of(UsersService);
    const before = (await users.getMe({})).user;
    const user = { displayName: "Анна", email: "left@out.example", locale: "en", birthDate: { year: 1990, month: 1, day: 1 } };
    const changed = (await users.updateMe({ user, updateMask: { paths: ["display_name"] } })).user;
    assert.notEqual(before?.displayName, "Анна");
    assert.equal(changed?.displayName, "Анна");
    met("display_name_new");
    // All of them: the etag and the time of the update follow from the change, and nothing else moves.
    const moved = { displayName: "", etag: "", updateTime: undefined };
    assert.deepEqual({ ...changed, ...moved }, { ...before, ...moved });
    assert.deepEqual((await users.getMe({})).user, changed);
    met("other_fields_kept");
  });

  step("stale_etag", async (met) => {
    const users = anna.client.of(UsersService);
    const { user } = await users.getMe({});
    const etag = user?.etag ?? "";
    const updateMask = { paths: ["display_name"] };
    await users.updateMe({ user: { displayName: "Аня", etag }, updateMask });
    assert.equal((await users.getMe({})).user?.displayName, "Аня");
    met("first_counts");
    const error = await refusal(users.updateMe({ user: { displayName: "Нюра", etag }, updateMask }));
    assert.equal(error.reason, ErrorReason.STALE_ETAG);
    assert.equal(error.code, Code.Aborted);
    assert.equal((await users.getMe({})).user?.displayName, "Аня");
    met("second_refused");
  });

  step("record_purchase", async (met) => {
    const request = { businessId, purchase: purchaseOf(phone, "receipt-1") };
    const purchases = anna.client.of(PurchasesService);
    const first = await purchases.recordPurchase(request);
    assert.equal(first.duplicate, false);
    met("first_is_new");
    const again = await purchases.recordPurchase(request);
    assert.equal(again.duplicate, true);
    assert.deepEqual(again.purchase, first.purchase);
    assert.equal(again.purchase?.amountMinor, 10_000n);
    met("second_is_duplicate");
  });

  step("refund_purchase", async (met) => {
    const purchases = anna.client.of(PurchasesService);
    const purchase = { case: "purchaseExternalId", value: "receipt-1" } as const;
    const refund = { businessId, purchase, externalId: "refund-1", refundTime: timestampFromDate(new Date()) };
    assert.equal((await purchases.refundPurchase({ ...refund, amountMinor: 4_000n })).refund?.amountMinor, 4_000n);
    met("first_counts");
    const error = await refusal(purchases.refundPurchase({ ...refund, externalId: "refund-2", amountMinor: 9_000n }));
    assert.equal(error.reason, ErrorReason.REFUND_EXCEEDS_PURCHASE);
    assert.equal(error.metadata["refundable_minor"], "6000");
    met("second_refused");
  });

  step("import_stream", async (met) => {
    const rows = Array.from({ length: 30 }, (_, row) => purchaseOf(row === 7 ? "1" : phone, `import-${row}`));
    if (!way.hasUploads) {
      const answer = await service.of(PurchasesService).batchRecordPurchases({ businessId, purchases: rows });
      assert.equal(answer.recordedCount, 29n);
      assert.deepEqual(answer.rejectedRows.map((row) => row.rowNumber), [7n]);
      met("one_row_rejected");
      const again = await service.of(PurchasesService).batchRecordPurchases({ businessId, purchases: rows });
      assert.equal(again.duplicateCount, 29n);
      met("all_duplicates");
      return "unary";
    }
    const sent: number[] = [];
    const options = { batchRows: 10, onSent: (rowCount: number) => sent.push(rowCount) };
    const answer = await importPurchases(service, businessId, () => rows, options);
    assert.equal(answer.recordedCount, 29n);
    assert.deepEqual(answer.rejectedRows.map((row) => row.rowNumber), [7n]);
    met("one_row_rejected");
    assert.deepEqual(sent, [10, 20, 30, 30]);
    assert.equal((await importPurchases(service, businessId, () => rows)).duplicateCount, 29n);
    met("all_duplicates");
    const unknown = await refusal(importPurchases(service, randomUUID(), () => rows, { batchRows: 1 }));
    assert.equal(unknown.reason, ErrorReason.NOT_FOUND);
    met("no_business_refused");
    await assert.rejects(importPurchases(service, businessId, brokenRows), /the file ends in mid-row/);
    met("broken_rows_raise");
  });

  step("list_pages", async (met) => {
    const { listMyPurchases } = anna.client.of(PurchasesService);
    const ids: string[] = [];
    anna.calls.length = 0;
    for await (const purchase of items(listMyPurchases, { pageSize: 7 }, (page) => page.purchases)) {
      ids.push(purchase.externalId);
    }
    const good = Array.from({ length: 30 }, (_, row) => `import-${row}`).filter((id) => id !== "import-7");
    assert.deepEqual(ids.sort(), ["receipt-1", ...good].sort());
    assert.ok(anna.calls.filter((name) => name === "ListMyPurchases").length > 1);
    met("each_once");
  });

  step("watch_and_cancel", async (met) => {
    if (!way.hasWatches) {
      const error = await refusal(drained(admin.of(AnalyticsService).watchDashboard({ businessId }), () => {}));
      assert.equal(error.code, Code.Unimplemented);
      assert.ok((await admin.of(AnalyticsService).getDashboard({ businessId })).dashboard);
      met("holds_a_dashboard");
      return "polling";
    }
    const ending = new AbortController();
    let dashboards = 0;
    const watched = (async () => {
      const options = { signal: ending.signal };
      for await (const answer of admin.of(AnalyticsService).watchDashboard({ businessId }, options)) {
        assert.ok(answer.dashboard);
        met("holds_a_dashboard");
        dashboards += 1;
        ending.abort();
      }
    })();
    assert.equal((await refusal(watched)).code, Code.Canceled);
    assert.equal(dashboards, 1);
    met("ends_as_cancelled");
  });

  step("typed_errors", async (met) => {
    const stranger = connected().client;
    const bad = await refusal(stranger.startSignIn("1"));
    assert.equal(bad.reason, ErrorReason.INVALID_FIELDS);
    assert.deepEqual(Object.keys(bad.fieldViolations), ["phone"]);
    met("invalid_fields");
    const missing = await refusal(stranger.of(UsersService).getMe({}));
    assert.equal(missing.reason, ErrorReason.TOKEN_MISSING);
    assert.equal(missing.text, "Пожалуйста, войдите.");
    assert.notEqual(missing.requestId, "");
    met("token_missing");
    const other = `${phone.slice(0, -2)}9${phone.slice(-1)}`;
    const challenge = await stranger.startSignIn(other);
    const soon = await refusal(stranger.startSignIn(other));
    assert.equal(soon.reason, ErrorReason.RESEND_TOO_SOON);
    assert.ok((soon.retryAfterMs ?? 0) > 0);
    met("resend_too_soon");
    const code = await server.codeFor(other);
    const wrong = await refusal(stranger.completeSignIn(challenge, code === "000000" ? "000001" : "000000"));
    assert.equal(wrong.reason, ErrorReason.CODE_WRONG);
    assert.equal(wrong.metadata["guesses_left"], "4");
    met("code_wrong");
    const denied = await refusal(anna.client.of(UsersService).getUser({ userId: randomUUID() }));
    assert.equal(denied.reason, ErrorReason.PERMISSION_DENIED);
    met("permission_denied");
  });

  step("deadline", (met) =>
    throughProxy(way.address(server), async (proxy) => {
      const before = await anna.store.load();
      proxy.isStalled = true;
      const far = device(way, proxy.url, anna.store).client;
      const options = { timeoutMs: 300 };
      // A call that gets no answer, and one that waits for a token.
      for (const call of [() => far.auth.getJwks({}, options), () => far.of(UsersService).getMe({}, options)]) {
        const start = performance.now();
        assert.equal((await refusal(call())).code, Code.DeadlineExceeded);
        assert.ok(performance.now() - start < options.timeoutMs + GRACE_MS, "the call outlived its deadline");
      }
      met("ends_in_time");
      assert.equal((await anna.store.load())?.refreshToken, before?.refreshToken);
      met("session_stays");
      const cancelled = far.of(UsersService).getMe({}, { signal: AbortSignal.abort() });
      assert.equal((await refusal(cancelled)).code, Code.Canceled);
    }),
  );

  step("server_restart_in_mid_call", async (met) => {
    const watched = way.hasWatches ? await watch(admin, businessId) : undefined;
    const before = await anna.store.load();
    const restart = async (): Promise<void> => {
      await server.stop();
      const lost = await refusal(anna.client.of(UsersService).getMe({}));
      assert.ok(lost instanceof ConnectionLost, String(lost));
      const [back] = await Promise.all([whenBack(anna), server.run()]);
      assert.equal(back, annaId);
    };
    if (way.hasUploads) {
      await importOver(restart, service, businessId, phone);
      met("import_whole");
    } else {
      await restart();
    }
    if (watched) {
      // A server that stops tells those who watch to come again, or does not get to it.
      const ended = await watched.ended;
      assert.ok(ended instanceof ConnectionLost || ended.reason === ErrorReason.OVERLOADED, String(ended));
      met("watch_ends_typed");
    }
    assert.equal((await anna.store.load())?.refreshToken, before?.refreshToken);
    met("same_session");
    return way.hasUploads ? "ok" : way.hasWatches ? "watching" : "polling";
  });

  step("lost_refresh_answer", (met) =>
    throughProxy(way.address(server), async (proxy) => {
      proxy.lostAnswers = 1;
      const far = device(way, proxy.url, anna.store);
      await far.client.of(UsersService).getMe({});
      assert.deepEqual(far.calls, ["RefreshTokens", "RefreshTokens", "GetMe"]);
      proxy.lostAnswers = Number.POSITIVE_INFINITY;
      const before = await anna.store.load();
      const dying = device(way, proxy.url, anna.store);
      // A deadline longer than all attempts take, on any machine.
      const failure = await refusal(dying.client.of(UsersService).getMe({}, { timeoutMs: 120_000 }));
      assert.ok(failure instanceof ConnectionLost, String(failure));
      assert.deepEqual(dying.calls, Array(4).fill("RefreshTokens"));
      met("lost_connection");
      const kept = await anna.store.load();
      assert.equal(kept?.refreshToken, before?.refreshToken);
      assert.ok(kept?.requestId);
      met("session_and_request_id_kept");
      assert.equal((await connected(anna.store).client.of(UsersService).getMe({})).user?.id, annaId);
      const moved = await anna.store.load();
      assert.notEqual(moved?.refreshToken, kept?.refreshToken);
      assert.equal(moved?.requestId, "");
      met("session_moved_on");
    }),
  );

  step("two_sign_ins", async (met) => {
    const tablet = connected();
    assert.equal(await signIn(server, tablet.client, phone), annaId);
    const { sessions } = await anna.client.auth.listSessions({});
    assert.equal(sessions.length, 2);
    await tablet.client.signOut();
    assert.equal(await tablet.store.load(), undefined);
    assert.equal((await refusal(tablet.client.of(UsersService).getMe({}))).reason, ErrorReason.TOKEN_MISSING);
    met("second_signed_out");
    assert.equal((await anna.client.of(UsersService).getMe({})).user?.id, annaId);
    met("first_goes_on");
  });

  const circle = (): Circle => ({ way, server, anna, annaId, businessId, phone, serviceKeyFile });

  step("aeroplane_mode", (met) => aeroplaneMode(circle(), met));

  step("expired_certificate", (met) => expiredCertificate(circle(), met));

  step("wrong_clock", (met) => wrongClock(circle(), met));

  step("half_open_connection", (met) => halfOpenConnection(circle(), met));

  if (way.name === "grpc-web") {
    test("a gateway that restarts signs nobody out and doubles nothing", { timeout: 240_000 }, () => gatewayRestart(circle()));
  }
}
