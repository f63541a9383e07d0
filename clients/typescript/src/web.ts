import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport, type GrpcWebTransportOptions } from "@connectrpc/connect-web";
import { refuseClearText, type Safety } from "./clear_text.js";
import { deadlineMs } from "./methods.js";

/** What a transport over gRPC-Web can be told. */
export interface WebOptions extends Omit<GrpcWebTransportOptions, "baseUrl">, Safety {
  /**
   * Whether `fetch` hands over an answer only once it is whole, as React Native's own does; found out when no `fetch` is
   * given. Streams that end are then read as a whole, and those without an end are refused with the code Unimplemented.
   */
  wholeAnswers?: boolean;
}

/**
 * Returns a transport that speaks gRPC-Web with the gateway, by `fetch`: for browsers and React Native.
 *
 * @param baseUrl Where the gateway is, such as `https://api.example`.
 * @param options What else connect-web can be told, such as another `fetch`; `insecure`: allows an `http:` address of
 *   another machine.
 * @throws TypeError when tokens would go to another machine in clear text, or the platform lacks `ReadableStream`.
 */
export function grpcWebTransport(baseUrl: string, options: WebOptions = {}): Transport {
  refuseClearText(baseUrl, options);
  if (typeof ReadableStream === "undefined") {
    throw new TypeError("there is no ReadableStream here: import a polyfill of it first, such as web-streams-polyfill");
  }
  const { fetch, wholeAnswers = fetch === undefined && !("body" in Response.prototype) } = options;
  const transport = createGrpcWebTransport({ ...options, baseUrl, fetch: withBody(fetch) });
  return wholeAnswers ? withoutEndless(transport) : transport;
}

/** Returns a `fetch` whose answers have a body to read from, also where they come as a whole only. */
function withBody(fetch: typeof globalThis.fetch | undefined): typeof globalThis.fetch {
  return async (input, init) => {
    const answer = await (fetch ?? globalThis.fetch)(input, init);
    if (answer.body) {
      return answer;
    }
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(bytes);
        controller.close();
      },
    });
    const { ok, status, headers } = answer;
    return { ok, status, headers, body } as Response;
  };
}

/** Refuses at once what would be waited for in vain. */
function withoutEndless(transport: Transport): Transport {
  return {
    unary: transport.unary,
    async stream(method, ...call) {
      if (deadlineMs(method) === undefined) {
        const text = `this fetch hands over whole answers only, and ${method.name} has no end: ask again and again instead`;
        throw new ConnectError(text, Code.Unimplemented);
      }
      return transport.stream(method, ...call);
    },
  };
}
