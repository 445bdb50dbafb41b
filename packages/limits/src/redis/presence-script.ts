import { defineLua } from "@nexus/redis";
import { openGeneration } from "./generation.ts";

/**
 * Says that a process lives, and keeps the generation's marker in place. KEYS marker, process. ARGV those of the generation, then
 * milliseconds until the process counts as dead. → epoch, now, 1 when it had been known to live.
 */
export const presenceScript = defineLua({
  name: "limit_presence",
  version: 1,
  keyCount: 2,
  script: `
${openGeneration}
local was_known = redis.call('EXISTS', KEYS[2])
redis.call('SET', KEYS[2], epoch, 'PX', ARGV[5])
return {epoch, now, was_known}
`,
});

export const processKeyPrefix = "nexus:limits:process:";
