import { defineLua } from "../lua-function.ts";
/**
 * Generic cell rate algorithm (ITU-T I.371) over several windows at once, all or nothing: when one window refuses, none is
 * charged. Each window is one number, its theoretical arrival time, so a limit costs one small key however many calls it counts.
 */
import type { Cache } from "../open-redis.ts";

export interface Window {
  /** Names the counter: who is limited, and by what. */
  name: string;
  /** Calls that one period allows; they may also come all at once. */
  limit: number;
  /** Seconds. */
  periodSeconds: number;
}

export interface Verdict {
  allowed: boolean;
  /** Calls left in the tightest window. */
  remaining: number;
  /** Milliseconds until a refused call could pass; 0 when allowed. */
  retryAfterMs: number;
}

const script = `
  local clock = redis.call('TIME')
  local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
  local cost = tonumber(ARGV[1])
  local remaining = -1
  local wait = 0
  local arrivals = {}
  for i = 1, #KEYS do
    local interval = tonumber(ARGV[i * 2])
    local limit = tonumber(ARGV[i * 2 + 1])
    local arrival = tonumber(redis.call('GET', KEYS[i]) or '0')
    if arrival < now then arrival = now end
    local next = arrival + interval * cost
    local excess = next - now - interval * limit
    if excess > wait then wait = excess end
    local left = math.floor((interval * limit - (next - now)) / interval)
    if remaining < 0 or left < remaining then remaining = left end
    arrivals[i] = next
  end
  if wait > 0 then return {0, 0, string.format('%.0f', math.ceil(wait / 1000))} end
  for i = 1, #KEYS do
    local ttl = math.ceil((arrivals[i] - now) / 1000)
    redis.call('SET', KEYS[i], string.format('%.0f', arrivals[i]), 'PX', string.format('%.0f', math.max(ttl, 1)))
  end
  return {1, remaining, '0'}
`;

const gcra = defineLua({ name: "gcra", version: 1, keyCount: "any", script });

/** Takes `cost` calls from every window, or none. @throws CacheUnavailable */
export async function takeFromWindows(cache: Cache, windows: readonly Window[], cost = 1): Promise<Verdict> {
  const keys = windows.map((window) => `nexus:gcra:${window.name}`);
  const parameters = windows.flatMap((window) => [Math.floor((window.periodSeconds * 1_000_000) / window.limit), window.limit]);
  const [allowed, remaining, retryAfter] = (await cache.call(gcra, keys, [cost, ...parameters])) as [number, number, string];
  return { allowed: allowed === 1, remaining, retryAfterMs: Number(retryAfter) };
}
