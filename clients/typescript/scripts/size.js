// Prints how large an application's bundle gets by this client, minified and gzipped, one line a case.
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const CLIENT = `
  import { Client, StorageTokenStore } from "@svoykrug/client";
  import { grpcWebTransport } from "@svoykrug/client/web";
  export const client = new Client({
    transport: grpcWebTransport("https://api.example"),
    tokenStore: new StorageTokenStore(localStorage),
  });
`;
const service = (path, name) => `
  import { ${name} } from "@svoykrug/client/svoykrug/${path}_pb";
  export const ${name[0].toLowerCase()}${name.slice(1)} = client.of(${name});
`;
const CASES = {
  "sign-in and tokens": CLIENT,
  "and UsersService": CLIENT + service("users/v1/users_service", "UsersService"),
  "and PurchasesService": CLIENT + service("purchases/v1/purchases_service", "PurchasesService"),
  "and AnalyticsService": CLIENT + service("analytics/v1/analytics_service", "AnalyticsService"),
};

for (const [name, contents] of Object.entries(CASES)) {
  const stdin = { contents, resolveDir: import.meta.dirname, sourcefile: "application.js" };
  const options = { bundle: true, minify: true, format: "esm", platform: "browser", target: "es2022", write: false };
  const { outputFiles } = await build({ stdin, ...options });
  const [bundle] = outputFiles;
  const [bytes, gzipped] = [bundle.contents.length, gzipSync(bundle.contents, { level: 9 }).length];
  console.log(`${name.padEnd(22)} ${bytes.toString().padStart(7)} bytes, ${gzipped.toString().padStart(6)} gzipped`);
}
