/**
 * The cache client. Redis is speed, never truth: a call either answers within its deadline or fails at once, and whoever
 * calls goes on without it. Nothing is queued while it is away.
 */
import type { Redis } from "ioredis";
import { CacheUnavailable, isRefusal, withoutArguments } from "./cache-unavailable.ts";
import { GuardedRedis } from "./guarded-redis.ts";
import type { LuaFunction } from "./lua-function.ts";
import type { RedisTarget } from "./redis-target.ts";

/**
 * `away`: no connection. `hung`: connected, but a deadline passed. `refused`: the password is wrong or missing; tried again
 * slowly, as somebody may be changing it.
 */
export type CacheState = "connecting" | "ready" | "hung" | "away" | "refused" | "closed";

interface CacheLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface CacheOptions {
  /** Milliseconds for one command; 50 unless told. */
  commandTimeoutMs?: number;
  /** Milliseconds of silence after a missed deadline until a new connection is tried; 1,000 unless told. */
  giveUpMs?: number;
  /** Called when the state changes, not at every failed attempt. */
  onStateChange?: (state: CacheState, reason?: string) => void;
  /** One line a change of state. */
  logger?: CacheLogger;
}

export interface Cache {
  /** Every command on it has the deadline and the breaker. For SUBSCRIBE take `client.duplicate()`. @throws CacheUnavailable */
  readonly client: Redis;
  /** @throws CacheUnavailable; ReplyError when the script itself fails */
  call(fn: LuaFunction, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>;
  /** @throws CacheUnavailable */
  ping(signal?: AbortSignal): Promise<void>;
  isReady(): boolean;
  readonly state: CacheState;
  /** False when it was not ready in that time. */
  waitUntilReady(timeoutMs: number): Promise<boolean>;
  /**
   * Called when Redis is back after commands may have failed: what was cached meanwhile may be stale, what was revoked may be
   * back.
   */
  onReconnect(listener: () => void): void;
  close(): Promise<void>;
}

/** Returns at once; commands fail with CacheUnavailable until the connection is ready. */
export function openRedis(target: RedisTarget, options: CacheOptions = {}): Cache {
  const states = openStates(options);
  const client = new GuardedRedis(
    target.url,
    {
      enableOfflineQueue: false,
      // A command that was sent before the connection broke may have run; sending it again would run it twice.
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 2000,
      // RESP2 everywhere: the embedded server and every Redis speak it.
      protocol: 2,
      retryStrategy: (attempt) => (states.current() === "refused" ? refusedDelayMs() : retryDelayMs(attempt)),
    },
    {
      commandTimeoutMs: options.commandTimeoutMs ?? 50,
      giveUpMs: options.giveUpMs ?? 1000,
      onHung: () => states.enter("hung", "Redis did not answer in time"),
      onAnswering: () => states.enter("ready"),
      onLost: () => states.lost(),
    },
  );
  client.on("ready", () => states.enter("ready"));
  client.on("error", (error: Error) => {
    const { message, name } = withoutArguments(error);
    states.enter(isRefusal(error) ? "refused" : "away", message === "" ? name : message);
  });
  client.on("close", () => {
    if (states.current() !== "refused") states.enter("away", "the connection closed");
  });
  return cacheOn(client, states);
}

function cacheOn(client: GuardedRedis, states: States): Cache {
  return {
    client,
    call: (fn, keys, args) => evaluate(client, fn, keys, args),
    ping: async (signal) => {
      if (signal?.aborted) throw new CacheUnavailable("given up before it was asked", { cause: signal.reason });
      await client.ping();
    },
    isReady: () => states.current() === "ready",
    get state() {
      return states.current();
    },
    waitUntilReady: (timeoutMs) => states.waitUntilReady(timeoutMs),
    onReconnect: (listener) => states.onReconnect(listener),
    close: async () => {
      states.enter("closed");
      await closeClient(client);
    },
  };
}

/** Ends the connection without waiting for a Redis that may be hung. */
function closeClient(client: Redis): Promise<void> {
  return new Promise((resolve) => {
    const { status } = client;
    client.once("end", () => resolve());
    client.disconnect();
    client.stream?.destroy();
    // Between two attempts there is nothing that could end.
    if (["wait", "close", "reconnecting", "end"].includes(status)) resolve();
  });
}

/** Full jitter below a growing bound: many processes that lost the same Redis do not return together. */
function retryDelayMs(attempt: number): number {
  return 20 + Math.floor(Math.random() * Math.min(2000, 50 * 2 ** Math.min(attempt - 1, 6)));
}

function refusedDelayMs(): number {
  return 3000 + Math.floor(Math.random() * 4000);
}

async function evaluate(
  client: Redis,
  fn: LuaFunction,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  if (fn.keyCount !== "any" && keys.length !== fn.keyCount) {
    throw new TypeError(`${fn.name} v${fn.version} takes ${fn.keyCount} keys, not ${keys.length}`);
  }
  const parameters = [...keys, ...args.map(asArgument)];
  try {
    return await client.evalsha(fn.sha1, keys.length, ...parameters);
  } catch (error) {
    // A restarted or flushed Redis has forgotten the script; EVAL brings it back.
    if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error;
    return await client.eval(fn.script, keys.length, ...parameters);
  }
}

/** A number that Lua would read as another one is a mistake of ours. */
function asArgument(value: string | number): string {
  if (typeof value === "string") return value;
  if (!Number.isSafeInteger(value)) throw new TypeError(`${value} is not a whole number up to 2^53`);
  return String(value);
}

interface States {
  current(): CacheState;
  enter(state: CacheState, reason?: string): void;
  /** A command failed: whatever state that was in, the next `ready` is a return. */
  lost(): void;
  onReconnect(listener: () => void): void;
  waitUntilReady(timeoutMs: number): Promise<boolean>;
}

function openStates(options: CacheOptions): States {
  let current: CacheState = "connecting";
  let isBehind = false;
  const reconnectListeners: (() => void)[] = [];
  const waiting = new Set<(ready: boolean) => void>();
  const tell = (state: CacheState, reason: string | undefined): void => {
    options.onStateChange?.(state, reason);
    if (state === "closed") return;
    const fields = { state, ...(reason === undefined ? {} : { reason }) };
    if (state === "ready") options.logger?.info(fields, "redis is ready");
    else options.logger?.warn(fields, `redis is ${state}`);
  };
  return {
    current: () => current,
    enter: (state, reason) => {
      if (current === "closed" || state === current) return;
      current = state;
      tell(state, reason);
      if (state === "ready" || state === "closed") for (const settle of waiting) settle(state === "ready");
      if (state !== "ready") isBehind = true;
      else if (isBehind) {
        isBehind = false;
        for (const listener of reconnectListeners) listener();
      }
    },
    lost: () => void (isBehind = true),
    onReconnect: (listener) => void reconnectListeners.push(listener),
    waitUntilReady: (timeoutMs) =>
      new Promise((resolve) => {
        if (current === "ready" || current === "closed") return resolve(current === "ready");
        const settle = (ready: boolean): void => {
          clearTimeout(timer);
          waiting.delete(settle);
          resolve(ready);
        };
        const timer = setTimeout(() => settle(false), timeoutMs);
        waiting.add(settle);
      }),
  };
}
