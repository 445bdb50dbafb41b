import type { Admission, Admitted, LimitedKey, LimitRefusalCode, RateLimitState } from "./limited-key.ts";
import { type RateDeps, RateLimit, type Taken } from "./rate/rate-limit.ts";

export interface EntryDeps extends RateDeps {
  /** Told when Redis has to hear of this key again later. */
  onHolding: (rate: RateLimit) => void;
}

/** All the limits of one key in this process. */
export class KeyEntry {
  readonly #deps: EntryDeps;
  #key: LimitedKey;
  #rate: RateLimit | undefined;
  usedAt = 0;

  constructor(deps: EntryDeps, key: LimitedKey) {
    this.#deps = deps;
    this.#key = key;
    this.#rate = this.#openRate();
  }

  /** Follows a change of the key's definition. What is leased under the old one goes back. */
  follow(key: LimitedKey): void {
    if (key === this.#key) return;
    const before = this.#key;
    this.#key = key;
    if (before.limits === key.limits || JSON.stringify(before.limits) === JSON.stringify(key.limits)) return;
    void this.#rate?.settle(this.#deps.clock.monotonic(), "now");
    this.#rate = this.#openRate();
  }

  /** An answer without waiting, where there is one. */
  admitNow(cost: number, now: number): Admission | undefined {
    this.usedAt = now;
    const rate = this.#rate;
    if (rate) {
      const taken = rate.take(cost, now);
      if (taken === undefined) return undefined;
      if (taken === "refused") return this.#refuse("rate_limited", rate.retryAfterMs(cost, now));
      if (taken === "own") this.#deps.onHolding(rate);
    }
    return new AdmittedCall(this);
  }

  async admitLater(cost: number): Promise<Admission> {
    const rate = this.#rate;
    if (rate) {
      const taken: Taken = await rate.ask(cost);
      this.#deps.onHolding(rate);
      if (taken === "refused") return this.#refuse("rate_limited", rate.retryAfterMs(cost, this.#deps.clock.monotonic()));
    }
    return new AdmittedCall(this);
  }

  /** True while Redis has to be told something of it, or fewer calls than its own share were used lately. */
  get isHolding(): boolean {
    return this.#rate?.isHolding ?? false;
  }

  states(): readonly RateLimitState[] {
    return this.#rate?.states(this.#deps.clock.monotonic()) ?? [];
  }

  #refuse(code: LimitRefusalCode, retryAfterMs: number): Admission {
    return { admitted: false, code, retryAfterMs, states: this.states() };
  }

  #openRate(): RateLimit | undefined {
    const { key_id: keyId, created_at: createdAt, limits } = this.#key;
    if (limits.length === 0) return undefined;
    return new RateLimit(this.#deps, { keyId, createdAtMs: Date.parse(createdAt), limits });
  }
}

/** States are worked out when somebody reads them: most do not. */
class AdmittedCall implements Admitted {
  readonly admitted = true;
  readonly #entry: KeyEntry;

  constructor(entry: KeyEntry) {
    this.#entry = entry;
  }

  get states(): readonly RateLimitState[] {
    return this.#entry.states();
  }

  release(): void {}
}
