import { Redis } from "ioredis";
/**
 * The cache client. Redis is speed, never truth: a call either answers within its deadline or fails at once, and whoever
 * calls goes on without it. Nothing is queued while it is away.
 */
import type { LuaFunction } from "./lua-function.ts";
import type { RedisTarget } from "./redis-target.ts";

/** Redis is away, hung or refuses us. The caller carries on by its documented fallback. */
export class CacheUnavailable extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "CacheUnavailable";
  }
}

export interface CacheOptions {
  /** Milliseconds for one command; 50 unless told. */
  commandTimeoutMs?: number;
  /** Milliseconds that the breaker stays open after a deadline passed, before one command may try again; 1,000 unless told. */
  breakerMs?: number;
  onStateChange?: (state: "ready" | "away", reason?: string) => void;
}

export interface Cache {
  /** @throws CacheUnavailable */
  call(fn: LuaFunction, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>;
  /** Runs commands under the same deadline and breaker. @throws CacheUnavailable */
  run<T>(work: (client: Redis) => Promise<T>): Promise<T>;
  /** @throws CacheUnavailable */
  ping(): Promise<void>;
  isReady(): boolean;
  /** Called after each connection but the first: what was cached meanwhile may be stale, what was revoked may be back. */
  onReconnect(listener: () => void): void;
  close(): Promise<void>;
}

export function openRedis(target: RedisTarget, options: CacheOptions = {}): Cache {
  const client = new Redis(target.url, {
    lazyConnect: false,
    enableOfflineQueue: false,
    enableReadyCheck: true,
    maxRetriesPerRequest: 0,
    commandTimeout: options.commandTimeoutMs ?? 50,
    connectTimeout: 1000,
    // Full jitter below a growing bound: many processes that lost the same Redis do not return together.
    retryStrategy: (attempt) => 50 + Math.floor(Math.random() * Math.min(2000, 50 * 2 ** Math.min(attempt, 6))),
  });
  const breaker = openBreaker(options.breakerMs ?? 1000);
  const reconnectListeners: (() => void)[] = [];
  watchConnection(client, options.onStateChange ?? (() => {}), () => reconnectListeners.forEach((listener) => listener()));

  const run = async <T>(work: (redis: Redis) => Promise<T>): Promise<T> => {
    if (client.status !== "ready") throw new CacheUnavailable("Redis is not connected");
    breaker.enter();
    try {
      const result = await work(client);
      breaker.succeeded();
      return result;
    } catch (error) {
      throw asUnavailable(error, breaker);
    }
  };
  return {
    run,
    call: (fn, keys, args) => run((redis) => evaluate(redis, fn, keys, args)),
    ping: async () => void (await run((redis) => redis.ping())),
    isReady: () => client.status === "ready" && !breaker.isOpen(),
    onReconnect: (listener) => void reconnectListeners.push(listener),
    close: async () => {
      client.disconnect();
      await Promise.resolve();
    },
  };
}

async function evaluate(
  redis: Redis,
  fn: LuaFunction,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  const parameters = [...keys, ...args.map(String)];
  try {
    return await redis.evalsha(fn.sha1, fn.keyCount, ...parameters);
  } catch (error) {
    // A restarted or flushed Redis has forgotten the script; EVAL brings it back.
    if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error;
    return await redis.eval(fn.script, fn.keyCount, ...parameters);
  }
}

function watchConnection(
  client: Redis,
  onStateChange: NonNullable<CacheOptions["onStateChange"]>,
  onReconnect: () => void,
): void {
  let connectedBefore = false;
  let lastReason = "";
  client.on("ready", () => {
    lastReason = "";
    onStateChange("ready");
    if (connectedBefore) onReconnect();
    connectedBefore = true;
  });
  // ioredis reports the same trouble at every attempt; one line a cause is enough.
  client.on("error", (error: Error) => {
    const reason = error.message === "" ? error.name : error.message;
    if (reason === lastReason) return;
    lastReason = reason;
    onStateChange("away", reason);
  });
  client.on("end", () => onStateChange("away", "closed"));
}

/** Connection trouble and deadlines mean that Redis is away; an error reply of a script or command is a mistake of ours. */
function asUnavailable(error: unknown, breaker: Breaker): Error {
  if (!(error instanceof Error)) return new CacheUnavailable(String(error));
  if (error.name === "ReplyError" && !/^(NOAUTH|WRONGPASS|LOADING|MASTERDOWN|READONLY|OOM|BUSY)\b/.test(error.message)) {
    breaker.succeeded();
    return error;
  }
  if (error.message === "Command timed out") breaker.tripped();
  return new CacheUnavailable(error.message, { cause: error });
}

interface Breaker {
  /** @throws CacheUnavailable while open; lets one command through when it is time to try again */
  enter(): void;
  succeeded(): void;
  tripped(): void;
  isOpen(): boolean;
}

/** Once a command met its deadline, the next ones fail at once: a hung Redis costs one deadline, not one per request. */
function openBreaker(openMs: number): Breaker {
  let openUntil = 0;
  return {
    enter() {
      if (openUntil === 0) return;
      if (performance.now() < openUntil) throw new CacheUnavailable("Redis did not answer in time");
      // Whoever comes now is the probe; the others go on failing until it is answered.
      openUntil = performance.now() + openMs;
    },
    succeeded: () => void (openUntil = 0),
    tripped: () => void (openUntil = performance.now() + openMs * (0.75 + Math.random() * 0.5)),
    isOpen: () => openUntil > performance.now(),
  };
}
