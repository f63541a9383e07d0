import assert from "node:assert/strict";
import { request } from "node:https";
import { Readable } from "node:stream";
import { Code, type Interceptor, type Transport } from "@connectrpc/connect";
import { Client, ConnectionLost, ErrorReason, MemoryTokenStore, SvoyKrugError, type TokenStore } from "@svoykrug/client";
import { grpcTransport } from "@svoykrug/client/node";
import { ConsentKind } from "@svoykrug/client/svoykrug/users/v1/user_pb";
import { UsersService } from "@svoykrug/client/svoykrug/users/v1/users_service_pb";
import { grpcWebTransport } from "@svoykrug/client/web";
import { type RunningServer, until } from "./server.js";

export const CONSENTS = [ConsentKind.TERMS, ConsentKind.PERSONAL_DATA].map((kind) => ({
  kind,
  version: "2026-11",
  granted: true,
}));

/** A way to the server: what differs between gRPC, gRPC-Web, and gRPC-Web by a `fetch` such as React Native's. */
export interface Way {
  name: string;
  hasUploads: boolean;
  hasWatches: boolean;
  address(server: RunningServer): string;
  /** `authority` is whom to trust over TLS, a certificate in PEM, when not the usual ones. */
  transport(baseUrl: string, interceptors: Interceptor[], authority?: string): Transport;
}

export const WAYS: Way[] = [
  {
    name: "grpc",
    hasUploads: true,
    hasWatches: true,
    address: (server) => server.grpc,
    transport: (baseUrl, interceptors, authority) =>
      grpcTransport(baseUrl, { interceptors, ...(authority && { nodeOptions: { ca: authority } }) }),
  },
  {
    name: "grpc-web",
    hasUploads: false,
    hasWatches: true,
    address: (server) => server.web,
    transport: (baseUrl, interceptors, authority) =>
      grpcWebTransport(baseUrl, { interceptors, ...(authority && { fetch: fetchTrusting(authority) }) }),
  },
  {
    name: "react native",
    hasUploads: false,
    hasWatches: false,
    address: (server) => server.web,
    transport: (baseUrl, interceptors, authority) => {
      const fetch = fetchingWhole(authority ? fetchTrusting(authority) : globalThis.fetch);
      return grpcWebTransport(baseUrl, { interceptors, fetch, wholeAnswers: true });
    },
  },
];

/** A client, its store, and the methods that it has called, in their order. */
export interface Device {
  client: Client;
  store: TokenStore;
  calls: string[];
}

export function device(way: Way, baseUrl: string, store: TokenStore = new MemoryTokenStore()): Device {
  const calls: string[] = [];
  const listen: Interceptor = (next) => (request) => {
    calls.push(request.method.name);
    return next(request);
  };
  return { client: new Client({ transport: way.transport(baseUrl, [listen]), tokenStore: store }), store, calls };
}

/** Signs a person in as an app does, with the code she was sent; it waits when a code was sent moments ago. */
export async function signIn(server: RunningServer, client: Client, phone: string): Promise<string> {
  for (;;) {
    try {
      const challenge = await client.startSignIn(phone);
      const details = { consents: CONSENTS, deviceName: "test" };
      return (await client.completeSignIn(challenge, await server.codeFor(phone), details)).userId;
    } catch (error) {
      if (!(error instanceof SvoyKrugError) || error.reason !== ErrorReason.RESEND_TOO_SOON) {
        throw error;
      }
      await new Promise((proceed) => setTimeout(proceed, error.retryAfterMs));
    }
  }
}

/** Returns the typed error of a call that is refused. */
export async function refusal(call: Promise<unknown>): Promise<SvoyKrugError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof SvoyKrugError) {
      return error;
    }
    throw error;
  }
  throw new Error("the call was not refused");
}

/** Whether a call ended without an answer: what became of it is unknown. */
export function isLost(error: unknown): boolean {
  return error instanceof ConnectionLost || (error instanceof SvoyKrugError && error.code === Code.DeadlineExceeded);
}

/** Calls until the server is back: she has to do nothing for it, and no failure on the way may be of another kind. */
export async function whenBack({ client }: Pick<Device, "client">): Promise<string | undefined> {
  let id: string | undefined;
  await until(async () => {
    try {
      id = (await client.of(UsersService).getMe({})).user?.id;
      return true;
    } catch (error) {
      assert.ok(isLost(error), String(error));
      return false;
    }
  }, 200_000);
  return id;
}

/** Returns a `fetch` such as React Native's: it answers once the answer is whole, and there is no body to read from. */
function fetchingWhole(fetch: typeof globalThis.fetch): typeof globalThis.fetch {
  return async (url, init) => {
    const answer = await fetch(url, init);
    const bytes = await answer.arrayBuffer();
    const { ok, status, headers } = answer;
    return { ok, status, headers, arrayBuffer: async () => bytes } as Response;
  };
}

/** Returns a `fetch` that trusts one authority: that of Node can be told of others by its environment alone. */
function fetchTrusting(authority: string): typeof globalThis.fetch {
  return (url, init = {}) =>
    new Promise((resolve, reject) => {
      const headers = Object.fromEntries(new Headers(init.headers));
      const options = { method: init.method, headers, ca: authority, signal: init.signal ?? undefined };
      const sent = request(url.toString(), options as Parameters<typeof request>[1] & object, (answer) => {
        const received = Object.entries(answer.headers).map(([name, value]): [string, string] => [name, String(value)]);
        const body = Readable.toWeb(answer) as ReadableStream<Uint8Array>;
        resolve(new Response(body, { status: answer.statusCode ?? 0, headers: received }));
      });
      sent.on("error", reject);
      sent.end(init.body);
    });
}
