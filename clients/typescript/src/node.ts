import { createPrivateKey, sign } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Client as ServiceClient, Transport } from "@connectrpc/connect";
import { createGrpcTransport, type GrpcTransportOptions, type Http2SessionOptions } from "@connectrpc/connect-node";
import { refuseClearText, type Safety } from "./clear_text.js";
import { WatchedConnections } from "./connections.js";
import { Credentials } from "./credentials.js";
import type { AuthService } from "./gen/svoykrug/auth/v1/auth_service_pb.js";
import { newRequestId } from "./request_id.js";
import { repeated } from "./repeating.js";

const ASSERTION_LIFE_SECONDS = 120;

/** What a transport over gRPC can be told. When a connection is pinged is not among it: the server has a say in that. */
export type GrpcOptions = Omit<GrpcTransportOptions, "baseUrl" | keyof Http2SessionOptions> & Safety;

/**
 * Returns a transport that speaks gRPC, for Node. A connection that is silent while calls go over it is given up after 17 s.
 *
 * @param baseUrl Where the service listens: `https://api.example:443`, or `http://127.0.0.1:50051` without TLS.
 * @param options What else connect-node can be told, such as `nodeOptions: {ca}`: whom to trust; `insecure`: allows an
 *   `http:` address of another machine.
 * @throws TypeError when tokens would go to another machine in clear text.
 */
export function grpcTransport(baseUrl: string, options: GrpcOptions = {}): Transport {
  refuseClearText(baseUrl, options);
  const sessionManager = new WatchedConnections(baseUrl, options.nodeOptions);
  return createGrpcTransport({ sessionManager, ...options, baseUrl });
}

/** What a service needs to sign in, as `svoykrug keys create-service-account` writes it. */
export interface ServiceKey {
  /** The account, a UUID. */
  service_account_id: string;
  /** Names the public key on the server. */
  key_id: string;
  /** Whom the assertions are for: the server's issuer. */
  audience: string;
  /** The private key (P-256 or RSA, PEM). */
  private_key_pem: string;
}

/**
 * Reads the key file of a service account.
 *
 * @throws Error when the file holds something else.
 */
export async function readServiceKey(path: string): Promise<ServiceKey> {
  const key: Partial<ServiceKey> = JSON.parse(await readFile(path, "utf8"));
  const parts = [key.service_account_id, key.key_id, key.audience, key.private_key_pem];
  if (!parts.every((part) => typeof part === "string")) {
    throw new Error(`${path} holds no service account key`);
  }
  return key as ServiceKey;
}

/** Returns what makes a client call as a service account: `new Client({transport, credentials: serviceCredentials(key)})`. */
export function serviceCredentials(key: ServiceKey): (auth: ServiceClient<typeof AuthService>) => Credentials {
  return (auth) => new ServiceCredentials(key, auth);
}

/** Signs an assertion with the account's key and exchanges it for an access token (RFC 7523). */
class ServiceCredentials extends Credentials {
  readonly #key: ServiceKey;
  readonly #auth: ServiceClient<typeof AuthService>;

  constructor(key: ServiceKey, auth: ServiceClient<typeof AuthService>) {
    super();
    this.#key = key;
    this.#auth = auth;
  }

  protected async renew(): Promise<string> {
    // An assertion is good once, so the call may not be sent again; a new one may be sent as often as needed.
    const answer = await repeated(() => this.#auth.issueServiceToken({ assertion: assertion(this.#key) }));
    return answer.accessToken;
  }
}

function assertion(key: ServiceKey): string {
  const privateKey = createPrivateKey(key.private_key_pem);
  const isRsa = privateKey.asymmetricKeyType === "rsa";
  const now = Math.floor(Date.now() / 1000);
  const header = { alg: isRsa ? "RS256" : "ES256", typ: "JWT", kid: key.key_id };
  const claims = {
    iss: key.service_account_id,
    sub: key.service_account_id,
    aud: key.audience,
    jti: newRequestId(),
    iat: now,
    exp: now + ASSERTION_LIFE_SECONDS,
  };
  const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}
