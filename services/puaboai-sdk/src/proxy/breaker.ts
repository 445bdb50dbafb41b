/**
 * Keeps calls away from a provider that fails: after several failures in a row it is left alone for a while, then one call tries
 * it. Those who have another target go there at once instead of waiting for a deadline.
 */
import type { Clock } from "@nexus/core";
import { notAsked } from "./upstream-failure.ts";

export interface BreakerSettings {
  /** Failures in a row; 0: never opens. */
  failures: number;
  /** How long it is left alone, milliseconds. */
  openMs: number;
}

/** `open`: left alone. `half_open`: its time is over, and the next call, or one under way, tries it. */
export type BreakerState = "closed" | "open" | "half_open";

export interface Breaker {
  /** A call is about to be made. @throws Problem `unavailable` while the provider is left alone */
  enter(): Attempt;
  state(): BreakerState;
}

interface Attempt {
  succeeded(): void;
  failed(): void;
  /** It is over, with or without a verdict: a client that went away says nothing about the provider. */
  ended(): void;
}

export function openBreaker(name: string, { failures, openMs }: BreakerSettings, clock: Clock): Breaker {
  let inARow = 0;
  /** Monotonic milliseconds from which one call may try. */
  let retryAt = -Infinity;
  let trying = false;
  const state = (): BreakerState => {
    if (failures === 0 || inARow < failures) return "closed";
    return clock.monotonic() < retryAt ? "open" : "half_open";
  };
  return {
    state,
    enter() {
      const now = clock.monotonic();
      const found = state();
      if (found === "open" || (found === "half_open" && trying)) {
        const seconds = Math.max(1, Math.ceil((retryAt - now) / 1000));
        throw notAsked("breaker_open", `the provider ${name} keeps failing`, seconds);
      }
      const tries = found === "half_open";
      trying ||= tries;
      return {
        succeeded: () => {
          inARow = 0;
        },
        failed: () => {
          inARow++;
          retryAt = clock.monotonic() + openMs;
        },
        ended: () => {
          if (tries) trying = false;
        },
      };
    },
  };
}
