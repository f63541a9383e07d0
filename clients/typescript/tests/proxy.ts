import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";

/** The beginning of every access token: an answer that holds one is told from others by it. */
const TOKEN = Buffer.from("eyJ");

/** What a server shows who it is with. */
export interface Identity {
  key: string;
  cert: string;
}

/** A TCP proxy that can swallow answers: what a bad network does. */
export class Proxy {
  /** How many answers that hold an access token are still to be lost, each with its connection. */
  lostAnswers = 0;
  /** While true no byte of an answer comes through. */
  isStalled = false;
  /** While true no byte comes through, and there is no way for new connections. */
  isAway = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** The connections over which no byte comes any more, while nobody is told. */
  readonly #forgotten = new WeakSet<Socket>();

  private constructor(target: URL, identity: Identity | undefined) {
    const join = (near: Socket) => this.#join(near, target);
    this.#server = identity
      ? createTlsServer({ ...identity, ALPNProtocols: ["h2", "http/1.1"] }, join)
      : createServer(join);
  }

  /** Returns a proxy before a server; one that shows an identity speaks TLS. */
  static async before(target: string, identity?: Identity): Promise<Proxy> {
    const proxy = new Proxy(new URL(target), identity);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `http://${this.address}`;
  }

  /** Shows another identity from the next connection on. */
  show(identity: Identity): void {
    (this.#server as TlsServer).setSecureContext(identity);
  }

  /** Forgets every connection, as a NAT does that ran out of room: what is sent over it is lost. New ones go through. */
  forgetConnections(): void {
    for (const socket of this.#sockets) {
      this.#forgotten.add(socket);
    }
  }

  /** Ends every connection, as a device does whose address is gone. */
  endConnections(): void {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
    this.#sockets.clear();
  }

  close(): void {
    this.#server.close();
    this.endConnections();
  }

  #join(near: Socket, target: URL): void {
    if (this.isAway) {
      near.destroy();
      return;
    }
    const far = connect(Number(target.port), target.hostname);
    const end = () => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.on("error", end);
      socket.on("close", end);
    }
    near.on("data", (bytes: Buffer) => {
      if (!this.isAway && !this.#forgotten.has(near)) {
        far.write(bytes);
      }
    });
    far.on("data", (bytes: Buffer) => {
      if (this.lostAnswers > 0 && bytes.includes(TOKEN)) {
        this.lostAnswers -= 1;
        end();
      } else if (!this.isStalled && !this.isAway && !this.#forgotten.has(far)) {
        near.write(bytes);
      }
    });
  }
}

/** Does something with a proxy before a server. */
export async function throughProxy(target: string, run: (proxy: Proxy) => Promise<void>, identity?: Identity): Promise<void> {
  const proxy = await Proxy.before(target, identity);
  try {
    await run(proxy);
  } finally {
    proxy.close();
  }
}
