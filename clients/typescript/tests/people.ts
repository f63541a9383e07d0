import type { Interceptor, Transport } from "@connectrpc/connect";
import { Client, ErrorReason, MemoryTokenStore, SvoyKrugError, type TokenStore } from "@svoykrug/client";
import { grpcTransport } from "@svoykrug/client/node";
import { ConsentKind } from "@svoykrug/client/svoykrug/users/v1/user_pb";
import { grpcWebTransport } from "@svoykrug/client/web";
import type { RunningServer } from "./server.js";

export const CONSENTS = [ConsentKind.TERMS, ConsentKind.PERSONAL_DATA].map((kind) => ({
  kind,
  version: "2026-11",
  granted: true,
}));

/** A way to the server: what differs between gRPC and gRPC-Web. */
export interface Way {
  name: string;
  hasUploads: boolean;
  address(server: RunningServer): string;
  transport(baseUrl: string, interceptors: Interceptor[]): Transport;
}

export const WAYS: Way[] = [
  {
    name: "grpc",
    hasUploads: true,
    address: (server) => server.grpc,
    transport: (baseUrl, interceptors) => grpcTransport(baseUrl, { interceptors }),
  },
  {
    name: "grpc-web",
    hasUploads: false,
    address: (server) => server.web,
    transport: (baseUrl, interceptors) => grpcWebTransport(baseUrl, { interceptors }),
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
