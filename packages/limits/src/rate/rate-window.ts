import type { KeyLimit, RateLimitState } from "../limited-key.ts";

/**
 * One limit over one window. Times are milliseconds of this process's monotonic clock; an arrival time is when the window will
 * be as if unused (ITU-T I.371's theoretical arrival time).
 */
export interface RateWindow {
  readonly name: string;
  readonly limit: number;
  readonly seconds: number;
  /** Whole microseconds that one call takes to come back. Rounded up: a window never admits more than its limit. */
  readonly intervalMicros: number;
  /** As Redis said last; what is leased to this process is counted as used. */
  shared: number;
  /** As this process alone has kept it while Redis was away. */
  own: number;
}

export function rateWindow({ name, limit, window_seconds: seconds }: KeyLimit): RateWindow {
  return { name, limit, seconds, intervalMicros: Math.ceil((seconds * 1_000_000) / limit), shared: 0, own: 0 };
}

/** How a window counts: all processes together, or this one as one of so many. */
export interface Share {
  readonly intervalMs: number;
  readonly limit: number;
}

/** One of `replicas` has at least one call: a limit smaller than that is exceeded once, by what the others have, and never in rate. */
export function shareOf(window: RateWindow, replicas: number): Share {
  return {
    intervalMs: (window.intervalMicros / 1000) * replicas,
    limit: Math.max(1, Math.floor(window.limit / replicas)),
  };
}

/** Calls left of a share, whole ones. */
export function callsLeft(share: Share, arrival: number, now: number): number {
  return Math.max(0, Math.floor(share.limit - Math.max(0, arrival - now) / share.intervalMs));
}

/** Milliseconds until `cost` calls could pass; ≤ 0: now. */
export function waitFor(share: Share, arrival: number, { cost, now }: { cost: number; now: number }): number {
  return Math.max(0, arrival - now) + (cost - share.limit) * share.intervalMs;
}

/** `extra`: calls that are set aside for this process. */
export function stateOf(window: RateWindow, share: Share, at: { arrival: number; now: number; extra: number }): RateLimitState {
  const used = Math.max(0, at.arrival - at.now) / share.intervalMs;
  const left = Math.max(0, share.limit - used);
  return {
    name: window.name,
    quota: window.limit,
    windowSeconds: window.seconds,
    remaining: Math.min(window.limit, Math.floor(left) + at.extra),
    resetMs: used <= at.extra ? 0 : (Math.floor(left) + 1 - left) * share.intervalMs,
  };
}
