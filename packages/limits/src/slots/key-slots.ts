/**
 * Calls of one key that are under way, counted over all processes. A slot belongs to the process that took it, and is free when
 * the call is over or the process has given no sign of life for five seconds.
 */
import type { Clock } from "@nexus/core";
import { CacheUnavailable } from "@nexus/redis";
import type { Holder, Waiter } from "../holder.ts";
import type { LimitsLink } from "../redis/limits-link.ts";
import { slotsScript } from "./slots-script.ts";

export interface SlotsDeps {
  link: LimitsLink;
  clock: Clock;
  /** Live processes that share the slots, this one included. */
  replicas: () => number;
  logger?: { warn(fields: object, message: string): void } | undefined;
}

export type Entered = "entered" | "refused";

/** A process keeps this share of all slots for its next calls instead of giving each back. */
const keptShare = 20;
const idleMs = 250;
/** Whoever was refused asks again after that. Short, as any call may end at any time. */
const pauseMs = 10;

export class KeySlots implements Holder {
  readonly #deps: SlotsDeps;
  readonly #keyId: string;
  readonly #createdAtMicros: number;
  #most = 1;
  #waiting: Waiter<Entered>[] = [];
  #asking = false;
  /** What Redis has been told that this process holds. */
  #held = 0;
  /** Calls under way. */
  #used = 0;
  #usedAt = 0;
  #askAgainAt = 0;
  /** Redis may know something else than it should. */
  #isBehind = false;

  constructor(deps: SlotsDeps, key: { keyId: string; createdAtMs: number }) {
    this.#deps = deps;
    this.#keyId = key.keyId;
    this.#createdAtMicros = key.createdAtMs * 1000;
  }

  /** What can be said without asking Redis. */
  take(most: number, now: number): Entered | undefined {
    this.#most = most;
    this.#usedAt = now;
    if (this.#used < Math.min(this.#held, most)) {
      this.#used += 1;
      return "entered";
    }
    if (this.#asking) return undefined;
    if (!this.#deps.link.isUp() && this.#deps.link.isOpened) return this.#enterOwn();
    return now < this.#askAgainAt ? "refused" : undefined;
  }

  /** Waits for Redis, or for its deadline. */
  ask(): Promise<Entered> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ cost: 1, resolve, reject });
      if (!this.#asking) void this.#serve();
    });
  }

  /** A call is over. */
  release(): void {
    this.#used -= 1;
    this.#askAgainAt = 0;
    if (this.#held - this.#used > this.#spare) this.#tell();
  }

  /** Redis may have forgotten what this process holds. */
  forgotten(): void {
    if (this.#held > 0 || this.#used > 0) this.#tell();
  }

  get isHolding(): boolean {
    return this.#held > 0 || this.#used > 0 || this.#isBehind || this.#asking;
  }

  async settle(now: number, mode: "when over" | "now" = "when over"): Promise<void> {
    if (this.#asking || !this.#deps.link.isUp()) return;
    const isIdle = this.#held > this.#used && now - this.#usedAt > idleMs;
    if (isIdle || mode === "now" || this.#isBehind) await this.#serve("telling");
  }

  get #spare(): number {
    return Math.floor(this.#most / keptShare);
  }

  #tell(): void {
    this.#isBehind = true;
    if (!this.#asking && this.#deps.link.isUp()) void this.#serve("telling");
  }

  async #serve(mode?: "telling"): Promise<void> {
    this.#asking = true;
    if (!this.#deps.link.isOpened) await this.#deps.link.opened;
    let isTelling = mode === "telling";
    while (this.#waiting.length > 0 || isTelling) {
      try {
        await this.#say();
        isTelling = this.#isBehind;
      } catch (error) {
        if (!(error instanceof CacheUnavailable)) this.#deps.logger?.warn({ err: error }, "slots of a key could not be taken");
        // Those who wait have this process's part of the slots, and Redis is told when it is back.
        this.#isBehind = true;
        isTelling = false;
        for (const { resolve } of this.#waiting.splice(0)) resolve(this.#enterOwn());
      }
    }
    this.#asking = false;
  }

  /** One question to Redis, which says what this process holds and asks for what is missing. */
  async #say(): Promise<void> {
    const { link, clock, replicas } = this.#deps;
    const wanted = this.#waiting.length;
    const isIdle = clock.monotonic() - this.#usedAt > idleMs;
    this.#held = Math.max(this.#used, wanted > 0 ? this.#held : Math.min(this.#held, this.#used + (isIdle ? 0 : this.#spare)));
    this.#isBehind = false;
    const part = Math.max(1, Math.floor(this.#most / replicas()));
    const args = [this.#held, wanted, this.#most, part, this.#createdAtMicros];
    const { rest } = await link.say(slotsScript, `nexus:slots:${this.#keyId}`, args);
    this.#held += rest[0] as number;
    let refused = false;
    for (const { resolve } of this.#waiting.splice(0, wanted)) {
      const entered = this.#used < Math.min(this.#held, this.#most);
      if (entered) this.#used += 1;
      else refused = true;
      resolve(entered ? "entered" : "refused");
    }
    if (refused) this.#askAgainAt = clock.monotonic() + pauseMs;
  }

  /** This process's part of the slots, kept by itself. */
  #enterOwn(): Entered {
    if (this.#used >= Math.max(1, Math.floor(this.#most / this.#deps.replicas()))) return "refused";
    this.#used += 1;
    this.#isBehind = true;
    return "entered";
  }
}
