import { describe, expect, it } from "vitest";
import { rateLimitHeaders, retryAfter } from "./rate-limit-headers.ts";

describe("rate limit headers", () => {
  it("name every policy and what is left of it", () => {
    const minute = { name: "minute", quota: 100, windowSeconds: 60, remaining: 41.7, resetMs: 12_001 };
    const day = { name: "day", quota: 1000, windowSeconds: 86_400, remaining: -3, resetMs: 0 };
    expect(rateLimitHeaders([minute, day])).toEqual({
      "ratelimit-policy": '"minute";q=100;w=60, "day";q=1000;w=86400',
      ratelimit: '"minute";r=41;t=13, "day";r=0;t=0',
    });
  });

  it("never tell a client to come back too early, or at once", () => {
    expect(retryAfter(1001)).toEqual({ "retry-after": "2" });
    expect(retryAfter(0)).toEqual({ "retry-after": "1" });
  });
});
