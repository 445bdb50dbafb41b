/**
 * The generic cell rate algorithm (ITU-T I.371): a bucket is one number, the time at which it will be empty of debt.
 * Used in process while Redis, which runs the same arithmetic for all replicas, is away.
 */
export interface Quota {
  /** Attempts that one period allows; they may also come all at once. */
  limit: number;
  periodSeconds: number;
}

export type Taking = { admitted: true; emptyAt: number } | { admitted: false; retryAfterMs: number };

/** One attempt at `now` on a bucket whose debt ends at `emptyAt`, both in ms. */
export function takeOne(emptyAt: number, now: number, quota: Quota): Taking {
  const next = Math.max(emptyAt, now) + intervalOf(quota);
  const wait = next - now - quota.periodSeconds * 1000;
  return wait > 0 ? { admitted: false, retryAfterMs: wait } : { admitted: true, emptyAt: next };
}

/** Milliseconds of debt that one attempt makes. */
export function intervalOf(quota: Quota): number {
  return (quota.periodSeconds * 1000) / quota.limit;
}
