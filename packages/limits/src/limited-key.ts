/** What is asked of the limits, and what they answer. */

export interface KeyLimit {
  /** Unique among the key's limits; letters, digits, `-` and `_`. */
  name: string;
  /** Uses in a window; they may also come all at once. */
  limit: number;
  window_seconds: number;
}

export type QuotaRefill = "never" | "day" | "week" | "month";

/** The part of a key's record that limits are about. */
export interface LimitedKey {
  key_id: string;
  /** RFC 3339, PostgreSQL's time. */
  created_at: string;
  limits: readonly KeyLimit[];
  /** Calls under way at once, over all processes; `null`: no bound. */
  concurrency: number | null;
  /** Uses in a period of UTC's calendar; `null`: no quota. */
  quota: { limit: number; refill: QuotaRefill } | null;
}

/** One limit as it stands, for the headers of an answer. */
export interface RateLimitState {
  name: string;
  quota: number;
  windowSeconds: number;
  remaining: number;
  /** Until `remaining` grows again; 0 when nothing is used. */
  resetMs: number;
}

export interface Admitted {
  readonly admitted: true;
  /** As of when it is read. */
  readonly states: readonly RateLimitState[];
  /** The call is over: its slot is free. May be called twice. */
  release(): void;
}

export type LimitRefusalCode = "rate_limited" | "quota_exceeded" | "concurrency_exceeded";

/** Nothing was taken. */
export interface Refused {
  readonly admitted: false;
  readonly code: LimitRefusalCode;
  /** Until the same call could pass, as far as is known now. Whoever waits that long does not come too early. */
  readonly retryAfterMs: number;
  readonly states: readonly RateLimitState[];
}

export type Admission = Admitted | Refused;
