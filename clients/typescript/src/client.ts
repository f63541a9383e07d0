import { create, type DescService, equals, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client as ServiceClient, createClient, type Transport } from "@connectrpc/connect";
import { Calls } from "./calls.js";
import { type Credentials, isSessionOver, SessionCredentials } from "./credentials.js";
import { SvoyKrugError } from "./errors.js";
import {
  AuthService,
  type Challenge,
  type CompleteSignInRequest,
  CompleteSignInRequestSchema,
  type CompleteSignInResponse,
} from "./gen/svoykrug/auth/v1/auth_service_pb.js";
import { ErrorReason } from "./gen/svoykrug/common/v1/error_reason_pb.js";
import { newRequestId } from "./request_id.js";
import { endingStreams } from "./streams.js";
import { MemoryTokenStore, type TokenStore } from "./tokens.js";
import { VERSION } from "./version.js";

/** How a client is made. */
export interface ClientOptions {
  /** `grpcTransport` of `@svoykrug/client/node`, or `grpcWebTransport` of `@svoykrug/client/web`. */
  transport: Transport;
  /** Where the session of a signed-in person is kept; in memory by default. */
  tokenStore?: TokenStore;
  /** The language of the texts for people; `ru` by default. */
  language?: "ru" | "en";
  /** Sent as `x-client-version`, such as `ios/2.4.0`; this package's own by default. */
  clientVersion?: string;
  /** Calls as somebody else than the signed-in person; see `serviceCredentials` of `@svoykrug/client/node`. */
  credentials?: (auth: ServiceClient<typeof AuthService>) => Credentials;
}

/** What a sign-in may bring besides the code. */
export type SignInDetails = Pick<
  MessageInitShape<typeof CompleteSignInRequestSchema>,
  "deviceName" | "consents" | "referralCode" | "birthDate" | "startNewAccount"
>;

/** A connection to the service. Calls go through `client.of(UsersService)`, for any service of the contract. */
export class Client {
  /** Sign-in and sessions, as the contract has them. */
  readonly auth: ServiceClient<typeof AuthService>;
  readonly #calls: Calls;
  readonly #session: SessionCredentials;
  #signIn: CompleteSignInRequest = create(CompleteSignInRequestSchema);

  constructor(options: ClientOptions) {
    this.#calls = new Calls(options.transport, {
      "accept-language": options.language ?? "ru",
      "x-client-version": options.clientVersion ?? `typescript/${VERSION}`,
    });
    this.auth = this.of(AuthService);
    this.#session = new SessionCredentials(
      options.tokenStore ?? new MemoryTokenStore(),
      async (refreshToken, requestId, signal) => {
        const { tokens } = await this.auth.refreshTokens({ refreshToken, requestId }, { signal });
        return required(tokens);
      },
    );
    this.#calls.credentials = options.credentials?.(this.auth) ?? this.#session;
  }

  /**
   * Returns the methods of a service, such as `client.of(UsersService).getMe({})`. A stream of answers begins with the
   * loop that reads it, and ends with it.
   */
  of<S extends DescService>(service: S): ServiceClient<S> {
    return endingStreams(service, createClient(service, this.#calls));
  }

  /**
   * Has a code sent to a phone.
   *
   * @param phone A phone number in any spelling.
   * @throws SvoyKrugError of INVALID_FIELDS, RESEND_TOO_SOON, SIGN_IN_LIMITED.
   */
  async startSignIn(phone: string): Promise<Challenge> {
    return required((await this.auth.startSignIn({ phone })).challenge);
  }

  /**
   * Signs in; from now on calls carry the person's token.
   *
   * Called again with the same arguments after a deadline or a lost connection, it is the same sign-in: the code is not
   * used up by an answer that never came.
   *
   * @param challenge The answer of `startSignIn`.
   * @param code The six digits of the SMS.
   * @param details The required consents are needed from a new user; the birth date or a new account after
   *   ACCOUNT_PROOF_REQUIRED.
   * @returns The session. With `eraseTime` set the account is deleted: RestoreMe brings it back.
   * @throws SvoyKrugError of CODE_WRONG (metadata `guesses_left`), CHALLENGE_OVER, GUESSES_EXHAUSTED, CONSENT_REQUIRED,
   *   ACCOUNT_PROOF_REQUIRED, BIRTH_DATE_WRONG.
   */
  async completeSignIn(challenge: Challenge, code: string, details: SignInDetails = {}): Promise<CompleteSignInResponse> {
    const { challengeId } = challenge;
    const { requestId } = this.#signIn;
    let request = create(CompleteSignInRequestSchema, { ...details, challengeId, code, requestId });
    if (!equals(CompleteSignInRequestSchema, request, this.#signIn)) {
      request = create(CompleteSignInRequestSchema, { ...details, challengeId, code, requestId: newRequestId() });
      this.#signIn = request;
    }
    const answer = await this.auth.completeSignIn(request);
    await this.#session.signedIn(answer.userId, required(answer.tokens));
    this.#signIn = create(CompleteSignInRequestSchema);
    return answer;
  }

  /**
   * Ends the session on the server, then forgets it; a session that is over already is only forgotten.
   *
   * @throws ConnectionLost when the server could not be told; she stays signed in here, so that it can be repeated. Offline,
   *   `forget` is what signs out.
   */
  async signOut(): Promise<void> {
    try {
      await this.auth.signOut({});
    } catch (error) {
      // Who has no token has no session any more.
      if (!isSessionOver(error) && !(error instanceof SvoyKrugError && error.reason === ErrorReason.TOKEN_MISSING)) {
        throw error;
      }
    }
    await this.#session.signedOut();
  }

  /** Forgets the session on this device without a call. On the server it stays until it expires or is revoked. */
  async forget(): Promise<void> {
    await this.#session.signedOut();
  }
}

/** Returns what the contract promises to be there. */
function required<T>(part: T | undefined): T {
  if (part === undefined) {
    throw new TypeError("the answer lacks what the contract promises");
  }
  return part;
}
