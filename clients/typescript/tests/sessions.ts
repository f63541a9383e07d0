import { create } from "@bufbuild/protobuf";
import type { KeyValueStorage } from "@svoykrug/client";
import { type Tokens, TokensSchema } from "@svoykrug/client/svoykrug/auth/v1/session_pb";

/** Returns an access token of 15 minutes from a server whose clock differs from ours. */
export function tokenOf(name: string, minutesAhead = 0): string {
  const issued = Math.floor(Date.now() / 1000) + 60 * minutesAhead;
  const claims = { sub: name, iat: issued, exp: issued + 900 };
  return `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.e30`;
}

/** Returns the tokens of a sign-in or a refresh. */
export function tokensOf(name: string, minutesAhead = 0): Tokens {
  return create(TokensSchema, { accessToken: tokenOf(name, minutesAhead), refreshToken: `that of ${name}` });
}

/** Keeps texts as AsyncStorage does: behind promises that take a turn of the loop. */
export class PromisedStorage implements KeyValueStorage {
  readonly kept = new Map<string, string>();

  async getItem(key: string): Promise<string | null> {
    await new Promise(setImmediate);
    return this.kept.get(key) ?? null;
  }

  async setItem(key: string, value: string): Promise<void> {
    await new Promise(setImmediate);
    this.kept.set(key, value);
  }

  async removeItem(key: string): Promise<void> {
    await new Promise(setImmediate);
    this.kept.delete(key);
  }
}
