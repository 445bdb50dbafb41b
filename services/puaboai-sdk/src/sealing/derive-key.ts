import { hkdfSync } from "node:crypto";

/** 256 bits for one purpose (RFC 5869): the same in every replica, and nothing about those for other purposes. */
export function deriveKey(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, "", purpose, 32));
}
