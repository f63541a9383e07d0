import type { Transport } from "@connectrpc/connect";
import { createGrpcWebTransport, type GrpcWebTransportOptions } from "@connectrpc/connect-web";

/**
 * Returns a transport that speaks gRPC-Web with the gateway, by `fetch`: for browsers and React Native.
 *
 * @param baseUrl Where the gateway is, such as `https://api.example`.
 * @param options What else connect-web can be told, such as another `fetch`.
 */
export function grpcWebTransport(baseUrl: string, options?: Omit<GrpcWebTransportOptions, "baseUrl">): Transport {
  return createGrpcWebTransport({ ...options, baseUrl });
}
