import { defineLua } from "@nexus/redis";
import { openGeneration, spareMicros } from "../redis/generation.ts";

/**
 * Takes calls for a process from every window of a key, or from none: the generic cell rate algorithm (ITU-T I.371), where each
 * window is one number, its theoretical arrival time. A window without a state has all its calls when the key is younger than
 * the generation; else it had none left when the generation began, as whatever it had counted is lost.
 *
 * KEYS marker, then one a window. ARGV those of the generation, then [5] microseconds since 1970 at which the key was made, [6]
 * calls that are waiting, [7] calls wished for, [8] the fewest that are of use, [9] calls given back and [10] the epoch they were
 * taken in, [11] calls admitted without asking, then interval in microseconds and limit of each window.
 * → epoch, now, calls granted, arrival time of each window. Microseconds since 1970 stay below 2^53 until 2255.
 */
export const leaseScript = defineLua({
  name: "limit_lease",
  version: 1,
  keyCount: "any",
  script: `
${openGeneration}
local waiting, wish, fewest = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local back, debt = tonumber(ARGV[9]), tonumber(ARGV[11])
if ARGV[10] ~= epoch then back = 0 end
local lost_at = begun
if tonumber(ARGV[5]) > begun_wall then lost_at = nil end

local arrivals, left = {}, nil
local changed = back > 0 or debt > 0
for i = 2, #KEYS do
  local interval, limit = tonumber(ARGV[i * 2 + 8]), tonumber(ARGV[i * 2 + 9])
  local arrival
  local state = redis.call('GET', KEYS[i])
  if state then
    local e, a = string.match(state, '^(%S+) (%S+)$')
    if e == epoch then arrival = tonumber(a) end
  end
  if not arrival then
    changed = true
    arrival = lost_at and lost_at + interval * limit or 0
  end
  arrival = math.max(now, arrival - interval * back)
  arrival = math.min(now + interval * limit, arrival + interval * debt)
  arrivals[i] = arrival
  local here = math.floor((now + interval * limit - arrival) / interval)
  if not left or here < left then left = here end
end

local granted = 0
if left >= fewest then granted = math.min(left, math.max(waiting, math.min(wish, math.floor(left / 8)))) end
local answer = {epoch, now, granted}
for i = 2, #KEYS do
  local interval, limit = tonumber(ARGV[i * 2 + 8]), tonumber(ARGV[i * 2 + 9])
  local arrival = arrivals[i] + interval * granted
  if changed or granted > 0 then
    local until_idle = math.max(arrival, begun + interval * limit) - now
    local life = math.ceil((math.max(0, until_idle) + ${spareMicros}) / 1000)
    redis.call('SET', KEYS[i], string.format('%s %.0f', epoch, arrival), 'PX', string.format('%.0f', life))
  end
  answer[i + 2] = arrival
end
return answer
`,
});
