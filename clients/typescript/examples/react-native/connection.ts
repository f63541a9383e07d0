import AsyncStorage from "@react-native-async-storage/async-storage";
import { Client, StorageTokenStore } from "@svoykrug/client";
import { grpcWebTransport } from "@svoykrug/client/web";

/**
 * Returns the application's one client.
 *
 * @param baseUrl Where the gateway is.
 * @param fetch One whose answers have a body to read from, such as that of `expo/fetch`; React Native's own has none.
 */
export function connect(baseUrl: string, fetch: typeof globalThis.fetch): Client {
  return new Client({
    transport: grpcWebTransport(baseUrl, { fetch }),
    tokenStore: new StorageTokenStore(AsyncStorage),
    clientVersion: "ios/1.0.0",
  });
}
