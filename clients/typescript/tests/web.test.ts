import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { Client } from "@svoykrug/client";
import { OperationsService } from "@svoykrug/client/svoykrug/operations/v1/operations_service_pb";
import { PurchasesService } from "@svoykrug/client/svoykrug/purchases/v1/purchases_service_pb";
import { UsersService } from "@svoykrug/client/svoykrug/users/v1/users_service_pb";
import { grpcWebTransport } from "@svoykrug/client/web";
import { refusal } from "./people.js";

/** React Native's own `fetch`: an answer has no body to read from. */
const wholeFetch = (bytes: number[]) =>
  (async () => ({
    ok: true,
    status: 200,
    headers: new Headers({ "content-type": "application/grpc-web+proto" }),
    arrayBuffer: async () => new Uint8Array(bytes).buffer,
  })) as unknown as typeof fetch;
const STATUS = [...Buffer.from("grpc-status: 0\r\n")];
const ANSWER = [0, 0, 0, 0, 0, 0x80, 0, 0, 0, STATUS.length, ...STATUS];

test("a fetch without bodies carries unary calls and streams that end", async () => {
  const client = new Client({ transport: grpcWebTransport("https://api.example", { fetch: wholeFetch(ANSWER) }) });
  assert.deepEqual((await client.auth.getJwks({})).keys, []);
  let parts = 0;
  for await (const _ of client.of(UsersService).exportMe({})) {
    parts += 1;
  }
  assert.equal(parts, 1);
});

test("an answer without a body and without bytes is a failure of the connection", async () => {
  const client = new Client({ transport: grpcWebTransport("https://api.example", { fetch: wholeFetch([]) }) });
  const error = await refusal(client.auth.getJwks({}, { timeoutMs: 100 }));
  assert.equal(error.name, "ConnectionLost");
});

test("the page of somebody else in place of an answer is a failure of the connection", async () => {
  const page = [...Buffer.from("<h1>Accept the terms of this Wi-Fi</h1>")];
  const client = new Client({ transport: grpcWebTransport("https://api.example", { fetch: wholeFetch(page) }) });
  const error = await refusal(client.auth.getJwks({}, { timeoutMs: 100 }));
  assert.equal(error.name, "ConnectionLost");
});

test("a request that cannot be written is no failure of the connection", async () => {
  const client = new Client({ transport: grpcWebTransport("https://api.example", { fetch: wholeFetch(ANSWER) }) });
  const error = await refusal(client.of(PurchasesService).listMyPurchases({ pageSize: Number.NaN }));
  assert.equal(error.name, "SvoyKrugError");
  assert.match(error.text, /page_size.*NaN/);
});

test("an endless stream is refused at once where answers come as a whole", async () => {
  const options = { fetch: wholeFetch(ANSWER), wholeAnswers: true };
  const client = new Client({ transport: grpcWebTransport("https://api.example", options) });
  const watched = async () => {
    for await (const _ of client.of(OperationsService).watchOperation({ operationId: "operation" }));
  };
  const error = await refusal(watched());
  assert.equal(error.code, Code.Unimplemented);
  assert.match(error.text, /WatchOperation has no end/);
});

test("React Native's own fetch is known by its answers", async (context) => {
  const { body } = Object.getOwnPropertyDescriptors(Response.prototype);
  assert.ok(body);
  context.after(() => Object.defineProperty(Response.prototype, "body", body));
  Reflect.deleteProperty(Response.prototype, "body");
  const client = new Client({ transport: grpcWebTransport("https://api.example") });
  const watched = client.of(OperationsService).watchOperation({ operationId: "operation" })[Symbol.asyncIterator]();
  assert.equal((await refusal(watched.next())).code, Code.Unimplemented);
});

test("a platform without ReadableStream is told what it lacks", (context) => {
  const { ReadableStream } = globalThis;
  context.after(() => Object.assign(globalThis, { ReadableStream }));
  Reflect.deleteProperty(globalThis, "ReadableStream");
  assert.throws(() => grpcWebTransport("https://api.example"), /import a polyfill/);
});
