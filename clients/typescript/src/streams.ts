import type { DescService } from "@bufbuild/protobuf";
import type { CallOptions, Client as ServiceClient } from "@connectrpc/connect";

type Stream = (request: unknown, options?: CallOptions) => AsyncIterable<unknown>;

/**
 * Makes the streams of answers begin and end with the loops that read them.
 *
 * What connect-es returns cannot be told that its reader has left: `break` would leave the server sending for ever.
 */
export function endingStreams<S extends DescService>(service: S, client: ServiceClient<S>): ServiceClient<S> {
  const methods: Record<string, unknown> = client;
  for (const { localName, methodKind } of service.methods) {
    if (methodKind === "server_streaming") {
      const start = methods[localName] as Stream;
      methods[localName] = (request: unknown, options?: CallOptions) => answers(start, request, options);
    }
  }
  return client;
}

async function* answers(start: Stream, request: unknown, options: CallOptions | undefined): AsyncGenerator<unknown> {
  const signal = options?.signal;
  const ending = new AbortController();
  const end = () => ending.abort();
  signal?.addEventListener("abort", end);
  if (signal?.aborted) {
    end();
  }
  try {
    yield* start(request, { ...options, signal: ending.signal });
  } finally {
    signal?.removeEventListener("abort", end);
    end();
  }
}
