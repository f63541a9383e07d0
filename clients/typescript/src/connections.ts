import { type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { type GrpcTransportOptions, Http2SessionManager } from "@connectrpc/connect-node";

type Connections = NonNullable<GrpcTransportOptions["sessionManager"]>;

/** How long a connection is waited for. */
export interface Patience {
  /** How long it may be silent while calls go over it; the server allows a ping every 10 s. */
  silenceMs: number;
  /** How long the answer to a ping may take. */
  answerMs: number;
  /** How long it may take to be made. */
  beginMs: number;
}

const PATIENCE: Patience = { silenceMs: 12_000, answerMs: 5_000, beginMs: 20_000 };

/**
 * The connection of a gRPC transport, which is given up when nothing comes over it any more.
 *
 * What a NAT or a tunnel has forgotten looks alive: nobody closes it, and what is sent over it is lost. So a connection
 * that is silent while calls go over it is pinged, and destroyed when it stays silent.
 *
 * connect-node has pings of its own. But its check of a connection that was idle never ends when the connection closes
 * meanwhile, or the last call over it ends: from then on every call waits in vain.
 */
export class WatchedConnections implements Connections {
  readonly #manager: Http2SessionManager;
  readonly #patience: Patience;
  readonly #watches = new WeakMap<object, Watch>();

  constructor(baseUrl: string, nodeOptions: GrpcTransportOptions["nodeOptions"] = {}, patience = PATIENCE) {
    this.#manager = new Http2SessionManager(baseUrl, {}, nodeOptions);
    this.#patience = patience;
  }

  get authority(): string {
    return this.#manager.authority;
  }

  async request(...request: Parameters<Connections["request"]>): Promise<ClientHttp2Stream> {
    const { beginMs } = this.#patience;
    const late = () => this.#manager.abort(new ConnectError(`no connection within ${beginMs} ms`, Code.Unavailable));
    const timer = setTimeout(late, beginMs).unref();
    try {
      const stream = await this.#manager.request(...request);
      this.#watchOf(stream)?.begin(stream);
      return stream;
    } finally {
      clearTimeout(timer);
    }
  }

  notifyResponseByteRead(stream: ClientHttp2Stream): void {
    this.#manager.notifyResponseByteRead(stream);
    this.#watchOf(stream)?.heard();
  }

  #watchOf({ session }: ClientHttp2Stream): Watch | undefined {
    if (session && !this.#watches.has(session)) {
      this.#watches.set(session, new Watch(session as ClientHttp2Session, this.#patience));
    }
    return session && this.#watches.get(session);
  }
}

/** Watches one connection as long as calls go over it. */
class Watch {
  readonly #session: ClientHttp2Session;
  readonly #patience: Patience;
  #heardAtMs = performance.now();
  #callCount = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(session: ClientHttp2Session, patience: Patience) {
    this.#session = session;
    this.#patience = patience;
    session.once("close", () => clearTimeout(this.#timer));
    // Its calls get the error. Of the connection itself nobody may ask any more: the manager has turned to the next one.
    session.on("error", () => {});
  }

  begin(call: ClientHttp2Stream): void {
    this.#callCount += 1;
    call.once("response", () => this.heard());
    call.once("close", () => {
      this.#callCount -= 1;
    });
    if (this.#timer === undefined) {
      this.#look();
    }
  }

  heard(): void {
    this.#heardAtMs = performance.now();
  }

  #look(): void {
    this.#timer = undefined;
    if (this.#callCount === 0 || this.#session.destroyed) {
      return;
    }
    const left = this.#heardAtMs + this.#patience.silenceMs - performance.now();
    if (left > 0) {
      this.#timer = setTimeout(() => this.#look(), left).unref();
    } else {
      this.#ping();
    }
  }

  #ping(): void {
    const before = this.#bytesRead;
    // A connection that closes meanwhile takes the ping along.
    this.#session.ping((error) => error ?? this.heard());
    // After a pause of this process the answer may have come and not be read yet: it is before the timer's next turn.
    this.#timer = setTimeout(() => setImmediate(() => this.#judge(before)), this.#patience.answerMs).unref();
  }

  #judge(before: number): void {
    if (this.#session.destroyed) {
      return;
    }
    if (this.#bytesRead === before) {
      this.#session.destroy(new ConnectError("the connection is dead", Code.Unavailable), constants.NGHTTP2_CANCEL);
    } else {
      this.heard();
      this.#look();
    }
  }

  get #bytesRead(): number {
    return this.#session.socket.bytesRead;
  }
}
