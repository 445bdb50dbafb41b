/** Where answers lie in Redis, and how much room they may take there. */
import { type Cache, defineLua } from "@nexus/redis";

/** Bytes. */
export interface CacheBounds {
  /** Of one organization's entries. */
  organizationBytes: number;
  /** Of all entries together: Redis holds more than answers, and its own policy may be to evict nothing. */
  totalBytes: number;
}

interface Entry {
  organizationId: string;
  /** Of the request. */
  digest: string;
}

export interface AnswerEntries {
  /** @throws CacheUnavailable */
  get(entry: Entry): Promise<Buffer | undefined>;
  /** False when there is no room for it. @throws CacheUnavailable */
  put(entry: Entry & { sealed: Buffer; ttlSeconds: number }): Promise<boolean>;
}

const prefix = "nexus:answers:";

/**
 * Takes room for an entry: first from what has expired, then from what would expire next, of its organization where that has its
 * share, else of all.
 * KEYS expiry of all, sizes, sums, expiry of the organization. ARGV prefix, organization, digest, bytes, TTL ms, share, total → 1 or 0.
 */
const takeRoom = defineLua({
  name: "take_room_for_answer",
  version: 1,
  keyCount: 4,
  script: `
local all, sizes, sums, own = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, organization = ARGV[1], ARGV[2]
local bytes, life, share, total = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local member = organization .. '/' .. ARGV[3]
if bytes > share or bytes > total then return 0 end

local function drop(name)
  local size = tonumber(redis.call('HGET', sizes, name) or '0')
  if size == 0 then return end
  local owner = string.match(name, '^[^/]*')
  redis.call('DEL', prefix .. 'entry:' .. name)
  redis.call('HDEL', sizes, name)
  redis.call('ZREM', all, name)
  redis.call('ZREM', prefix .. 'of:' .. owner, name)
  if redis.call('HINCRBY', sums, owner, string.format('%.0f', -size)) <= 0 then redis.call('HDEL', sums, owner) end
  redis.call('HINCRBY', sums, '*', string.format('%.0f', -size))
end

drop(member)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', all, '-inf', string.format('%.0f', now), 'LIMIT', '0', '200')) do drop(name) end
local function sum(name) return tonumber(redis.call('HGET', sums, name) or '0') end
for _, bound in ipairs({ { own, organization, share }, { all, '*', total } }) do
  for _ = 1, 200 do
    if sum(bound[2]) + bytes <= bound[3] then break end
    local oldest = redis.call('ZRANGE', bound[1], '0', '0')[1]
    if not oldest then break end
    drop(oldest)
  end
  if sum(bound[2]) + bytes > bound[3] then return 0 end
end

local dies = string.format('%.0f', now + life)
redis.call('ZADD', all, dies, member)
redis.call('ZADD', own, dies, member)
redis.call('HSET', sizes, member, string.format('%.0f', bytes))
redis.call('HINCRBY', sums, organization, string.format('%.0f', bytes))
redis.call('HINCRBY', sums, '*', string.format('%.0f', bytes))
-- What is written down of entries lives as long as the last of them.
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, string.format('%.0f', life)) end
end
return 1`,
});

export function openAnswerEntries(cache: Pick<Cache, "client" | "call">, bounds: CacheBounds): AnswerEntries {
  const keyOf = ({ organizationId, digest }: Entry): string => `${prefix}entry:${organizationId}/${digest}`;
  return {
    get: async (entry) => (await cache.client.getBuffer(keyOf(entry))) ?? undefined,
    put: async ({ organizationId, digest, sealed, ttlSeconds }) => {
      const keys = [`${prefix}expiry`, `${prefix}sizes`, `${prefix}sums`, `${prefix}of:${organizationId}`];
      const key = keyOf({ organizationId, digest });
      const room = [sealed.length + key.length, ttlSeconds * 1000, bounds.organizationBytes, bounds.totalBytes];
      if (Number(await cache.call(takeRoom, keys, [prefix, organizationId, digest, ...room])) !== 1) return false;
      await cache.client.set(key, sealed, "EX", ttlSeconds);
      return true;
    },
  };
}
