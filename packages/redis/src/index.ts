export { fillSession, readSession, revokeSessions, sessionEpochOf } from "./functions/session-cache.ts";
export { takeFromWindows, type Verdict, type Window } from "./functions/take-from-windows.ts";
export { defineLua, type LuaFunction } from "./lua-function.ts";
export { type Cache, type CacheOptions, CacheUnavailable, openRedis } from "./open-redis.ts";
export { redisFields, redisRules, type RedisTarget, redisTargetFrom } from "./redis-target.ts";
