/** How a provider is, as its last calls showed it. */
import type { BreakerState } from "./breaker.ts";
import type { UpstreamFailure } from "./upstream-failure.ts";

export interface ProviderHealth {
  /**
   * `refusing`: its last answer was 401 or 403. `failing`: its last call failed. `open`: it is left alone for a while;
   * `half_open`: that while is over, and the next call tries it.
   */
  state: "unused" | "answering" | "refusing" | "failing" | Exclude<BreakerState, "closed">;
  /** `timeout`, `failed`, or the status that it answered with. */
  lastError: string | undefined;
  lastErrorAgeMs: number | undefined;
  lastSuccessAgeMs: number | undefined;
}

export interface HealthWatch {
  answered(status: number): void;
  failed(failure: UpstreamFailure): void;
  read(breaker: BreakerState): ProviderHealth;
}

/** @param now monotonic milliseconds */
export function watchHealth(now: () => number): HealthWatch {
  let state: ProviderHealth["state"] = "unused";
  let error: { kind: string; at: number } | undefined;
  let succeededAt: number | undefined;
  return {
    answered(status) {
      if (status === 401 || status === 403 || status >= 500) {
        state = status >= 500 ? "failing" : "refusing";
        error = { kind: `status ${status}`, at: now() };
      } else {
        state = "answering";
        succeededAt = now();
      }
    },
    failed({ kind }) {
      state = "failing";
      error = { kind, at: now() };
    },
    read: (breaker) => ({
      state: breaker === "closed" ? state : breaker,
      lastError: error?.kind,
      lastErrorAgeMs: error && now() - error.at,
      lastSuccessAgeMs: succeededAt === undefined ? undefined : now() - succeededAt,
    }),
  };
}
