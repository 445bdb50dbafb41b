/**
 * The limits of keys, in the process that is asked. The usual answer is given at once, out of what Redis and PostgreSQL have leased
 * to this process; only when that is used up does somebody wait.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { Cache } from "@nexus/redis";
import type { Holder } from "./holder.ts";
import { type EntryDeps, KeyEntry } from "./key-entry.ts";
import type { Admission, Admitted, LimitedKey } from "./limited-key.ts";
import { LimitsLink } from "./redis/limits-link.ts";

export interface KeyLimitsOptions {
  /** `undefined`: there is no Redis, and each process keeps its share of every limit. */
  cache: Cache | undefined;
  db: Db;
  clock: Clock;
  /** uuid: names this process, and no other one before or after it. */
  processId: string;
  /** Live processes that share the limits, this one included; at least 1. */
  replicas: () => number;
  logger?: { warn(fields: object, message: string): void };
}

export interface KeyLimits {
  /**
   * Takes `cost` uses of every limit of the key, or nothing. A promise only when a lease has to be fetched first.
   * @throws Problem `unavailable` (the promise) when a quota is used up here and PostgreSQL is away
   */
  admit(key: LimitedKey, cost?: number): Admission | Promise<Admission>;
  /** Gives back what is leased and unspent; waits two seconds at most for who should hear of it. */
  close(): Promise<void>;
}

const sweepEveryMs = 50;
/** A key that nobody used for this long is forgotten, unless something of it is still held. */
const forgetAfterMs = 60_000;
const sweptAtOnce = 1000;
const longestCloseMs = 2000;

const unlimited: Admitted = Object.freeze({ admitted: true, states: Object.freeze([]), release: () => {} });

export function openKeyLimits(options: KeyLimitsOptions): KeyLimits {
  return new LimitedKeys(options);
}

class LimitedKeys implements KeyLimits {
  readonly #link: LimitsLink;
  readonly #deps: EntryDeps;
  readonly #entries = new Map<string, KeyEntry>();
  readonly #holding = new Set<Holder>();
  readonly #sweep: NodeJS.Timeout;
  #forgetting: Iterator<[string, KeyEntry]> | undefined;

  constructor(options: KeyLimitsOptions) {
    this.#link = new LimitsLink(options);
    this.#deps = {
      link: this.#link,
      clock: options.clock,
      db: options.db,
      processId: options.processId,
      replicas: () => Math.max(1, Math.floor(options.replicas())),
      logger: options.logger,
      onHolding: (holder) => void this.#holding.add(holder),
    };
    this.#link.onForgotten(() => {
      for (const holder of this.#holding) holder.forgotten?.();
    });
    this.#sweep = setInterval(() => this.#tidy(), sweepEveryMs).unref();
  }

  admit(key: LimitedKey, cost = 1): Admission | Promise<Admission> {
    if (key.limits.length === 0 && key.concurrency === null && key.quota === null) return unlimited;
    let entry = this.#entries.get(key.key_id);
    if (entry) entry.follow(key);
    else {
      entry = new KeyEntry(this.#deps, key);
      this.#entries.set(key.key_id, entry);
    }
    return entry.admitNow(cost, this.#deps.clock.monotonic()) ?? entry.admitLater(cost);
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    const now = this.#deps.clock.monotonic();
    const settled = Promise.all([...this.#holding].map((holder) => holder.settle(now, "now")));
    await Promise.race([settled, delay(longestCloseMs, undefined, { ref: false })]);
    await this.#link.close();
  }

  #tidy(): void {
    const now = this.#deps.clock.monotonic();
    for (const holder of this.#holding) {
      void holder.settle(now);
      if (!holder.isHolding) this.#holding.delete(holder);
    }
    this.#forget(now);
  }

  /** A part of the keys at a time, as there may be very many. */
  #forget(now: number): void {
    this.#forgetting ??= this.#entries.entries();
    for (let seen = 0; seen < sweptAtOnce; seen++) {
      const next = this.#forgetting.next();
      if (next.done === true) return void (this.#forgetting = undefined);
      const [keyId, entry] = next.value;
      if (now - entry.usedAt > forgetAfterMs && !entry.isHolding) this.#entries.delete(keyId);
    }
  }
}
