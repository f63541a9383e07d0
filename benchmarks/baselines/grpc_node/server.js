// GetMe on grpc-js and pg: the same statement as a prepared one, the same pool size, and verified tokens remembered as the
// product does. Asked as: node server.js --port N --database URL --public-key FILE --protos DIR --third-party DIR
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { importSPKI, jwtVerify } from "jose";
import pg from "pg";

const text = { type: "string" };
const { values: asked } = parseArgs({
  options: { port: text, database: text, "public-key": text, protos: text, "third-party": text },
});

const contract = grpc.loadPackageDefinition(
  loadSync("svoykrug/users/v1/users_service.proto", {
    includeDirs: [asked.protos, asked["third-party"]],
    keepCase: true,
    longs: String,
    enums: String,
  }),
);
const key = await importSPKI(readFileSync(asked["public-key"], "utf8"), "ES256");
const pool = new pg.Pool({ connectionString: asked.database, max: 10 });
const getMe = readFileSync(new URL("../get_me.sql", import.meta.url), "utf8").replace(":user_id", "$1");
const known = new Map();

async function callerOf(metadata) {
  const token = String(metadata.get("authorization")[0] ?? "").replace(/^Bearer /, "");
  let claims = known.get(token);
  if (claims === undefined) {
    const options = { algorithms: ["ES256"], issuer: "svoykrug", audience: "svoykrug-api" };
    claims = (await jwtVerify(token, key, options)).payload;
    known.set(token, claims);
  }
  if (Date.now() / 1000 >= claims.exp) throw new Error("the token has expired");
  return claims.sub;
}

const timestamp = (date) => ({ seconds: Math.floor(date / 1000), nanos: (date % 1000) * 1e6 });

function userFrom(row) {
  return {
    id: row.id,
    phone: row.phone ?? "",
    display_name: row.display_name,
    email: row.email,
    locale: row.locale,
    state: `USER_STATE_${row.status.toUpperCase()}`,
    roles: row.roles.map((role) => `ROLE_${role.toUpperCase()}`),
    staff_roles: row.staff.map((pair) => {
      const [business_id, role] = pair.split(" ");
      return { business_id, role: `STAFF_ROLE_${role.toUpperCase()}` };
    }),
    tier: `TIER_${row.tier.toUpperCase()}`,
    referral_code: row.referral_code ?? "",
    etag: String(row.version),
    create_time: timestamp(row.create_time),
    update_time: timestamp(row.update_time),
  };
}

async function answer(call) {
  let user_id;
  try {
    user_id = await callerOf(call.metadata);
  } catch {
    throw Object.assign(new Error("no valid token"), { code: grpc.status.UNAUTHENTICATED });
  }
  const { rows } = await pool.query({ name: "get_me", text: getMe, values: [user_id] });
  if (rows.length === 0) throw Object.assign(new Error("no such user"), { code: grpc.status.PERMISSION_DENIED });
  return { user: userFrom(rows[0]) };
}

const server = new grpc.Server();
server.addService(contract.svoykrug.users.v1.UsersService.service, {
  GetMe: (call, respond) => answer(call).then((found) => respond(null, found), respond),
});
server.bindAsync(`127.0.0.1:${asked.port}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
