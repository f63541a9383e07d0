import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";

const PROGRAM = process.env["SVOYKRUG_BIN"] ?? resolve(import.meta.dirname, "../../../../.venv/bin/svoykrug");
/** The Python that the server runs on. */
export const PYTHON = join(dirname(PROGRAM), "python");

/** The real server with its gateway, on fresh stores; its SMS come to the test, as a provider would get them. */
export class RunningServer {
  readonly grpc: string;
  readonly web: string;
  readonly #folder: string;
  readonly #sms: SmsProvider;
  readonly #environment: NodeJS.ProcessEnv;
  #process: ChildProcess | undefined;

  private constructor(folder: string, sms: SmsProvider, grpcPort: number, webPort: number) {
    this.grpc = `http://127.0.0.1:${grpcPort}`;
    this.web = `http://127.0.0.1:${webPort}`;
    this.#folder = folder;
    this.#sms = sms;
    this.#environment = {
      ...process.env,
      SVOYKRUG_DATA_DIR: join(folder, "data"),
      SVOYKRUG_LISTEN: JSON.stringify([`127.0.0.1:${grpcPort}`]),
      SVOYKRUG_GATEWAY_LISTEN: `127.0.0.1:${webPort}`,
      SVOYKRUG_HTTP_PORT: "0",
      SVOYKRUG_READY_FILE: join(folder, "ready.json"),
      SVOYKRUG_DRAIN_SECONDS: "0",
      SVOYKRUG_GRACE_SECONDS: "1",
      SVOYKRUG_CODE_RESEND_SECONDS: "2",
      SVOYKRUG_CODE_SENDS_PER_PHONE_DAY: "50",
      SVOYKRUG_SCHEDULE_ENABLED: "false",
      SVOYKRUG_LOG_LEVEL: "ERROR",
      SVOYKRUG_SMS_PROVIDERS: '["http"]',
      SVOYKRUG_SMS_HTTP: JSON.stringify({ url: sms.url, json_body: { phone: "{phone}", text: "{text}" } }),
    };
  }

  static async start(): Promise<RunningServer> {
    const folder = await mkdtemp(join(tmpdir(), "svoykrug-typescript-"));
    await chmod(folder, 0o755);
    const server = new RunningServer(folder, await SmsProvider.start(), await freePort(), await freePort());
    await server.run();
    return server;
  }

  /** Starts the process and waits until it takes calls. */
  async run(): Promise<void> {
    const ready = join(this.#folder, "ready.json");
    await rm(ready, { force: true });
    this.#process = await launched(["serve", "--gateway"], this.#environment, ready);
  }

  /** Stops the process as an operator does. */
  async stop(): Promise<void> {
    await ended(this.#process);
  }

  /** Stops everything and removes what it wrote. */
  async close(): Promise<void> {
    await this.stop();
    this.#sms.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Starts a gateway of its own before the server, which can restart alone. */
  async anotherGateway(): Promise<RunningGateway> {
    const gateway = new RunningGateway(this.#folder, this.#environment, await freePort());
    await gateway.run();
    return gateway;
  }

  /** Makes whoever has a phone a superadmin, as an operator does. */
  async grantSuperadmin(phone: string): Promise<void> {
    await this.#command("admin", "grant", phone, "superadmin");
  }

  /** Makes a service account and returns the path of its key file. */
  async createServiceAccount(name: string, ...scopes: string[]): Promise<string> {
    const file = join(this.#folder, `${name}.json`);
    const options = scopes.flatMap((scope) => ["--scope", scope]);
    await this.#command("keys", "create-service-account", name, ...options, "--key-file", file);
    return file;
  }

  /** Returns the code last sent to a phone, and forgets it. */
  async codeFor(phone: string): Promise<string> {
    return this.#sms.codeFor(phone);
  }

  async #command(...command: string[]): Promise<void> {
    await promisify(execFile)(PROGRAM, command, { env: this.#environment });
  }
}

/** A gateway that is a process of its own. */
export class RunningGateway {
  readonly url: string;
  readonly #ready: string;
  readonly #environment: NodeJS.ProcessEnv;
  #process: ChildProcess | undefined;

  constructor(folder: string, environment: NodeJS.ProcessEnv, port: number) {
    this.url = `http://127.0.0.1:${port}`;
    this.#ready = join(folder, "gateway.json");
    this.#environment = {
      ...environment,
      SVOYKRUG_GATEWAY_LISTEN: `127.0.0.1:${port}`,
      SVOYKRUG_READY_FILE: this.#ready,
    };
  }

  /** Starts the process and waits until it takes calls. */
  async run(): Promise<void> {
    await rm(this.#ready, { force: true });
    this.#process = await launched(["gateway"], this.#environment, this.#ready);
  }

  /** Stops the process as an operator does. */
  async stop(): Promise<void> {
    await ended(this.#process);
  }
}

/** Starts the program and waits until it has told where it takes calls. */
async function launched(command: string[], env: NodeJS.ProcessEnv, ready: string): Promise<ChildProcess> {
  const started = spawn(PROGRAM, command, { env, stdio: ["ignore", "ignore", "inherit"] });
  await until(async () => {
    if (started.exitCode !== null) {
      throw new Error(`svoykrug ${command.join(" ")} ended with ${started.exitCode}`);
    }
    return readFile(ready, "utf8").then((text) => JSON.parse(text).gateway !== "", () => false);
  }, 240_000);
  return started;
}

async function ended(running: ChildProcess | undefined): Promise<void> {
  if (running && running.exitCode === null) {
    const end = once(running, "exit");
    running.kill("SIGTERM");
    await end;
  }
}

/** What the server takes for a provider of SMS. */
class SmsProvider {
  readonly #server: Server;
  readonly #codes = new Map<string, string>();

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) {
        parts.push(part);
      }
      const { phone, text } = JSON.parse(Buffer.concat(parts).toString());
      this.#codes.set(phone, /#(\d{6})$/.exec(text)?.[1] ?? "");
      response.writeHead(200).end("{}");
    });
  }

  static async start(): Promise<SmsProvider> {
    const provider = new SmsProvider();
    provider.#server.listen(0, "127.0.0.1");
    await once(provider.#server, "listening");
    return provider;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/messages`;
  }

  async codeFor(phone: string): Promise<string> {
    await until(async () => this.#codes.has(phone));
    const code = this.#codes.get(phone) ?? "";
    this.#codes.delete(phone);
    return code;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** Waits until a condition holds, for 60 s by default. */
export async function until(condition: () => Promise<boolean>, withinMs = 60_000): Promise<void> {
  for (const end = performance.now() + withinMs; !(await condition()); ) {
    if (performance.now() > end) {
      throw new Error(`it did not come true within ${withinMs} ms: ${condition}`);
    }
    await new Promise((proceed) => setTimeout(proceed, 50));
  }
}

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
