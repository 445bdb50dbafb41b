import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "@nexus/core";
import { type Cache, CacheUnavailable, type LuaFunction } from "@nexus/redis";
import { markerKey } from "./generation.ts";
import { presenceScript, processKeyPrefix } from "./presence-script.ts";

export interface LinkOptions {
  /** `undefined`: there is no Redis, and each process keeps its share of every limit. */
  cache: Cache | undefined;
  clock: Clock;
  /** Names this process, and no other one before or after it. */
  processId: string;
  logger?: { warn(fields: object, message: string): void } | undefined;
}

export interface LinkAnswer {
  epoch: string;
  /** Microseconds, of this epoch's time. */
  now: number;
  rest: readonly unknown[];
}

const beatEveryMs = 1000;
/** A process that was not heard of for this long is dead: what it held is free. */
const deadAfterMs = 5000;
/** How long the first callers after the start wait for Redis before they go without it. */
const firstConnectionMs = 500;

/** The way to Redis of everything here: scripts that run within a generation, and the sign of life of this process. */
export class LimitsLink {
  readonly #options: LinkOptions;
  readonly #onForgotten: (() => void)[] = [];
  readonly #beat: NodeJS.Timeout;
  readonly #stopListening: () => void;
  /** Resolves when Redis was first reached, or was not in time. */
  readonly opened: Promise<void>;
  #isOpened = false;
  /** Of the server at the other end of the present connection. */
  #generation: string | undefined;
  #epoch = "-";
  #time = 0;
  #timeAskedAt = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
    const first = Promise.withResolvers<void>();
    const onReady = (): void => void this.#meet().then(first.resolve);
    const onClose = (): void => void (this.#generation = undefined);
    const client = options.cache?.client.on("ready", onReady).on("close", onClose);
    this.#stopListening = () => void client?.off("ready", onReady).off("close", onClose);
    if (!options.cache) first.resolve();
    else if (options.cache.isReady()) onReady();
    const tooLate = delay(firstConnectionMs, undefined, { ref: false });
    this.opened = Promise.race([first.promise, tooLate]).then(() => void (this.#isOpened = true));
    this.#beat = setInterval(() => void this.#meet(), beatEveryMs).unref();
  }

  get isOpened(): boolean {
    return this.#isOpened;
  }

  isUp(): boolean {
    return this.#generation !== undefined && this.#options.cache?.isReady() === true;
  }

  /** Called when Redis may have forgotten what this process holds there. */
  onForgotten(listener: () => void): void {
    this.#onForgotten.push(listener);
  }

  /** Runs a script that begins with `openGeneration`. @throws CacheUnavailable */
  async call(fn: LuaFunction, keys: readonly string[], args: readonly (string | number)[]): Promise<LinkAnswer> {
    const { cache } = this.#options;
    if (!cache || this.#generation === undefined) throw new CacheUnavailable("Redis has not been met yet");
    const askedAt = this.#options.clock.monotonic();
    const elapsed = Math.ceil((askedAt - this.#timeAskedAt) * 1000);
    const header = [this.#generation, this.#epoch, this.#time, elapsed];
    const answer = await cache.call(fn, [markerKey, ...keys], [...header, ...args]);
    const [epoch, now, ...rest] = answer as [string, number, ...unknown[]];
    this.#learn(epoch, now, askedAt);
    return { epoch, now, rest };
  }

  /** The same for a script about what this process holds under `key`: its arguments stand between who it is and how it may die. */
  say(fn: LuaFunction, key: string, args: readonly (string | number)[]): Promise<LinkAnswer> {
    return this.call(fn, [key, this.#processKey], [this.#options.processId, ...args, deadAfterMs, processKeyPrefix]);
  }

  /** Takes back the sign of life. */
  async close(): Promise<void> {
    clearInterval(this.#beat);
    this.#stopListening();
    if (this.isUp()) await this.#options.cache?.client.del(this.#processKey).catch(() => {});
  }

  get #processKey(): string {
    return processKeyPrefix + this.#options.processId;
  }

  #learn(epoch: string, now: number, askedAt: number): void {
    const isOther = this.#epoch !== epoch;
    if (!isOther && askedAt < this.#timeAskedAt) return;
    const hadOne = this.#epoch !== "-";
    this.#epoch = epoch;
    this.#time = now;
    this.#timeAskedAt = askedAt;
    if (isOther && hadOne) this.#forgotten();
  }

  /** Learns whom it talks to, where that is not known, and says that this process lives. */
  async #meet(): Promise<void> {
    const { cache } = this.#options;
    if (cache?.isReady() !== true) return;
    try {
      this.#generation ??= generationIn(await cache.client.info());
      const { rest } = await this.call(presenceScript, [this.#processKey], [deadAfterMs]);
      if (rest[0] !== 1) this.#forgotten();
    } catch (error) {
      // The next beat tries again; until then limits are kept without Redis. Its absence others log already.
      if (error instanceof CacheUnavailable) return;
      this.#options.logger?.warn({ err: error }, "Redis is there, but limits cannot be kept in it");
    }
  }

  #forgotten(): void {
    for (const listener of this.#onForgotten) listener();
  }
}

/** @throws Error for an INFO without the ids: without them a failover could not be noticed */
function generationIn(info: string): string {
  const runId = /^run_id:(\w+)/m.exec(info)?.[1];
  const replicationId = /^master_replid:(\w+)/m.exec(info)?.[1];
  if (runId === undefined || replicationId === undefined) throw new Error("INFO names neither run nor replication");
  return `${runId}.${replicationId}`;
}
