export { CacheUnavailable } from "./cache-unavailable.ts";
export { fillSession, readSession, revokeSessions, sessionEpochOf } from "./functions/session-cache.ts";
export { type MissingWindow, takeFromWindows, type Verdict, type Window } from "./functions/take-from-windows.ts";
export { defineLua, type LuaFunction } from "./lua-function.ts";
export { type Cache, type CacheOptions, type CacheState, openRedis } from "./open-redis.ts";
export { openSubscriber, type Subscriber, type SubscriberOptions } from "./open-subscriber.ts";
export { redisFields, redisRules, type RedisTarget, redisTargetFrom } from "./redis-target.ts";
export { findRedisServer } from "./server/find-redis-server.ts";
export { startRedis, type StartedRedis, type StartRedisOptions } from "./start-redis.ts";
