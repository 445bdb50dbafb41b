/**
 * What a platform key looks like: `pv_{sk|rk|svc}_{live|test}_` + 10 characters public id + 32 characters secret (190 bits)
 * + 6 characters CRC-32 over everything before. Only prefix and public id may ever be shown again.
 */
import { crc32Base62, randomBase62 } from "./base62.ts";

export type ApiKeyKind = "sk" | "rk" | "svc";
export type KeyEnvironment = "live" | "test";

export interface ParsedApiKey {
  kind: ApiKeyKind;
  environment: KeyEnvironment;
  /** `pv_sk_live_ab12cd34ef`: safe to show and to log. */
  displayPrefix: string;
}

const pattern = /^pv_(sk|rk|svc)_(live|test)_[0-9A-Za-z]{48}$/;
const longest = "pv_svc_live_".length + 48;

/** Reads a key offline; `undefined` when its form or its checksum is wrong. Cost does not depend on how long the text is. */
export function parseApiKey(text: string): ParsedApiKey | undefined {
  if (text.length > longest) return undefined;
  const match = pattern.exec(text);
  if (!match) return undefined;
  if (crc32Base62(text.slice(0, -6)) !== text.slice(-6)) return undefined;
  return { kind: match[1] as ApiKeyKind, environment: match[2] as KeyEnvironment, displayPrefix: text.slice(0, -38) };
}

/** A fresh key. The caller shows it once and stores only its hash. */
export function generateApiKey(kind: ApiKeyKind, environment: KeyEnvironment): { key: string; displayPrefix: string } {
  const displayPrefix = `pv_${kind}_${environment}_${randomBase62(10)}`;
  const body = displayPrefix + randomBase62(32);
  return { key: body + crc32Base62(body), displayPrefix };
}
