/**
 * What the cache holds of a session. A MAC binds it to its token, so that whoever can write to Redis can forge no session; ASCII,
 * as the functions that run inside Redis may touch nothing else.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Session } from "./session.ts";

export interface CacheEntry {
  /** Wall time at which the row may have been read at the earliest, milliseconds: an entry does not trust Redis with its age. */
  readAt: number;
  session: Session;
}

export function sealEntry(key: Buffer, tokenHash: Buffer, entry: CacheEntry): string {
  const text = JSON.stringify(entry).replaceAll(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `${macOf(key, tokenHash, text).toString("base64url")}.${text}`;
}

/** The entry, or `undefined` for anything that `sealEntry` did not make for this token. */
export function openEntry(key: Buffer, tokenHash: Buffer, sealed: string): CacheEntry | undefined {
  const dot = sealed.indexOf(".");
  const mac = Buffer.from(sealed.slice(0, dot), "base64url");
  const text = sealed.slice(dot + 1);
  const expected = macOf(key, tokenHash, text);
  if (mac.length !== expected.length || !timingSafeEqual(mac, expected)) return undefined;
  return JSON.parse(text) as CacheEntry;
}

function macOf(key: Buffer, tokenHash: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(tokenHash).update(text).digest();
}
