/** 256 random bits in base64url. Random already, so SHA-256 is hash enough (a slow one would only serve a flood). */
import { hash, randomBytes } from "node:crypto";

const form = /^[A-Za-z0-9_-]{43}$/;

export function generateSessionToken(): string {
  return randomBytes(32).toString("base64url");
}

/** SHA-256 of a token, or `undefined` for text that no token can be. */
export function hashSessionToken(token: string): Buffer | undefined {
  return form.test(token) ? hash("sha256", token, "buffer") : undefined;
}
