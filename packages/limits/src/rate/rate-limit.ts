/**
 * The rate limits of one key as this process sees them. Redis leases it calls, a few at a time, which it spends without asking
 * anybody; what is unspent when the lease ends goes back. While Redis is away the process keeps its own share of each limit.
 *
 * Over all processes Redis never leases more than `limit + rate × t` calls up to time t, and nothing but a leased call is
 * admitted, so the same holds for what is admitted.
 */
import type { Clock } from "@nexus/core";
import { CacheUnavailable } from "@nexus/redis";
import type { Holder, Waiter } from "../holder.ts";
import type { KeyLimit, RateLimitState } from "../limited-key.ts";
import type { LimitsLink } from "../redis/limits-link.ts";
import { leaseScript } from "./lease-script.ts";
import { callsLeft, type RateWindow, rateWindow, shareOf, stateOf, waitFor } from "./rate-window.ts";

export interface RateDeps {
  link: LimitsLink;
  clock: Clock;
  /** Live processes that share the limits, this one included. */
  replicas: () => number;
  logger?: { warn(fields: object, message: string): void } | undefined;
}

/** `leased` and `own` are taken; `undefined`: Redis has to be asked. */
export type Taken = "leased" | "own" | "refused";

const longestLeaseMs = 1000;
/** A process that prefetches more than this share of a limit would keep it from the others. */
const largestShare = 10;

export class RateLimit implements Holder {
  readonly #deps: RateDeps;
  readonly #windows: readonly RateWindow[];
  readonly #keys: readonly string[];
  readonly #parameters: readonly number[];
  /** Microseconds since 1970. */
  readonly #createdAt: number;
  readonly #leaseMs: number;
  readonly #smallestLimit: number;
  readonly #largestBatch: number;
  #waiting: Waiter<Taken>[] = [];
  #asking = false;
  #left = 0;
  #leaseEndsAt = 0;
  #leaseEpoch = "-";
  /** Calls to ask for beyond those that wait; doubles while leases are used up early. */
  #batch = 0;
  #askedAt = -Infinity;
  /** Whoever wants as much as was refused need not ask before. */
  #askAgainAt = 0;
  #refusedCost = 0;
  /** Calls that this process admitted by itself and Redis has not heard of. */
  #debt = 0;

  constructor(deps: RateDeps, key: { keyId: string; createdAtMs: number; limits: readonly KeyLimit[] }) {
    this.#deps = deps;
    this.#windows = key.limits.map(rateWindow);
    this.#keys = key.limits.map(({ name }) => `nexus:limit:${key.keyId}:${name}`);
    this.#parameters = this.#windows.flatMap(({ intervalMicros, limit }) => [intervalMicros, limit]);
    this.#createdAt = key.createdAtMs * 1000;
    this.#leaseMs = Math.min(longestLeaseMs, ...this.#windows.map(({ seconds }) => seconds * 100));
    this.#smallestLimit = Math.min(...this.#windows.map(({ limit }) => limit));
    this.#largestBatch = Math.floor(this.#smallestLimit / largestShare);
  }

  /** What can be said without asking Redis. */
  take(cost: number, now: number): Taken | undefined {
    if (this.#left >= cost && now < this.#leaseEndsAt) {
      this.#left -= cost;
      return "leased";
    }
    if (cost > this.#smallestLimit) return "refused";
    if (this.#asking) return undefined;
    if (!this.#deps.link.isUp() && this.#deps.link.isOpened) return this.#takeOwn(cost, now);
    return now < this.#askAgainAt && cost >= this.#refusedCost ? "refused" : undefined;
  }

  /** Waits for Redis, or for its deadline. */
  ask(cost: number): Promise<Taken> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ cost, resolve, reject });
      if (!this.#asking) void this.#serveWaiting();
    });
  }

  /** Undoes a `take` that came to nothing. */
  putBack(cost: number, taken: Taken): void {
    if (taken === "leased") this.#left += cost;
    if (taken !== "own") return;
    this.#debt -= cost;
    const replicas = this.#deps.replicas();
    for (const window of this.#windows) window.own -= shareOf(window, replicas).intervalMs * cost;
  }

  /** Milliseconds until `cost` calls could pass. */
  retryAfterMs(cost: number, now: number): number {
    const isUp = this.#deps.link.isUp();
    const replicas = isUp ? 1 : this.#deps.replicas();
    const waits = this.#windows.map((window) => {
      // More than there ever is: nobody can say when.
      if (cost > window.limit) return window.seconds * 1000;
      return waitFor(shareOf(window, replicas), isUp ? window.shared : window.own, { cost, now });
    });
    return Math.max(1, Math.ceil(Math.max(...waits)));
  }

  states(now: number): RateLimitState[] {
    const isUp = this.#deps.link.isUp();
    const replicas = isUp ? 1 : this.#deps.replicas();
    const extra = isUp && now < this.#leaseEndsAt ? this.#left : 0;
    return this.#windows.map((window) =>
      stateOf(window, shareOf(window, replicas), { arrival: isUp ? window.shared : window.own, now, extra }),
    );
  }

  /** True while there is something that Redis has to be told: unspent calls, or calls that it did not count. */
  get isHolding(): boolean {
    return this.#left > 0 || this.#debt > 0 || this.#asking;
  }

  async settle(now: number, mode: "when over" | "now" = "when over"): Promise<void> {
    if (this.#asking || !this.#deps.link.isUp()) return;
    const isOver = this.#left > 0 && (mode === "now" || now >= this.#leaseEndsAt);
    if (isOver || this.#debt > 0) await this.#serveWaiting("settling");
  }

  /** Asks until nobody waits. Callers that come while a question is under way share the next one. */
  async #serveWaiting(mode?: "settling"): Promise<void> {
    this.#asking = true;
    if (!this.#deps.link.isOpened) await this.#deps.link.opened;
    let isSettling = mode === "settling";
    while (this.#waiting.length > 0 || isSettling) {
      isSettling = false;
      const asked = this.#waiting.reduce((sum, { cost }) => sum + cost, 0);
      try {
        this.#hand(await this.#lease(asked), asked);
      } catch (error) {
        // Whatever it is, a verification does not fail for it.
        if (!(error instanceof CacheUnavailable)) this.#deps.logger?.warn({ err: error }, "a lease of a rate limit failed");
        const now = this.#deps.clock.monotonic();
        for (const { cost, resolve } of this.#waiting.splice(0)) resolve(this.#takeOwn(cost, now));
      }
    }
    this.#asking = false;
  }

  /** One question to Redis. @returns calls granted */
  async #lease(asked: number): Promise<number> {
    const now = this.#deps.clock.monotonic();
    if (asked > 0) this.#adapt(now);
    // All that is left goes back with the question, so that no call outlives its lease.
    const [back, debt] = [this.#left, this.#debt];
    this.#left = 0;
    this.#debt = 0;
    const fewest = asked === 0 ? 1 : Math.min(...this.#waiting.map(({ cost }) => cost));
    const wish = asked === 0 ? 0 : asked + this.#batch;
    const args = [this.#createdAt, asked, wish, fewest, back, this.#leaseEpoch, debt, ...this.#parameters];
    try {
      const { epoch, now: time, rest } = await this.#deps.link.call(leaseScript, this.#keys, args);
      const [granted, ...arrivals] = rest as [number, ...number[]];
      const heardAt = this.#deps.clock.monotonic();
      for (const [index, window] of this.#windows.entries()) {
        window.shared = heardAt + ((arrivals[index] ?? time) - time) / 1000;
        window.own = Math.max(window.own, window.shared);
      }
      this.#left = granted;
      this.#leaseEpoch = epoch;
      this.#leaseEndsAt = now + this.#leaseMs;
      return granted;
    } catch (error) {
      // Whether Redis has heard it nobody knows: what was given back stays charged, what was owed is told again.
      this.#debt += debt;
      throw error;
    }
  }

  #adapt(now: number): void {
    const isEarly = now - this.#askedAt < this.#leaseMs / 4;
    this.#batch = Math.min(this.#largestBatch, isEarly ? Math.max(1, this.#batch * 2) : this.#batch >> 1);
    this.#askedAt = now;
  }

  /** Serves those who wait, first come first; when Redis had no more, whoever goes away empty is refused. */
  #hand(granted: number, asked: number): void {
    const now = this.#deps.clock.monotonic();
    const isExhausted = granted < asked;
    const stillWaiting: Waiter<Taken>[] = [];
    let refusedCost = Infinity;
    for (const waiter of this.#waiting) {
      if (this.#left >= waiter.cost) {
        this.#left -= waiter.cost;
        waiter.resolve("leased");
      } else if (isExhausted) {
        refusedCost = Math.min(refusedCost, waiter.cost);
        waiter.resolve("refused");
      } else stillWaiting.push(waiter);
    }
    this.#waiting = stillWaiting;
    if (refusedCost === Infinity) return;
    this.#refusedCost = refusedCost;
    // No longer than a lease: by then others may have given back what they did not need.
    this.#askAgainAt = now + Math.min(longestLeaseMs, this.retryAfterMs(refusedCost, now));
  }

  /** This process's share of the limits, kept by itself. */
  #takeOwn(cost: number, now: number): Taken {
    const replicas = Math.max(1, this.#deps.replicas());
    const shares = this.#windows.map((window) => ({ window, share: shareOf(window, replicas) }));
    if (shares.some(({ window, share }) => callsLeft(share, window.own, now) < cost)) return "refused";
    for (const { window, share } of shares) window.own = Math.max(now, window.own) + share.intervalMs * cost;
    this.#debt += cost;
    return "own";
  }
}
