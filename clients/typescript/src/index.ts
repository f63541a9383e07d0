/** The client of Svoy Krug; see README.md. */
export { Client, type ClientOptions, type SignInDetails } from "./client.js";
export { Credentials } from "./credentials.js";
export { ConnectionLost, type Refusal, SvoyKrugError } from "./errors.js";
export { ErrorReason } from "./gen/svoykrug/common/v1/error_reason_pb.js";
export { importPurchases, type NewPurchase } from "./imports.js";
export { waitFor } from "./operations.js";
export { items, pages } from "./paging.js";
export {
  type KeyValueStorage,
  MemoryTokenStore,
  type SharedTokenStore,
  StorageTokenStore,
  type StoredSession,
  type TokenStore,
} from "./tokens.js";
