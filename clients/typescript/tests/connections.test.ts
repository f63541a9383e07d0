import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Session } from "node:http2";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { afterEach, beforeEach, test } from "node:test";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Client } from "@svoykrug/client";
import { grpcTransport } from "@svoykrug/client/node";
import { AuthService } from "@svoykrug/client/svoykrug/auth/v1/auth_service_pb";
import { WatchedConnections } from "../src/connections.js";
import { isLost, refusal } from "./people.js";
import { Proxy } from "./proxy.js";
import { until } from "./server.js";

const PATIENCE = { silenceMs: 400, answerMs: 400, beginMs: 400 };
let server: Http2Server;
let sessions: Set<ServerHttp2Session>;
let proxy: Proxy;
let client: Client;
/** What the server waits for before it answers. */
let answering: Promise<void>;

beforeEach(async () => {
  answering = Promise.resolve();
  sessions = new Set();
  const routes = connectNodeAdapter({
    routes: ({ service }) =>
      service(AuthService, {
        async getJwks() {
          await answering;
          return {};
        },
      }),
  });
  server = createHttp2Server(routes).on("session", (session) => sessions.add(session));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  proxy = await Proxy.before(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  client = clientOf(proxy.url);
});

afterEach(() => {
  proxy.close();
  for (const session of sessions) {
    session.destroy();
  }
  server.close();
});

function clientOf(url: string, patience = PATIENCE): Client {
  const sessionManager = new WatchedConnections(url, {}, patience);
  return new Client({ transport: grpcTransport(url, { sessionManager }) });
}

/** Lets so much time pass that a connection over which a call goes is asked whether it lives. */
async function silence(): Promise<void> {
  const end = performance.now() + PATIENCE.silenceMs + 1;
  await until(async () => performance.now() > end);
}

/** Makes a call, and returns whether it was answered; no failure may be of another kind than a loss. */
async function isAnswered(timeoutMs: number): Promise<boolean> {
  try {
    await client.auth.getJwks({}, { timeoutMs });
    return true;
  } catch (error) {
    assert.ok(isLost(error), String(error));
    return false;
  }
}

test("a dead connection is given up, also when every call ends before the ping's time is over", { timeout: 240_000 }, async () => {
  await client.auth.getJwks({});
  proxy.forgetConnections();
  const early = isAnswered(PATIENCE.silenceMs + PATIENCE.answerMs / 2);
  await silence();
  assert.equal(await isAnswered(PATIENCE.answerMs / 4), false);
  assert.equal(await early, false);
  // One call right after the other: also at the moment when the connection is given up.
  while (!(await isAnswered(PATIENCE.answerMs / 4)));
});

test("a call that finds its connection dead goes over a new one, within its deadline", async () => {
  await client.auth.getJwks({});
  await silence();
  proxy.forgetConnections();
  await client.auth.getJwks({}, { timeoutMs: 60_000 });
  assert.equal(sessions.size, 2);
});

test("a connection that closes while it is pinged takes nothing along", async () => {
  await client.auth.getJwks({});
  await silence();
  proxy.forgetConnections();
  const meanwhile = isAnswered(100);
  await new Promise(setImmediate);
  proxy.endConnections();
  await meanwhile;
  await client.auth.getJwks({});
  await silence();
  await client.auth.getJwks({});
});

test("a server that takes its time keeps its connection", async () => {
  const patience = { ...PATIENCE, answerMs: 4_000, beginMs: 60_000 };
  let answer = () => {};
  answering = new Promise((resolve) => {
    answer = resolve;
  });
  const call = clientOf(proxy.url, patience).auth.getJwks({}, { timeoutMs: 60_000 });
  const end = performance.now() + 2 * patience.silenceMs + patience.answerMs;
  await until(async () => performance.now() > end);
  answer();
  await call;
  assert.equal(sessions.size, 1);
});

test("a connection that is not made in time is begun anew", async () => {
  let begun = 0;
  const mute = createTcpServer((socket) => {
    begun += 1;
    socket.on("error", () => socket.destroy());
    socket.on("data", () => begun > 1 && socket.destroy());
  });
  mute.listen(0, "127.0.0.1");
  await once(mute, "listening");
  const stranger = clientOf(`https://127.0.0.1:${(mute.address() as AddressInfo).port}`);
  assert.ok(isLost(await refusal(stranger.auth.getJwks({}, { timeoutMs: 60_000 }))));
  assert.ok(begun > 1, "it waited for the first connection until its deadline");
  mute.close();
});
