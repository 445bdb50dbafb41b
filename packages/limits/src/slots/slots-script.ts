import { defineLua } from "@nexus/redis";
import { openGeneration } from "../redis/generation.ts";

/** Longer than any call; the fields of processes that died are removed long before, by whoever asks next. */
const forgetAfterMs = 86_400_000;
/** By then every live process has said again what it holds. */
const graceMicros = 2_000_000;

/**
 * Says how many calls of a key a process has under way, and asks for more. Whatever it says replaces what it said before, so
 * neither a lost answer nor a flush is wrong for longer than until it speaks again. Processes without a sign of life hold nothing.
 *
 * KEYS marker, slots of the key, sign of life of the process. ARGV those of the generation, then [5] process, [6] slots it holds,
 * [7] slots it wants beside them, [8] slots of all processes, [9] one process's part of them, [10] microseconds since 1970 at which
 * the key was made, [11] milliseconds until the process counts as dead, [12] what signs of life begin with.
 * → epoch, now, slots granted.
 */
export const slotsScript = defineLua({
  name: "limit_slots",
  version: 1,
  keyCount: 3,
  script: `
${openGeneration}
local me, held, wanted = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local most, part = tonumber(ARGV[8]), tonumber(ARGV[9])
redis.call('SET', KEYS[3], epoch, 'PX', ARGV[11])

local others = 0
local kept = redis.call('HGETALL', KEYS[2])
for i = 1, #kept, 2 do
  if kept[i] ~= me then
    if redis.call('EXISTS', ARGV[12] .. kept[i]) == 1 then others = others + tonumber(kept[i + 1])
    else redis.call('HDEL', KEYS[2], kept[i]) end
  end
end

local free = most - others - held
if tonumber(ARGV[10]) <= begun_wall and now - begun < ${graceMicros} then free = math.min(free, part - held) end
local granted = math.max(0, math.min(wanted, free))
if held + granted > 0 then
  redis.call('HSET', KEYS[2], me, string.format('%.0f', held + granted))
  redis.call('PEXPIRE', KEYS[2], ${forgetAfterMs})
else
  redis.call('HDEL', KEYS[2], me)
end
return {epoch, now, granted}
`,
});
