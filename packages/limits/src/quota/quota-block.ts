/**
 * What this process holds of one key's quota. PostgreSQL grants it blocks, which it spends without asking anybody; they grow with
 * the traffic, are given back when idle, and near the end of the quota are of one use each. What is granted is charged before
 * it is spent, so no crash and no lost answer admits a use too much: it charges one too much.
 */
import { type Clock, Problem } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { Holder, Waiter } from "../holder.ts";
import { type BlockName, leaseQuota, type QuotaGrant, returnQuota } from "./quota.store.ts";

export interface QuotaDeps {
  db: Db;
  clock: Clock;
  logger?: { warn(fields: object, message: string): void } | undefined;
}

export type Spent = "spent" | "refused";

const idleMs = 5000;
/** A question this soon after the last one asks for twice as much. */
const earlyMs = 1000;
/** The most that a killed process leaves charged. */
const largestBatch = 4096;
/** By then others may have given back what they did not need. */
const longestRefusalMs = 1000;
/** While PostgreSQL is away it is not asked more often than that, for one key. */
const pauseMs = 250;
/** Said of a quota that is never refilled. */
const dayMs = 86_400_000;

export class QuotaBlock implements Holder {
  readonly #deps: QuotaDeps;
  readonly #name: BlockName;
  #waiting: Waiter<Spent>[] = [];
  #asking = false;
  #left = 0;
  /** True when PostgreSQL has a block of ours that is not accounted for. */
  #isOpen = false;
  #endsAt = 0;
  #batch = 0;
  #askedAt = -Infinity;
  #usedAt = 0;
  #askAgainAt = 0;
  #refusedCost = 0;
  #awayUntil = 0;

  constructor(deps: QuotaDeps, name: BlockName) {
    this.#deps = deps;
    this.#name = name;
  }

  /** What can be said without asking PostgreSQL. */
  take(cost: number, now: number): Spent | undefined {
    if (this.#left >= cost && now < this.#endsAt) {
      this.#left -= cost;
      this.#usedAt = now;
      return "spent";
    }
    return !this.#asking && now < this.#askAgainAt && cost >= this.#refusedCost ? "refused" : undefined;
  }

  /** @throws Problem `unavailable` when PostgreSQL is away */
  ask(cost: number): Promise<Spent> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ cost, resolve, reject });
      if (!this.#asking) void this.#serve();
    });
  }

  /** Undoes a `take` that came to nothing. */
  putBack(cost: number): void {
    this.#left += cost;
  }

  /** The quota has been changed. */
  restart(now: number): void {
    this.#askAgainAt = 0;
    void this.settle(now, "now");
  }

  /** Until the quota is refilled. */
  retryAfterMs(now: number): number {
    return Math.max(1, Math.ceil(this.#endsAt === Infinity ? dayMs : this.#endsAt - now));
  }

  get isHolding(): boolean {
    return this.#isOpen || this.#asking;
  }

  async settle(now: number, mode: "when over" | "now" = "when over"): Promise<void> {
    const isOver = mode === "now" || now - this.#usedAt >= idleMs;
    if (!this.#isOpen || this.#asking || !isOver || now < this.#awayUntil) return;
    this.#asking = true;
    const unspent = this.#left;
    this.#left = 0;
    try {
      await returnQuota(this.#deps.db, { ...this.#name, unspent });
      this.#isOpen = false;
    } catch (error) {
      this.#fail(error);
    }
    this.#asking = false;
    if (this.#waiting.length > 0) void this.#serve();
  }

  async #serve(): Promise<void> {
    this.#asking = true;
    while (this.#waiting.length > 0) {
      const asked = this.#waiting.reduce((sum, { cost }) => sum + cost, 0);
      try {
        if (this.#deps.clock.monotonic() < this.#awayUntil) throw unavailable();
        this.#hand(await this.#lease(asked));
      } catch (error) {
        const problem = error instanceof Problem ? error : this.#fail(error);
        for (const { reject } of this.#waiting.splice(0)) reject(problem);
      }
    }
    this.#asking = false;
  }

  async #lease(asked: number): Promise<QuotaGrant> {
    const now = this.#deps.clock.monotonic();
    const isEarly = now - this.#askedAt < earlyMs;
    this.#batch = isEarly ? Math.min(largestBatch, Math.max(1, this.#batch * 2)) : this.#batch >> 1;
    this.#askedAt = now;
    // Not put back when it fails: whether PostgreSQL has taken it nobody knows then.
    const unspent = this.#left;
    this.#left = 0;
    const needed = Math.min(...this.#waiting.map(({ cost }) => cost));
    const grant = await leaseQuota(this.#deps.db, { ...this.#name, unspent, needed, asked, wish: asked + this.#batch });
    this.#isOpen = (grant.granted ?? 0) > 0;
    this.#left = grant.granted ?? 0;
    // From when it was asked: never later than PostgreSQL means it.
    this.#endsAt = now + grant.endsInMs;
    this.#usedAt = now;
    return grant;
  }

  /** Serves those who wait, first come first; when there was no more, whoever goes away empty is refused. */
  #hand({ granted, leftOver }: QuotaGrant): void {
    const stillWaiting: Waiter<Spent>[] = [];
    let refusedCost = Infinity;
    for (const waiter of this.#waiting) {
      if (granted === undefined) waiter.resolve("spent");
      else if (this.#left >= waiter.cost) {
        this.#left -= waiter.cost;
        waiter.resolve("spent");
      } else if (leftOver < waiter.cost || granted === 0) {
        refusedCost = Math.min(refusedCost, waiter.cost);
        waiter.resolve("refused");
      } else stillWaiting.push(waiter);
    }
    this.#waiting = stillWaiting;
    if (refusedCost === Infinity) return;
    this.#refusedCost = refusedCost;
    this.#askAgainAt = this.#deps.clock.monotonic() + longestRefusalMs;
  }

  #fail(error: unknown): Problem {
    this.#awayUntil = this.#deps.clock.monotonic() + pauseMs;
    this.#deps.logger?.warn({ err: error }, "PostgreSQL could not be asked about a quota");
    return unavailable(error);
  }
}

function unavailable(cause?: unknown): Problem {
  return new Problem("unavailable", "The quota of this key cannot be read at the moment", {
    cause,
    headers: { "retry-after": "1" },
  });
}
