import { assert, uuidOf } from "@nexus/core";
import type { Holder } from "./holder.ts";
import type { Admission, Admitted, KeyLimit, LimitedKey, LimitRefusalCode, RateLimitState, Refused } from "./limited-key.ts";
import { QuotaBlock, type QuotaDeps } from "./quota/quota-block.ts";
import { type RateDeps, RateLimit, type Taken } from "./rate/rate-limit.ts";
import { KeySlots, type SlotsDeps } from "./slots/key-slots.ts";

export interface EntryDeps extends RateDeps, SlotsDeps, QuotaDeps {
  processId: string;
  /** Told what has to be given back later. */
  onHolding: (holder: Holder) => void;
}

/** All the limits of one key in this process. Asked in this order: what is cheapest to put back comes first. */
export class KeyEntry {
  readonly #deps: EntryDeps;
  #key: LimitedKey;
  #rate: RateLimit | undefined;
  #quota: QuotaBlock | undefined;
  #slots: KeySlots | undefined;
  usedAt = 0;

  constructor(deps: EntryDeps, key: LimitedKey) {
    this.#deps = deps;
    this.#key = key;
    this.#rate = this.#openRate();
    this.#quota = this.#openQuota();
    this.#slots = this.#openSlots();
  }

  /** Follows a change of the key's definition. What is leased under the old one goes back. */
  follow(key: LimitedKey): void {
    if (key === this.#key) return;
    const before = this.#key;
    this.#key = key;
    const now = this.#deps.clock.monotonic();
    if (!sameLimits(before.limits, key.limits)) {
      void this.#rate?.settle(now, "now");
      this.#rate = this.#openRate();
    }
    if (!sameQuota(before.quota, key.quota)) this.#quota?.restart(now);
    this.#quota ??= this.#openQuota();
    // Calls that are under way keep their slots, whatever the bound is now.
    this.#slots ??= this.#openSlots();
  }

  /** An answer without waiting, where there is one. */
  admitNow(cost: number, now: number): Admission | undefined {
    this.usedAt = now;
    const taken = this.#rate ? this.#rate.take(cost, now) : "leased";
    if (taken === undefined) return undefined;
    if (taken === "refused") return this.#refuse("rate_limited", now, cost);
    const quota = this.#key.quota === null ? undefined : this.#quota;
    const spent = quota ? quota.take(cost, now) : "spent";
    if (spent !== "spent") {
      this.#rate?.putBack(cost, taken);
      return spent && this.#refuse("quota_exceeded", now, cost);
    }
    const slots = this.#key.concurrency === null ? undefined : this.#slots;
    const entered = slots ? slots.take(this.#most, now) : "entered";
    if (entered !== "entered") {
      this.#rate?.putBack(cost, taken);
      quota?.putBack(cost);
      return entered && this.#refuse("concurrency_exceeded", now, cost);
    }
    if (taken === "own" && this.#rate) this.#deps.onHolding(this.#rate);
    return this.#admit(slots);
  }

  /** @throws Problem `unavailable` when a quota has to be asked for and PostgreSQL is away */
  async admitLater(cost: number): Promise<Admission> {
    const { clock } = this.#deps;
    const [rate, most] = [this.#rate, this.#most];
    const quota = this.#key.quota === null ? undefined : this.#quota;
    const slots = this.#key.concurrency === null ? undefined : this.#slots;
    const taken: Taken = rate ? (rate.take(cost, clock.monotonic()) ?? (await rate.ask(cost))) : "leased";
    if (rate) this.#deps.onHolding(rate);
    if (taken === "refused") return this.#refuse("rate_limited", clock.monotonic(), cost);
    try {
      const spent = quota ? (quota.take(cost, clock.monotonic()) ?? (await quota.ask(cost))) : "spent";
      if (quota) this.#deps.onHolding(quota);
      if (spent === "refused") {
        rate?.putBack(cost, taken);
        return this.#refuse("quota_exceeded", clock.monotonic(), cost);
      }
    } catch (error) {
      rate?.putBack(cost, taken);
      throw error;
    }
    const entered = slots ? (slots.take(most, clock.monotonic()) ?? (await slots.ask())) : "entered";
    if (entered === "refused") {
      rate?.putBack(cost, taken);
      quota?.putBack(cost);
      return this.#refuse("concurrency_exceeded", clock.monotonic(), cost);
    }
    return this.#admit(slots);
  }

  /** True while something of it has to be given back, or told. */
  get isHolding(): boolean {
    return [this.#rate, this.#quota, this.#slots].some((holder) => holder?.isHolding === true);
  }

  states(): readonly RateLimitState[] {
    return this.#rate?.states(this.#deps.clock.monotonic()) ?? [];
  }

  #admit(slots: KeySlots | undefined): Admitted {
    if (slots) this.#deps.onHolding(slots);
    return new AdmittedCall(this, slots);
  }

  #refuse(code: LimitRefusalCode, now: number, cost: number): Refused {
    return { admitted: false, code, retryAfterMs: this.#retryAfterMs(code, now, cost), states: this.states() };
  }

  #retryAfterMs(code: LimitRefusalCode, now: number, cost: number): number {
    if (code === "rate_limited") return this.#rate?.retryAfterMs(cost, now) ?? 1;
    // When a call ends nobody knows.
    if (code === "concurrency_exceeded") return 1000;
    return this.#quota?.retryAfterMs(now) ?? 1;
  }

  #openRate(): RateLimit | undefined {
    const { limits } = this.#key;
    return limits.length === 0 ? undefined : new RateLimit(this.#deps, { ...this.#identity, limits });
  }

  #openQuota(): QuotaBlock | undefined {
    if (this.#key.quota === null) return undefined;
    const keyId = uuidOf("key", this.#key.key_id);
    assert(keyId, "a key's id is key_ and a uuid");
    return new QuotaBlock(this.#deps, { processId: this.#deps.processId, keyId });
  }

  #openSlots(): KeySlots | undefined {
    return this.#key.concurrency === null ? undefined : new KeySlots(this.#deps, this.#identity);
  }

  get #most(): number {
    return this.#key.concurrency ?? Number.MAX_SAFE_INTEGER;
  }

  get #identity(): { keyId: string; createdAtMs: number } {
    return { keyId: this.#key.key_id, createdAtMs: Date.parse(this.#key.created_at) };
  }
}

/** Two secrets of one key come with records of their own that say the same. */
function sameLimits(before: readonly KeyLimit[], after: readonly KeyLimit[]): boolean {
  if (before === after) return true;
  return before.length === after.length && before.every((limit, index) => sameLimit(limit, after[index]));
}

function sameLimit(before: KeyLimit, after: KeyLimit | undefined): boolean {
  return before.name === after?.name && before.limit === after.limit && before.window_seconds === after.window_seconds;
}

function sameQuota(before: LimitedKey["quota"], after: LimitedKey["quota"]): boolean {
  return before?.limit === after?.limit && before?.refill === after?.refill;
}

/** States are worked out when somebody reads them: most do not. */
class AdmittedCall implements Admitted {
  readonly admitted = true;
  readonly #entry: KeyEntry;
  #slots: KeySlots | undefined;

  constructor(entry: KeyEntry, slots: KeySlots | undefined) {
    this.#entry = entry;
    this.#slots = slots;
  }

  get states(): readonly RateLimitState[] {
    return this.#entry.states();
  }

  release(): void {
    this.#slots?.release();
    this.#slots = undefined;
  }
}
