/**
 * Generic cell rate algorithm (ITU-T I.371) over several windows at once, all or nothing: when one window refuses, none is
 * charged. Each window is one number, its theoretical arrival time, so a limit costs one small key however many calls it counts.
 */
import { defineLua } from "../lua-function.ts";
import type { Cache } from "../open-redis.ts";

export interface Window {
  /** Names the counter: who is limited, and by what. */
  name: string;
  /** Calls that one period allows; they may also come all at once. */
  limit: number;
  periodSeconds: number;
}

/**
 * What a window without a state is: `fresh`, all calls left; `full`, none left, where the state may have been lost: then a flush
 * gives nobody a second limit.
 */
export type MissingWindow = "fresh" | "full";

export interface Verdict {
  allowed: boolean;
  /** Calls left in the tightest window. */
  remaining: number;
  /** Milliseconds until a refused call could pass, `Infinity` when it costs more than a limit; 0 when allowed. */
  retryAfterMs: number;
  /** Milliseconds until every window is as if unused. */
  resetMs: number;
}

/**
 * KEYS one a window. ARGV cost, 1 where a missing window is full, then interval in microseconds and limit of each window.
 * → allowed, remaining, retry after in ms or -1 for never, reset in ms. Microseconds since 1970 stay below 2^53 until 2255.
 */
const gcra = defineLua({
  name: "gcra",
  version: 1,
  keyCount: "any",
  script: `
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local cost = tonumber(ARGV[1])
local missing_is_full = ARGV[2] == '1'
local idle_life = missing_is_full and 86400000 or 0
local remaining, wait, reset, never = -1, 0, 0, false
local arrivals = {}

local function keep(key, arrival)
  if arrival <= now and not missing_is_full then return redis.call('DEL', key) end
  -- Where a missing state is a full one, an idle window must not go missing.
  local life = math.max(1, math.ceil((arrival - now) / 1000)) + idle_life
  return redis.call('SET', key, string.format('%.0f', arrival), 'PX', string.format('%.0f', life))
end

for i = 1, #KEYS do
  local interval, limit = tonumber(ARGV[i * 2 + 1]), tonumber(ARGV[i * 2 + 2])
  local burst = interval * limit
  local kept = redis.call('GET', KEYS[i])
  local arrival = tonumber(kept or '0')
  if not kept and missing_is_full then
    arrival = now + burst
    keep(KEYS[i], arrival)
  end
  if arrival < now then arrival = now end
  local left = math.max(0, math.floor((now + burst - arrival) / interval))
  if remaining < 0 or left < remaining then remaining = left end
  if cost > limit then never = true end
  wait = math.max(wait, arrival + interval * cost - now - burst)
  reset = math.max(reset, arrival - now)
  arrivals[i] = math.max(now, arrival + interval * cost)
end

if never then return {0, remaining, -1, math.ceil(reset / 1000)} end
if wait > 0 and cost >= 0 then return {0, remaining, math.ceil(wait / 1000), math.ceil(reset / 1000)} end
if cost ~= 0 then
  reset, remaining = 0, -1
  for i = 1, #KEYS do
    local interval, limit = tonumber(ARGV[i * 2 + 1]), tonumber(ARGV[i * 2 + 2])
    keep(KEYS[i], arrivals[i])
    reset = math.max(reset, arrivals[i] - now)
    local left = math.floor((now + interval * limit - arrivals[i]) / interval)
    if remaining < 0 or left < remaining then remaining = left end
  end
end
return {1, remaining, 0, math.ceil(reset / 1000)}
`,
});

/**
 * Takes `cost` calls from every window, or from none. 0 only asks; below 0 gives calls back, never more than were taken.
 * @throws CacheUnavailable
 */
export async function takeFromWindows(
  cache: Cache,
  windows: readonly Window[],
  cost = 1,
  missing: MissingWindow = "fresh",
): Promise<Verdict> {
  const keys = windows.map((window) => `nexus:gcra:${window.name}`);
  const answer = await cache.call(gcra, keys, [cost, missing === "full" ? 1 : 0, ...windows.flatMap(parametersOf)]);
  const [allowed, remaining, retryAfterMs, resetMs] = answer as [number, number, number, number];
  return { allowed: allowed === 1, remaining, retryAfterMs: retryAfterMs === -1 ? Infinity : retryAfterMs, resetMs };
}

/** Rounded up: a window never admits more than its limit. */
function parametersOf({ limit, periodSeconds, name }: Window): [intervalMicroseconds: number, limit: number] {
  const interval = Math.ceil((periodSeconds * 1_000_000) / limit);
  if (!Number.isSafeInteger(limit) || limit < 1 || !Number.isSafeInteger(interval * limit)) {
    throw new RangeError(`the limit ${name} must be a whole number of calls in a time that can be counted`);
  }
  return [interval, limit];
}
