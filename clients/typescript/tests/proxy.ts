import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** The beginning of every access token: an answer that holds one is told from others by it. */
const TOKEN = Buffer.from("eyJ");

/** A TCP proxy that can swallow answers: what a bad network does. */
export class Proxy {
  /** How many answers that hold an access token are still to be lost, each with its connection. */
  lostAnswers = 0;
  /** While true no byte of an answer comes through. */
  isStalled = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: URL) {
    this.#server = createServer((near) => this.#join(near, connect(Number(target.port), target.hostname)));
  }

  static async before(target: string): Promise<Proxy> {
    const proxy = new Proxy(new URL(target));
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }

  #join(near: Socket, far: Socket): void {
    const end = () => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.on("error", end);
      socket.on("close", end);
    }
    near.on("data", (bytes: Buffer) => far.write(bytes));
    far.on("data", (bytes: Buffer) => {
      if (this.lostAnswers > 0 && bytes.includes(TOKEN)) {
        this.lostAnswers -= 1;
        end();
      } else if (!this.isStalled) {
        near.write(bytes);
      }
    });
  }
}
