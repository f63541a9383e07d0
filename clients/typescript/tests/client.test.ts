import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo, Server as NetServer } from "node:net";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type ConnectRouter, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  Client,
  importPurchases,
  MemoryTokenStore,
  StorageTokenStore,
  waitFor,
} from "@svoykrug/client";
import { grpcTransport } from "@svoykrug/client/node";
import { ErrorInfoSchema } from "@svoykrug/client/google/rpc/error_details_pb";
import { AuthService, ChallengeSchema } from "@svoykrug/client/svoykrug/auth/v1/auth_service_pb";
import { OperationSchema, OperationState } from "@svoykrug/client/svoykrug/operations/v1/operation_pb";
import { OperationsService } from "@svoykrug/client/svoykrug/operations/v1/operations_service_pb";
import { PurchasesService } from "@svoykrug/client/svoykrug/purchases/v1/purchases_service_pb";
import { UsersService } from "@svoykrug/client/svoykrug/users/v1/users_service_pb";
import { grpcWebTransport } from "@svoykrug/client/web";
import { refusal } from "./people.js";
import { until } from "./server.js";
import { tokensOf } from "./sessions.js";

/** A server without a network, which ends every session it is asked to refresh and counts the watches under way. */
class Server {
  readonly tokens: (string | null)[] = [];
  watches = 0;
  refreshes = 0;
  watched: ServiceImpl<typeof OperationsService>["watchOperation"] = (_, context) => this.#endless(context);

  /** Returns a client that calls it, here or over a transport to where it is served. */
  client(tokenStore = new MemoryTokenStore(), transport = createRouterTransport(this.routes)): Client {
    return new Client({ transport, tokenStore });
  }

  readonly routes = ({ service }: ConnectRouter): void => {
    service(AuthService, {
      completeSignIn: () => ({ userId: "anna", tokens: tokensOf("anna") }),
      refreshTokens: () => this.#refused(),
      signOut: (_, context) => this.#unwelcome(context),
    });
    service(UsersService, { getMe: (_, context) => this.#unwelcome(context) });
    service(OperationsService, {
      watchOperation: (request, context) => this.watched(request, context),
      getOperation: ({ operationId }) => ({ operation: { id: operationId, state: OperationState.SUCCEEDED } }),
    });
    service(PurchasesService, {
      async importPurchases(requests) {
        for await (const _ of requests);
        return {};
      },
    });
  };

  async signedIn(store = new MemoryTokenStore()): Promise<Client> {
    const client = this.client(store);
    await client.completeSignIn(create(ChallengeSchema, { challengeId: "challenge" }), "123456");
    return client;
  }

  #refused(): never {
    this.refreshes += 1;
    throw refusedFor("SESSION_REVOKED");
  }

  #unwelcome({ requestHeader }: HandlerContext): never {
    this.tokens.push(requestHeader.get("authorization"));
    throw refusedFor(requestHeader.has("authorization") ? "ACCESS_TOKEN_REVOKED" : "TOKEN_MISSING");
  }

  async *#endless({ signal }: HandlerContext) {
    this.watches += 1;
    const ended = new Promise((resolve) => signal.addEventListener("abort", resolve));
    ended.then(() => (this.watches -= 1));
    yield { operation: { state: OperationState.RUNNING } };
    await ended;
  }
}

function refusedFor(reason: string): ConnectError {
  const details = [{ desc: ErrorInfoSchema, value: { reason, domain: "svoykrug" } }];
  return new ConnectError(reason, Code.Unauthenticated, undefined, details);
}

const OPERATION = create(OperationSchema, { id: "operation", state: OperationState.RUNNING });

test("a session that was revoked elsewhere is gone after one call, and no dead token is sent again", async () => {
  const [server, store] = [new Server(), new MemoryTokenStore()];
  const client = await server.signedIn(store);
  const { getMe } = client.of(UsersService);
  assert.equal((await refusal(getMe({}))).reasonName, "SESSION_REVOKED");
  assert.equal(await store.load(), undefined);
  assert.equal((await refusal(getMe({}))).reasonName, "TOKEN_MISSING");
  assert.equal((await refusal(getMe({}))).reasonName, "TOKEN_MISSING");
  assert.equal(server.refreshes, 1);
  assert.deepEqual(server.tokens.slice(1), [null, null]);
  await client.signOut();
});

test("a session that is over already is signed out without an error", async () => {
  const server = new Server();
  const client = await server.signedIn();
  await client.signOut();
  await client.signOut();
  await server.client().signOut();
  assert.deepEqual(server.tokens.slice(1), [null, null]);
});

test("a session is forgotten without a call", async () => {
  const [server, store] = [new Server(), new MemoryTokenStore()];
  const client = await server.signedIn(store);
  await client.forget();
  assert.equal(await store.load(), undefined);
  assert.equal((await refusal(client.of(UsersService).getMe({}))).reasonName, "TOKEN_MISSING");
  assert.deepEqual(server.tokens, [null]);
});

test("what is wrong with the storage is thrown as it is, and at once", async () => {
  let writes = 0;
  const full = new DOMException("The quota has been exceeded.", "QuotaExceededError");
  const session = JSON.stringify({ userId: "anna", refreshToken: "first", requestId: "" });
  const setItem = () => {
    writes += 1;
    throw full;
  };
  const wrong: [string, object | RegExp][] = [
    ["no session", /^Error: svoykrug.session holds no session/],
    [session, full],
  ];
  for (const [kept, failure] of wrong) {
    const tokenStore = new StorageTokenStore({ getItem: () => kept, setItem, removeItem: () => {} });
    const client = new Client({ transport: createRouterTransport(() => {}), tokenStore });
    await assert.rejects(client.of(UsersService).getMe({}), failure);
  }
  assert.equal(writes, 1);
});

test("a sign-in that could not be stored is the same one again, and its code is still good", async () => {
  const requestIds: string[] = [];
  const signIn: ServiceImpl<typeof AuthService>["completeSignIn"] = ({ requestId }) => {
    requestIds.push(requestId);
    return { userId: "anna", tokens: tokensOf("anna") };
  };
  const storage = {
    isFull: true,
    kept: null as string | null,
    getItem: () => storage.kept,
    setItem(_: string, text: string) {
      if (storage.isFull) {
        throw new RangeError("the storage is full");
      }
      storage.kept = text;
    },
    removeItem: () => (storage.kept = null),
  };
  const transport = createRouterTransport(({ service }) => service(AuthService, { completeSignIn: signIn }));
  const client = new Client({ transport, tokenStore: new StorageTokenStore(storage) });
  const challenge = create(ChallengeSchema, { challengeId: "challenge" });
  await assert.rejects(client.completeSignIn(challenge, "123456"), RangeError);
  storage.isFull = false;
  await client.completeSignIn(challenge, "123456");
  assert.equal(requestIds.length, 2);
  assert.equal(new Set(requestIds).size, 1);
});

test("a stream ends with the loop that reads it", async () => {
  const server = new Server();
  const operations = server.client().of(OperationsService);
  for (let loop = 0; loop < 3; loop++) {
    for await (const { operation } of operations.watchOperation({ operationId: "operation" })) {
      assert.equal(operation?.state, OperationState.RUNNING);
      assert.equal(server.watches, 1);
      break;
    }
    await until(async () => server.watches === 0);
  }
  const thrown = new Error("the screen is gone");
  const onProgress = () => {
    throw thrown;
  };
  await assert.rejects(waitFor(server.client(), OPERATION, onProgress), thrown);
  await until(async () => server.watches === 0);
});

test("a stream that its loop leaves ends on the server, over gRPC and over gRPC-Web", async () => {
  const server = new Server();
  const handler = connectNodeAdapter({ routes: server.routes });
  const sessions = new Set<ServerHttp2Session>();
  const grpc = createHttp2Server(handler).on("session", (session) => sessions.add(session));
  const web = createHttpServer(handler);
  try {
    const [grpcUrl, webUrl] = [await listening(grpc), await listening(web)];
    for (const transport of [grpcTransport(grpcUrl), grpcWebTransport(webUrl)]) {
      const operations = server.client(undefined, transport).of(OperationsService);
      for await (const _ of operations.watchOperation({ operationId: "operation" })) {
        assert.equal(server.watches, 1);
        break;
      }
      await until(async () => server.watches === 0);
    }
  } finally {
    for (const session of sessions) {
      session.destroy();
    }
    grpc.close();
    web.closeAllConnections();
    web.close();
  }
});

/** Starts a server on a free port and returns its address. */
async function listening(server: NetServer): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a stream that nobody reads is not begun", async () => {
  const server = new Server();
  server.client().of(OperationsService).watchOperation({ operationId: "operation" });
  await new Promise(setImmediate);
  assert.equal(server.watches, 0);
});

test("a caller who ends a stream before or while she reads it gets that it was cancelled", async () => {
  const server = new Server();
  const read = async (signal: AbortSignal, onAnswer: () => void) => {
    for await (const _ of server.client().of(OperationsService).watchOperation({}, { signal })) {
      onAnswer();
    }
  };
  const ending = new AbortController();
  assert.equal((await refusal(read(ending.signal, () => ending.abort()))).code, Code.Canceled);
  assert.equal((await refusal(read(ending.signal, () => assert.fail("it was ended before")))).code, Code.Canceled);
  await until(async () => server.watches === 0);
});

test("a wait for an operation ends when its caller ends it", async () => {
  const server = new Server();
  const ending = new AbortController();
  const waited = waitFor(server.client(), OPERATION, () => ending.abort(), { signal: ending.signal });
  assert.equal((await refusal(waited)).code, Code.Canceled);
  await until(async () => server.watches === 0);
});

test("a wait is ended also between two attempts", async () => {
  const server = new Server();
  const ending = new AbortController();
  let attempts = 0;
  server.watched = async function* () {
    attempts += 1;
    setImmediate(() => ending.abort());
    throw new ConnectError("away", Code.Unavailable);
  };
  const waited = waitFor(server.client(), OPERATION, undefined, { signal: ending.signal });
  assert.equal((await refusal(waited)).code, Code.Canceled);
  assert.equal(attempts, 1);
});

test("where a watch is impossible an operation is asked for", async () => {
  const server = new Server();
  server.watched = () => {
    throw new ConnectError("no endless streams here", Code.Unimplemented);
  };
  const states: OperationState[] = [];
  const done = await waitFor(server.client(), OPERATION, ({ state }) => states.push(state));
  assert.equal(done.state, OperationState.SUCCEEDED);
  assert.deepEqual(states, [OperationState.SUCCEEDED]);
});

test("an import ends when its caller ends it", async () => {
  const ending = new AbortController();
  async function* rows() {
    yield { externalId: "receipt-1" };
    ending.abort();
    await new Promise(() => {});
  }
  const imported = importPurchases(new Server().client(), "business", rows, { batchRows: 1, signal: ending.signal });
  assert.equal((await refusal(imported)).code, Code.Canceled);
});

const REFUSED = [
  "http://api.example",
  "HTTP://api.example:8080",
  " http://api.example",
  "http:api.example",
  "http://127.0.0.1.example",
  "http://127.0.0.1:80@api.example/",
  "http://localhost.example",
  "http://localhost@api.example",
  "http://[::2]:8080",
];
const ALLOWED = ["https://api.example", "http://localhost:8080", "http://127.0.0.1:8080/", "http://[::1]:8080", "/api"];

for (const [name, transport] of Object.entries({ grpcTransport, grpcWebTransport })) {
  test(`${name} sends tokens in clear text to this machine only`, () => {
    for (const address of REFUSED) {
      assert.throws(() => transport(address), /would get tokens in clear text/, address);
      transport(address.trim().replace("http:api", "http://api"), { insecure: true });
    }
    for (const address of ALLOWED) {
      // gRPC is not spoken with the page's own site.
      if (address !== "/api" || name === "grpcWebTransport") {
        transport(address);
      }
    }
  });
}
