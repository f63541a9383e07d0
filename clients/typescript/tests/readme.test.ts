import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Category } from "@svoykrug/client/svoykrug/businesses/v1/business_pb";
import { BusinessesService } from "@svoykrug/client/svoykrug/businesses/v1/businesses_service_pb";
import { transform } from "esbuild";
import { VERSION } from "../src/version.js";
import { device, signIn, WAYS } from "./people.js";
import { RunningServer } from "./server.js";

const PACKAGE = join(import.meta.dirname, "../..");
const ADMIN_PHONE = "+79990000001";
const SCOPES = ["purchases.write", "analytics.write", "operations.read"];
const PHONE = "+79991234567";
const FLAGS = ["--noEmit", "--ignoreConfig", "--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck"];
/** What the blocks take from around them. */
const SURROUNDINGS = `{
  ask: (question: string) => Promise<string>;
  createInterface: (streams: object) => { question: (question: string) => Promise<string>; close: () => void };
  localStorage: import("@svoykrug/client").KeyValueStorage;
  phone: string;
  businessId: string;
  purchaseTime: import("@bufbuild/protobuf/wkt").Timestamp;
}`;
const TERMINAL = '"node:readline/promises";';
let server: RunningServer;

before(async () => {
  server = await RunningServer.start();
});

after(() => server?.close());

test("the blocks of the README fit the types and run", { timeout: 240_000 }, async () => {
  const folder = join(PACKAGE, "dist", "readme");
  const source = moduleOf(await readFile(join(PACKAGE, "README.md"), "utf8"));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "readme.ts"), source);
  const compiler = join(PACKAGE, "node_modules", ".bin", "tsc");
  await promisify(execFile)(compiler, [...FLAGS, "--types", "node", join(folder, "readme.ts")], { cwd: PACKAGE });
  const keyFile = await server.createServiceAccount("crm", ...SCOPES);
  const { code } = await transform(addressed(source, keyFile), { loader: "ts", format: "esm" });
  await writeFile(join(folder, "readme.mjs"), code);
  const readme = await import(pathToFileURL(join(folder, "readme.mjs")).href);
  await readme.run(await surroundings());
});

test("the version is the same everywhere", async () => {
  const description = JSON.parse(await readFile(join(PACKAGE, "package.json"), "utf8"));
  assert.equal(description.version, VERSION);
  assert.match(await readFile(join(PACKAGE, "CHANGELOG.md"), "utf8"), new RegExp(`^## ${VERSION}$`, "m"));
});

/** Makes one module of all blocks: each sees what those before it named. */
function moduleOf(readme: string): string {
  const lines = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].flatMap(([, block]) => (block ?? "").split("\n"));
  // She who types at the terminal is played by the test.
  const imports = lines.filter((line) => line.startsWith("import ") && !line.endsWith(TERMINAL));
  const body = lines.filter((line) => !line.startsWith("import "));
  const names = "{ ask, createInterface, localStorage, phone, businessId, purchaseTime }";
  return `${imports.join("\n")}\nexport async function run(${names}: ${SURROUNDINGS}) {\n${body.join("\n")}\n}\n`;
}

function addressed(source: string, keyFile: string): string {
  return source
    .replaceAll("http://127.0.0.1:8080", server.web)
    .replaceAll("http://127.0.0.1:50051", server.grpc)
    .replaceAll("service-key.json", keyFile);
}

async function surroundings() {
  const [way] = WAYS;
  assert.ok(way);
  const admin = device(way, server.grpc).client;
  await signIn(server, admin, ADMIN_PHONE);
  await server.grantSuperadmin(ADMIN_PHONE);
  const request = { name: "Salon", category: Category.BEAUTY, requestId: crypto.randomUUID() };
  const { business } = await admin.of(BusinessesService).createBusiness(request);
  const kept = new Map<string, string>();
  // She takes her time to type: so long that the next code may be sent.
  const ask = async () => {
    const code = await server.codeFor(PHONE);
    await new Promise((proceed) => setTimeout(proceed, 2_500));
    return code;
  };
  return {
    phone: PHONE,
    businessId: business?.id,
    purchaseTime: timestampFromDate(new Date(Date.now() - 3_600_000)),
    localStorage: {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => kept.set(key, value),
      removeItem: (key: string) => kept.delete(key),
    },
    ask,
    createInterface: () => ({ question: ask, close: () => {} }),
  };
}
