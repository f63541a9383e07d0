// React Native has no ReadableStream, which the client reads its answers from.
import "web-streams-polyfill/polyfill";
import AsyncStorage from "@react-native-async-storage/async-storage";
import { Client, StorageTokenStore } from "@svoykrug/client";
import { grpcWebTransport } from "@svoykrug/client/web";

/**
 * Returns the application's one client.
 *
 * @param baseUrl Where the gateway is.
 * @param fetch For streams without an end, one whose answers have a body to read from, such as that of `expo/fetch`.
 */
export function connect(baseUrl: string, fetch?: typeof globalThis.fetch): Client {
  return new Client({
    transport: grpcWebTransport(baseUrl, fetch && { fetch }),
    tokenStore: new StorageTokenStore(AsyncStorage),
    clientVersion: "ios/1.0.0",
  });
}
