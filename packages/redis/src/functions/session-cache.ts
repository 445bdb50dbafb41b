/**
 * The session cache. An entry is only ever a copy of a row; what makes it safe is the epoch of its user: a random nonce that
 * every revocation replaces. A fill carries the epoch that was seen before PostgreSQL was read and is refused when the epoch
 * has moved, or vanished in a flush: neither can bring a revoked session back.
 */
import { randomBytes } from "node:crypto";
import { defineLua } from "../lua-function.ts";
import type { Cache } from "../open-redis.ts";

/** Seconds that an entry may live before the row is read again. */
const longestTtlSeconds = 60;
/** An epoch outlives every entry and every fill that could depend on it. */
const epochTtlSeconds = 3600;

const sessionRead = defineLua({
  name: "session_read",
  version: 1,
  keyCount: 1,
  script: `
    local entry = redis.call('GET', KEYS[1])
    if not entry then return false end
    local separator = string.find(entry, ' ', 1, true)
    local user = string.sub(entry, 1, separator - 1)
    local rest = string.sub(entry, separator + 1)
    local second = string.find(rest, ' ', 1, true)
    local epoch = string.sub(rest, 1, second - 1)
    if redis.call('GET', ARGV[1] .. user) ~= epoch then
      redis.call('DEL', KEYS[1])
      return false
    end
    return string.sub(rest, second + 1)
  `,
});

const sessionEpoch = defineLua({
  name: "session_epoch",
  version: 1,
  keyCount: 1,
  script: `
    local epoch = redis.call('GET', KEYS[1])
    if not epoch then epoch = ARGV[1] end
    redis.call('SET', KEYS[1], epoch, 'EX', ARGV[2])
    return epoch
  `,
});

const sessionFill = defineLua({
  name: "session_fill",
  version: 1,
  keyCount: 2,
  script: `
    if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
    redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[1] .. ' ' .. ARGV[3], 'EX', ARGV[4])
    return 1
  `,
});

const sessionRevoke = defineLua({
  name: "session_revoke",
  version: 1,
  keyCount: 1,
  script: `
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
    for i = 3, #ARGV do redis.call('DEL', ARGV[i]) end
    return 1
  `,
});

const sessionKey = (tokenHash: string): string => `nexus:session:${tokenHash}`;
const epochPrefix = "nexus:session-epoch:";

/** The cached session of a token's hash (hex), as it was filled; `undefined` when the row must be read. @throws CacheUnavailable */
export async function readSession(cache: Cache, tokenHash: string): Promise<string | undefined> {
  const value = await cache.call(sessionRead, [sessionKey(tokenHash)], [epochPrefix]);
  return typeof value === "string" ? value : undefined;
}

/** The user's epoch: fetch it before the row is read, hand it to the fill afterwards. @throws CacheUnavailable */
export async function sessionEpochOf(cache: Cache, userId: string): Promise<string> {
  return String(await cache.call(sessionEpoch, [epochPrefix + userId], [nonce(), epochTtlSeconds]));
}

interface Fill {
  tokenHash: string;
  userId: string;
  epoch: string;
  /** An opaque text; comes back from `readSession` as it is. */
  value: string;
  /** At most 60 count. */
  ttlSeconds: number;
}

/** False when the epoch moved since it was fetched; then nothing was written. @throws CacheUnavailable */
export async function fillSession(cache: Cache, fill: Fill): Promise<boolean> {
  const ttl = Math.min(longestTtlSeconds, Math.floor(fill.ttlSeconds));
  if (ttl < 1) return false;
  const keys = [sessionKey(fill.tokenHash), epochPrefix + fill.userId];
  return (await cache.call(sessionFill, keys, [fill.epoch, fill.userId, fill.value, ttl])) === 1;
}

/** Makes every cached session of the user unreadable, and drops the ones named. @throws CacheUnavailable */
export async function revokeSessions(cache: Cache, userId: string, tokenHashes: readonly string[] = []): Promise<void> {
  await cache.call(sessionRevoke, [epochPrefix + userId], [nonce(), epochTtlSeconds, ...tokenHashes.map(sessionKey)]);
}

function nonce(): string {
  return randomBytes(12).toString("base64url");
}
