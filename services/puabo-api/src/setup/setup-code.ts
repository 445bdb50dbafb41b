/** The one-time code of the set-up link: 256 random bits, good for 30 minutes, stored as SHA-256. */
import { hash, randomBytes } from "node:crypto";

export const setupCodeLifetimeMs = 30 * 60_000;

export function generateSetupCode(): string {
  return randomBytes(32).toString("base64url");
}

export function hashSetupCode(code: string): Buffer {
  return hash("sha256", code, "buffer");
}
