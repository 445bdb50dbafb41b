/**
 * The names and the form of rate limit headers, in this one place because their draft still moves
 * (draft-ietf-httpapi-ratelimit-headers-10; `Retry-After`: RFC 9110 §10.2.3; lists and parameters: RFC 9651).
 */
export interface RateLimitState {
  /** The name of the policy; letters, digits, `-` and `_`. */
  name: string;
  quota: number;
  windowSeconds: number;
  remaining: number;
  /** Until `remaining` grows again. */
  resetMs: number;
}

/** `RateLimit-Policy: "minute";q=100;w=60` and `RateLimit: "minute";r=50;t=30`. */
export function rateLimitHeaders(states: readonly RateLimitState[]): Record<string, string> {
  return {
    "ratelimit-policy": states.map(({ name, quota, windowSeconds }) => `"${name}";q=${quota};w=${windowSeconds}`).join(", "),
    ratelimit: states
      .map(({ name, remaining, resetMs }) => `"${name}";r=${Math.max(0, Math.floor(remaining))};t=${seconds(resetMs)}`)
      .join(", "),
  };
}

/** Whole seconds, rounded up: a client that waits for the value given must not come too early. At least 1. */
export function retryAfter(ms: number): { "retry-after": string } {
  return { "retry-after": String(Math.max(1, seconds(ms))) };
}

function seconds(ms: number): number {
  return Math.max(0, Math.ceil(ms / 1000));
}
