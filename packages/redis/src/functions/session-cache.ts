/**
 * The session cache. An entry is only ever a copy of a row, at most a minute old. Two nonces keep it from outliving the row:
 * the epoch of its user, which a revocation replaces, so that every entry of that user is void at once; and the epoch of all
 * revocations, which a reader that found nothing takes along to PostgreSQL and back: its fill counts only if nobody was revoked
 * meanwhile (whose session it is, it did not know before it had read the row). A flush loses both, and a lost epoch equals none.
 */
import { randomBytes } from "node:crypto";
import { defineLua } from "../lua-function.ts";
import type { Cache } from "../open-redis.ts";

const longestLifeMs = 60_000;
/** An epoch outlives every entry and every fill that depends on it. */
const epochLifeMs = 3_600_000;

const revocationsKey = "nexus:session:revocations";
const sessionKey = (tokenHash: string): string => `nexus:session:entry:${tokenHash}`;
const userEpochPrefix = "nexus:session:epoch:";

/** KEYS entry, revocations. ARGV prefix of the users' epochs, a new nonce, life of an epoch in ms. → {1, value} or {0, epoch} */
const sessionRead = defineLua({
  name: "session_read",
  version: 1,
  keyCount: 2,
  script: `
local entry = redis.call('HMGET', KEYS[1], 'user', 'epoch', 'value')
if entry[3] then
  if redis.call('GET', ARGV[1] .. entry[1]) == entry[2] then return {1, entry[3]} end
  redis.call('DEL', KEYS[1])
end
local epoch = redis.call('GET', KEYS[2])
if not epoch then
  epoch = ARGV[2]
  redis.call('SET', KEYS[2], epoch, 'PX', ARGV[3])
end
return {0, epoch}
`,
});

/**
 * KEYS entry, revocations, the user's epoch. ARGV the epoch of revocations at the read, user, value, life of the entry in ms, a
 * new nonce, life of an epoch in ms. → 1 when it was written
 */
const sessionFill = defineLua({
  name: "session_fill",
  version: 1,
  keyCount: 3,
  script: `
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local epoch = redis.call('GET', KEYS[3]) or ARGV[5]
redis.call('SET', KEYS[3], epoch, 'PX', ARGV[6])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'user', ARGV[2], 'epoch', epoch, 'value', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
`,
});

/** KEYS the user's epoch, revocations, then entries to delete. ARGV a new nonce, life of an epoch in ms. */
const sessionRevoke = defineLua({
  name: "session_revoke",
  version: 1,
  keyCount: "any",
  script: `
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
for i = 3, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
`,
});

/** A cached session as it was filled; or what to hand to the fill after the row was read. */
export type SessionReading = { value: string; epoch?: undefined } | { value?: undefined; epoch: string };

/** @param tokenHash in hex @throws CacheUnavailable */
export async function readSession(cache: Cache, tokenHash: string): Promise<SessionReading> {
  const keys = [sessionKey(tokenHash), revocationsKey];
  const [found, text] = (await cache.call(sessionRead, keys, [userEpochPrefix, newNonce(), epochLifeMs])) as [number, string];
  return found === 1 ? { value: text } : { epoch: text };
}

export interface SessionFill {
  tokenHash: string;
  userId: string;
  /** From `readSession`, which was asked before the row was read. */
  epoch: string;
  /** An opaque text; comes back from `readSession` as it is. */
  value: string;
  /** Milliseconds; cut to a minute. */
  lifeMs?: number;
}

/** False when a session was revoked, or everything flushed, since the reading; then nothing was written. @throws CacheUnavailable */
export async function fillSession(cache: Cache, fill: SessionFill): Promise<boolean> {
  const lifeMs = Math.min(longestLifeMs, Math.floor(fill.lifeMs ?? longestLifeMs));
  if (lifeMs < 1) return false;
  const keys = [sessionKey(fill.tokenHash), revocationsKey, userEpochPrefix + fill.userId];
  return (await cache.call(sessionFill, keys, [fill.epoch, fill.userId, fill.value, lifeMs, newNonce(), epochLifeMs])) === 1;
}

/**
 * Voids every cached session of the user, after the sessions have ended in PostgreSQL; the entries of `tokenHashes` are also
 * deleted. While this fails, entries may be served for up to a minute: the caller must not trust the cache until it succeeded.
 * @throws CacheUnavailable
 */
export async function revokeSessions(cache: Cache, userId: string, tokenHashes: readonly string[] = []): Promise<void> {
  const keys = [userEpochPrefix + userId, revocationsKey, ...tokenHashes.map(sessionKey)];
  await cache.call(sessionRevoke, keys, [newNonce(), epochLifeMs]);
}

function newNonce(): string {
  return randomBytes(12).toString("base64url");
}
