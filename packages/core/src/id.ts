/**
 * Ids are UUID version 7 (RFC 9562 §5.7) in the database and prefix + hyphenated UUID in the API.
 * They are public and stable; a secret is never an id.
 */
import { randomFillSync } from "node:crypto";

const prefixes = {
  user: "usr",
  organization: "org",
  session: "ses",
  key: "key",
  request: "req",
  budget: "bud",
  credit: "crd",
  price: "prc",
  event: "evt",
  incident: "inc",
  freeze: "frz",
  secret: "sec",
  rewrap: "rwp",
  leak: "leak",
} as const;

export type IdKind = keyof typeof prefixes;
export type Id<K extends IdKind> = `${(typeof prefixes)[K]}_${string}`;
export type UserId = Id<"user">;
export type OrganizationId = Id<"organization">;
export type SessionId = Id<"session">;
export type KeyId = Id<"key">;
export type RequestId = Id<"request">;

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

// One refill serves 256 ids: a system call for each would cost more than the rest of the function.
const pool = new Uint8Array(4096);
let poolAt = pool.length;

/** A new UUIDv7. The first 48 bits are Unix milliseconds, the rest (74 bits) are random. */
export function newUuid(nowMs: number = Date.now()): string {
  if (poolAt + 10 > pool.length) {
    randomFillSync(pool);
    poolAt = 0;
  }
  const r = pool.subarray(poolAt, poolAt + 10);
  poolAt += 10;
  const time = timeOf(nowMs);
  const a = hex(r[0]!) + hex(r[1]!);
  const b = hex((r[2]! & 0x3f) | 0x80) + hex(r[3]!);
  const c = hex(r[4]!) + hex(r[5]!) + hex(r[6]!) + hex(r[7]!) + hex(r[8]!) + hex(r[9]!);
  return `${time}-7${a.slice(1)}-${b}-${c}`;
}

export function newId<K extends IdKind>(kind: K, nowMs?: number): Id<K> {
  return `${prefixes[kind]}_${newUuid(nowMs)}` as Id<K>;
}

/** `key_<uuid>` from the uuid of a row. */
export function toId<K extends IdKind>(kind: K, uuid: string): Id<K> {
  return `${prefixes[kind]}_${uuid}` as Id<K>;
}

/** The uuid inside an id, or `undefined` when the text is no id of that kind. */
export function uuidOf(kind: IdKind, id: string): string | undefined {
  const prefix = prefixes[kind];
  if (!id.startsWith(`${prefix}_`)) return undefined;
  const uuid = id.slice(prefix.length + 1);
  return uuidPattern.test(uuid) ? uuid : undefined;
}

let lastTime = { ms: -1, text: "" };

/** `019f2aa0-b1c2`, the first two groups: the same for all ids of one millisecond. */
function timeOf(ms: number): string {
  if (lastTime.ms !== ms) {
    const text = ms.toString(16).padStart(12, "0");
    lastTime = { ms, text: `${text.slice(0, 8)}-${text.slice(8)}` };
  }
  return lastTime.text;
}

const hexTable = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
function hex(byte: number): string {
  return hexTable[byte]!;
}
